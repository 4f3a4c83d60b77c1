"""What stops an agent that runs under a budget."""

from __future__ import annotations

from outlast.errors.root import OutlastError


class BudgetError(OutlastError):
    """A budget does not allow what an agent was about to do; it was not done."""


class OverBudget(BudgetError):
    """What is left of a budget does not pay for the next call; the call was not made.

    `reason` is what ran out, as in `Spent.stop_reason`: "budget" (dollars or tokens), "wall" or
    "tool_calls". `scope` is the name of the budget, or the key of its ledger.
    """

    def __init__(self, message: str, *, reason: str = "budget", scope: str = "") -> None:
        super().__init__(message)
        self.reason = reason
        self.scope = scope


class BudgetUnpriced(BudgetError):
    """A request under a limit in dollars whose worst case has no price; it was not sent.

    `model` is the model's id, such as "openai:gpt-5".
    """

    def __init__(self, message: str, *, model: str = "") -> None:
        super().__init__(message)
        self.model = model


class Looped(BudgetError):
    """A model asked for the same call of a tool again and again; the last one was not made."""

    def __init__(self, message: str, *, tool: str = "", times: int = 0) -> None:
        super().__init__(message)
        self.tool = tool
        self.times = times
