"""The ledger of one budget: what is spent, what is reserved, and what a request may have.

Invariants:
  * spent and reserved together never exceed the limits that a reservation was granted under;
  * a reservation is counted until it is settled, and as spent at its worst case if it never is.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from outlast._actors.actor import Actor, actor, handler
from outlast._authoring.workflow import wf
from outlast._messages.actor_ids import BUDGETS
from outlast.agents.budgets import limits
from outlast.agents.budgets.amounts import NO_LIMITS, NOTHING, Amount, Limits, Offer


@dataclass(frozen=True, slots=True)
class Reservation:
    """What one attempt at a request may cost: `attempt` of the step `step` makes it."""

    amount: Amount
    step: str
    attempt: str
    at: float


@dataclass(frozen=True, slots=True)
class Wish:
    """What a request asks of a ledger.

    `full` is what must be affordable for a turn with tools, `last` for one without; the request
    itself costs what `last` says. `waits`: whether to wait for other reservations to be settled.
    """

    id: str
    step: str
    attempt: str
    limits: Limits
    full: Offer
    last: Offer
    wanted: int
    waits: bool
    is_named: bool


@dataclass(frozen=True, slots=True)
class Totals:
    """What a ledger has counted."""

    usd: int = 0
    tokens: int = 0
    tool_calls: int = 0
    reserved: Amount = NOTHING

    def after(self, cost: Amount) -> Totals:
        """Return what is counted when a request with this cost has been settled."""
        return replace(self, usd=self.usd + cost.usd, tokens=self.tokens + cost.tokens)


NO_TOTALS = Totals()


@dataclass(frozen=True, slots=True)
class Grant:
    """The answer to a wish: so many output tokens, 0 for none.

    `is_busy`: there may be enough when other reservations have been settled.
    """

    output: int
    is_last: bool
    is_busy: bool
    totals: Totals


@dataclass
class LedgerState:
    """What is kept. `limits` are those that were asked under last; they are only shown."""

    limits: Limits = NO_LIMITS
    spent: Amount = NOTHING
    tool_calls: int = 0
    lost: Amount = NOTHING  # the part of `spent` that is the worst case of lost attempts
    reserved: dict[str, Reservation] = field(default_factory=dict[str, Reservation])
    used_at: float = 0.0

    def totals(self) -> Totals:
        """Return the sums."""
        return Totals(self.spent.usd, self.spent.tokens, self.tool_calls, self.reserved_sum())

    def reserved_sum(self) -> Amount:
        """Return what is reserved."""
        total = NOTHING
        for reservation in self.reserved.values():
            total += reservation.amount
        return total

    def reserve(self, wish: Wish, now: float) -> Grant:
        """Reserve what a request costs at most, if the limits have room for it."""
        self._write_off(wish.step, wish.attempt, now)
        self.limits = wish.limits
        totals = self.totals()  # as they are without this request
        room = wish.limits.room(self.spent + totals.reserved)
        output, is_last = wish.full.affordable(room, wish.wanted), False
        if not output:
            output, is_last = wish.last.affordable(room, wish.wanted), True
            alone = wish.limits.room(self.spent)  # when all others have been given back
            is_full_later = wish.full.affordable(alone, wish.wanted) > 0
            is_any_later = wish.last.affordable(alone, wish.wanted) > 0
            if wish.waits and (is_full_later or (is_any_later and not output)):
                return Grant(0, is_last=False, is_busy=True, totals=totals)
        if output:
            cost = wish.last.cost(output)
            self.reserved[wish.id] = Reservation(cost, wish.step, wish.attempt, now)
        return Grant(output, is_last=is_last, is_busy=False, totals=totals)

    def settle(self, id: str, cost: Amount) -> None:
        """Count what a request has cost in the place of its reservation."""
        if self.reserved.pop(id, None) is not None:  # else it was written off
            self.spent += cost

    def count(self, calls: int, allowed: Limits) -> bool:
        """Count calls of tools, if so many are allowed; a negative number is given back."""
        self.limits = allowed
        after = self.tool_calls + calls
        if calls > 0 and allowed.tool_calls is not None and after > allowed.tool_calls:
            return False
        self.tool_calls = max(0, after)
        return True

    def _write_off(self, step: str, attempt: str, now: float) -> None:
        """Count reservations as spent that nothing will settle: of attempts that are over."""
        before = now - limits.RESERVATION_SECONDS
        for key, found in list(self.reserved.items()):
            is_replaced = found.step == step and found.attempt != attempt
            if is_replaced or found.at < before:
                del self.reserved[key]
                self.spent += found.amount
                self.lost += found.amount


@actor(name=BUDGETS, mailbox=1_000_000)
class Ledger(Actor[LedgerState]):
    """The ledger of one budget, which serves one message at a time."""

    @handler
    async def reserve(self, wish: Wish) -> Grant:
        """Reserve what a request costs at most, if there is room."""
        self._is_used(is_named=wish.is_named)
        return self.state.reserve(wish, self.state.used_at)

    @handler
    async def settle(self, id: str, cost: Amount) -> None:
        """Count what a request has cost."""
        self.state.settle(id, cost)

    @handler
    async def count(self, calls: int, allowed: Limits, is_named: bool) -> tuple[bool, Totals]:
        """Count calls of tools, if so many are allowed."""
        self._is_used(is_named=is_named)
        return self.state.count(calls, allowed), self.state.totals()

    @handler
    async def read(self) -> Totals:
        """Return what is counted."""
        return self.state.totals()

    @handler
    async def close_unused(self) -> None:
        """Stop when the run that the budget was made for has not used it for long."""
        if wf.now().timestamp() - self.state.used_at >= limits.UNUSED_SECONDS:
            self.stop()

    def _is_used(self, *, is_named: bool) -> None:
        if not self.state.used_at and not is_named:
            self.reminder(every=limits.UNUSED_SECONDS).tell(Ledger.close_unused)
        self.state.used_at = wf.now().timestamp()
