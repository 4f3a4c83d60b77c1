"""A ledger never grants more than its limits, whatever its callers do and lose."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from outlast.agents.budgets import limits
from outlast.agents.budgets.amounts import Amount, Limits, Offer
from outlast.agents.budgets.ledger import LedgerState, Wish

LIMIT = Limits(usd=20_000, tokens=5_000)
amounts = st.builds(Amount, usd=st.integers(0, 3_000), tokens=st.integers(0, 800))
prices = st.builds(Amount, usd=st.integers(0, 20), tokens=st.just(1))


class Ledger(RuleBasedStateMachine):
    """Callers that reserve, settle at no more than was reserved, die, and try again."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger = LedgerState()
        self.now = 0.0
        self.number = 0
        self.billed = Amount()  # what the provider has counted
        self.open: dict[str, Amount] = {}

    @rule(
        base=amounts,
        later=amounts,
        each=prices,
        wanted=st.integers(1, 600),
        least=st.integers(1, 60),
        step=st.sampled_from("abcdef"),
        waits=st.booleans(),
    )
    def reserve(
        self,
        base: Amount,
        later: Amount,
        each: Amount,
        wanted: int,
        least: int,
        step: str,
        *,
        waits: bool,
    ) -> None:
        """Reserve for a new attempt of a step; what an earlier attempt may still cost is billed."""
        self.number += 1
        reservation = f"r{self.number}"
        last = Offer(base, each, least)
        grant = self.ledger.reserve(
            Wish(
                id=reservation,
                step=step,
                attempt=f"{self.number}",
                limits=LIMIT,
                full=Offer(base + later, each + each, least),
                last=last,
                wanted=wanted,
                waits=waits,
                is_named=False,
            ),
            self.now,
        )
        assert not (grant.output and grant.is_busy)
        assert grant.output <= wanted
        if grant.output:
            self.open[reservation] = last.cost(grant.output)

    @rule(data=st.data())
    def settle(self, data: st.DataObject) -> None:
        """Settle one reservation, at no more than it is, perhaps twice."""
        if self.open:
            reservation = data.draw(st.sampled_from(sorted(self.open)))
            worst = self.open.pop(reservation)
            used = data.draw(st.integers(0, 100))
            cost = Amount(worst.usd * used // 100, worst.tokens * used // 100)
            self.billed += cost
            self.ledger.settle(reservation, cost)
            self.ledger.settle(reservation, cost)

    @rule(data=st.data())
    def lose(self, data: st.DataObject) -> None:
        """Die in the midst of a request that the provider bills in full."""
        if self.open:
            self.billed += self.open.pop(data.draw(st.sampled_from(sorted(self.open))))

    @rule(hours=st.integers(0, 2))
    def wait(self, hours: int) -> None:
        """Let time pass, but not while requests are under way: none takes an hour."""
        if not self.open:
            self.now += hours * limits.RESERVATION_SECONDS

    @invariant()
    def keeps_to_its_limits(self) -> None:
        """What the ledger counts is at most the limit, and at least what was billed."""
        used = self.ledger.spent + self.ledger.reserved_sum()
        assert used.usd <= 20_000
        assert used.tokens <= 5_000
        assert self.billed.usd <= used.usd
        assert self.billed.tokens <= used.tokens


TestLedger = Ledger.TestCase
