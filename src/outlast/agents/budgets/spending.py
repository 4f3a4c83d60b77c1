"""`budget(...)`: limits of what agents spend in a part of a run, and `Spent`: what they have spent.

with budget(usd="0.50", tokens=80_000, wall="10m") as spent:
    answer = await support.run(question)
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from decimal import Decimal
from types import TracebackType

from typing_extensions import override

from outlast._authoring.workflow import wf
from outlast._execution.run_context import current_context, handed_down, in_run
from outlast._wording.durations import seconds_of
from outlast._wording.names import check_name
from outlast.agents.budgets.amounts import Amount, Limits, dollars, limit_of
from outlast.agents.budgets.ledger import Totals
from outlast.agents.budgets.ledgers import read
from outlast.agents.budgets.prices import Dollars, dollars_in
from outlast.agents.budgets.scopes import (
    OF_RUNS,
    Scope,
    Spending,
    StopReason,
    budgets_here,
    handed,
    inherited,
    new_ledger,
    started_ledger,
    within,
)
from outlast.errors import NotInRun, UsageError
from outlast.types import Duration

_NAME_CHARS = 150
_USD_MIN, _USD_MAX = Decimal("1e-9"), Decimal(1_000_000_000)
_WHOLE_MAX = 10**15


@dataclass(frozen=True, slots=True)
class Remaining:
    """What is left of a budget; None where it has no limit. `wall` is in seconds."""

    usd: Decimal | None
    tokens: int | None
    tool_calls: int | None
    wall: float | None


class Spent:
    """What agents have spent under a budget, as far as this run has been told.

    The figures are the ledger's, as of the last response to an agent of this run: child runs, and
    others that share a named budget, are included up to then. `await spent.refresh()` asks again.
    """

    __slots__ = ("_spending",)

    def __init__(self, spending: Spending) -> None:
        self._spending = spending

    @property
    def usd(self) -> Decimal:
        """Dollars, of models whose price is known."""
        return dollars(self._spending.totals.usd)

    @property
    def tokens(self) -> int:
        """Input and output tokens."""
        return self._spending.totals.tokens

    @property
    def tool_calls(self) -> int:
        """Calls of tools; of this run alone, unless `tool_calls=` limits them."""
        if self._spending.scope.limits.tool_calls is None:
            return self._spending.own_calls
        return self._spending.totals.tool_calls

    @property
    def stop_reason(self) -> StopReason | None:
        """Why agents were stopped, or told to answer without tools; None when they were not."""
        return self._spending.stopped

    @property
    def remaining(self) -> Remaining:
        """What is left, without what is reserved for requests under way."""
        scope, totals = self._spending.scope, self._spending.totals
        room = scope.limits.room(Amount(totals.usd, totals.tokens) + totals.reserved)
        calls = scope.limits.tool_calls
        return Remaining(
            None if scope.limits.usd is None else dollars(max(0, room.usd)),
            None if scope.limits.tokens is None else max(0, room.tokens),
            None if calls is None else max(0, calls - self.tool_calls),
            None if scope.deadline is None else max(0.0, scope.deadline - current_context().now),
        )

    async def refresh(self) -> Spent:
        """Ask the ledger what is spent by now, child runs included; return this object.

        It is a step of the run.
        """
        scope = self._spending.scope

        async def ask() -> Totals:
            return await read(scope)

        self._spending.totals = await wf.step("budget", ask, returns=Totals)
        return self

    def __repr__(self) -> str:
        return (
            f"Spent(usd={self.usd:f}, tokens={self.tokens}, tool_calls={self.tool_calls}, "
            f"stop_reason={self.stop_reason!r})"
        )


class Budget(AbstractContextManager[Spent]):
    """What `budget(...)` returns: it is entered once, or given to `Engine.start`."""

    __slots__ = ("_block", "_limits", "_name", "_same_call", "_seconds")

    def __init__(
        self, limits: Limits, seconds: float | None, same_call: int | None, name: str | None
    ) -> None:
        self._limits = limits
        self._seconds = seconds
        self._same_call = same_call
        self._name = name
        self._block: AbstractContextManager[Spent] | None = None

    def __enter__(self) -> Spent:
        """Begin the block that it is of.

        Raises:
            NotInRun: outside of a run.
            UsageError: it was entered before.
        """
        if self._block is not None:
            raise UsageError("a budget is entered once: call budget(...) again for another block")
        self._block = _entered(self._limits, self._seconds, self._same_call, self._name)
        return self._block.__enter__()

    @override
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        """End the block."""
        return None if self._block is None else self._block.__exit__(kind, error, traceback)

    def handed_to(self, run: str, *, unique: str, begins: float) -> str:
        """Return what the code of a new run is told of it (used by `Engine.start`)."""
        made = Scope(
            ledger=started_ledger(run, unique) if self._name is None else self._name,
            limits=self._limits,
            deadline=None if self._seconds is None else begins + self._seconds,
            same_call=self._same_call,
        )
        return handed((Spending(made),))


def budget(
    *,
    usd: Dollars | None = None,
    tokens: int | None = None,
    wall: Duration | None = None,
    tool_calls: int | None = None,
    same_call: int | None = None,
    scope: str | None = None,
) -> Budget:
    """Limit what agents spend in this part of a run, and in the child runs that it starts.

    `engine.start(..., budget=budget(usd="0.50"))` limits a whole run.

    Each request to a model reserves the most it can cost, and is sent only if every budget around
    it has room for that; `max_tokens` is lowered to what is left. When too little is left for a
    turn with tools, the model is told to answer without them.

    Args:
        usd: dollars, as text: "0.50". A model without a known price is refused (`set_prices`).
        tokens: input and output tokens.
        wall: how long it may take, by the run's clock.
        tool_calls: calls of tools.
        same_call: the call of a tool that is refused as a loop: with 3 the third by one run of an
            agent with the same arguments, whatever it called between them.
        scope: the name of a budget that all runs of the store share and that lasts, such as
            "tenant:acme". Without it, the budget is of this run and its children.

    Raises (on entering):
        NotInRun: outside of a run.
        UsageError: a limit that is none.
    Raises (in the block, from agents):
        OverBudget: what is left does not even pay for a short answer, or the time is over.
        BudgetUnpriced: under `usd`, or `tokens`, the worst case of a request is not known.
        Looped: see `same_call`.

    Guarantee: what providers report as used never exceeds the limits, over crashes, retries, and
    any number of concurrent runs, as far as they keep to `max_tokens`. Replay charges nothing.
    """
    limits = Limits(
        None if usd is None else _nanodollars(usd),
        _whole("tokens", tokens),
        _whole("tool_calls", tool_calls),
    )
    _whole("same_call", same_call, least=2)
    if scope is not None:
        check_name("a budget's name", scope, _NAME_CHARS)
        if scope.startswith(OF_RUNS):
            raise UsageError(f"a budget's name does not begin with {OF_RUNS!r}, as {scope!r} does")
    seconds = None if wall is None else seconds_of(wall)
    if seconds is not None and seconds <= 0:
        raise UsageError(f"budget: wall must be positive, not {wall!r}")
    return Budget(limits, seconds, same_call, scope)


@contextmanager
def _entered(
    limits: Limits, seconds: float | None, same_call: int | None, name: str | None
) -> Generator[Spent]:
    if not in_run():
        raise NotInRun(
            "budget(...) works in workflows and in handlers of durable actors: outside of a run "
            "there is no journal that could keep it"
        )
    made = Scope(
        ledger=new_ledger() if name is None else name,
        limits=limits,
        deadline=None if seconds is None else current_context().now + seconds,
        same_call=same_call,
    )
    spending = Spending(made)
    budgets = within(inherited(), spending)
    around, down = budgets_here.set(budgets), handed_down.set(handed(budgets))
    try:
        yield Spent(spending)
    finally:
        handed_down.reset(down)
        budgets_here.reset(around)


def _nanodollars(usd: Dollars) -> int:
    found = dollars_in("budget: usd", usd)
    if not (found == 0 or _USD_MIN <= found <= _USD_MAX):
        raise UsageError(f"budget: usd is 0, or from {_USD_MIN:f} to {_USD_MAX:f}, not {usd!r}")
    return limit_of(found)


def _whole(what: str, value: object, least: int = 0) -> int | None:
    if value is None or (type(value) is int and least <= value <= _WHOLE_MAX):
        return value
    raise UsageError(
        f"budget: {what} is a whole number from {least} to {_WHOLE_MAX:,}, not {value!r}"
    )
