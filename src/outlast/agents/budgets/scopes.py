"""The budgets around the code that executes, and how child runs learn of them.

A budget is two things: a `Scope`, which child runs and steps are told of, and a `Spending`, which
is what one run knows of it. All in it comes from the run's journal, so that replay repeats it.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from outlast._execution.run_context import (
    current_context,
    handed_down_here,
    message_here,
    next_number,
    salt_here,
)
from outlast.agents.budgets.amounts import Limits
from outlast.agents.budgets.ledger import NO_TOTALS, Totals

StopReason = Literal["budget", "wall", "tool_calls", "same_call"]

OF_RUNS = "run:"
"""How the ledgers of budgets without a name begin."""

_ID_CHARS = 120  # of a run's id in the key of its ledgers


@dataclass(frozen=True, slots=True)
class Scope:
    """One budget: its ledger, and what the code allows. `deadline` is in seconds since 1970."""

    ledger: str
    limits: Limits
    deadline: float | None = None
    same_call: int | None = None

    @property
    def is_named(self) -> bool:
        """Whether other runs share it."""
        return not self.ledger.startswith(OF_RUNS)


@dataclass(slots=True)
class Spending:
    """What a run knows of one budget around its code.

    `stopped` is why an agent had to answer without tools, or was stopped; `answered` are the
    agents' runs that had their last turn; `has_calls_left` is whether tools may be called.
    """

    scope: Scope
    totals: Totals = NO_TOTALS
    own_calls: int = 0  # of tools; the ledger counts them only under a limit
    has_calls_left: bool = True
    stopped: StopReason | None = None
    answered: set[str] = field(default_factory=set[str])
    counted: set[tuple[str, int, str]] = field(default_factory=set[tuple[str, int, str]])
    same: Counter[tuple[str, str, str]] = field(default_factory=Counter[tuple[str, str, str]])


budgets_here: ContextVar[tuple[Spending, ...]] = ContextVar("outlast_budgets", default=())
"""The budgets around the code that executes, outermost first; steps have those of their code."""


def must_answer(budgets: Sequence[Spending], agent: str) -> bool:
    """Whether a run of an agent has no turns with tools any more, whatever is left."""
    return any(agent in spending.answered or not spending.has_calls_left for spending in budgets)


def inherited() -> tuple[Spending, ...]:
    """Return the budgets around this code: those that it has entered, or those of its parent."""
    found = budgets_here.get()
    if found or not (handed := handed_down_here()):
        return found
    return tuple(map(Spending, msgspec.json.decode(handed, type=tuple[Scope, ...])))


def handed(budgets: tuple[Spending, ...]) -> str:
    """Return budgets as child runs are told of them."""
    return msgspec.json.encode(tuple(spending.scope for spending in budgets)).decode()


def within(outer: tuple[Spending, ...], inner: Spending) -> tuple[Spending, ...]:
    """Return the budgets inside of one more. A ledger that is there already is charged once."""
    for place, found in enumerate(outer):
        if found.scope.ledger == inner.scope.ledger:
            inner.scope = Scope(
                inner.scope.ledger,
                found.scope.limits.tightened(inner.scope.limits),
                _earlier(found.scope.deadline, inner.scope.deadline),
                inner.scope.same_call or found.scope.same_call,
            )
            return (*outer[:place], inner, *outer[place + 1 :])
    return (*outer, inner)


def new_ledger() -> str:
    """Return the key of the ledger of a budget that belongs to this run alone.

    A retry has the same one again. A fork has an id of its own, and a later run of the same id a
    salt of its own.
    """
    run, message = current_context().id, message_here()
    number = next_number("budget")
    text = f"{run}\n{salt_here()}\n{message}\n{number}"
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    return f"{OF_RUNS}{run[:_ID_CHARS]}/{number}-{digest}"


def started_ledger(run: str, unique: str) -> str:
    """Return the key of the ledger of a budget that a run is started under."""
    return f"{OF_RUNS}{run[:_ID_CHARS]}/start-{unique}"


def _earlier(one: float | None, other: float | None) -> float | None:
    if one is None or other is None:
        return other if one is None else one
    return min(one, other)
