"""The ledger's arithmetic: what it grants, refuses, waits for and writes off."""

from __future__ import annotations

from dataclasses import replace

from outlast.agents.budgets import limits
from outlast.agents.budgets.amounts import Amount, Limits, Offer
from outlast.agents.budgets.ledger import LedgerState, Totals, Wish

INPUT = Amount(usd=100, tokens=10)
EACH = Amount(usd=5, tokens=1)
LAST = Offer(INPUT, EACH, least=4)
FULL = Offer(INPUT + INPUT + EACH.times(4), EACH + EACH, least=20)
WISH = Wish(
    id="r1",
    step="run key",
    attempt="1.1",
    limits=Limits(tokens=1_000),
    full=FULL,
    last=LAST,
    wanted=50,
    waits=True,
    is_named=False,
)


def test_a_turn_that_fits_has_what_it_wants_and_reserves_what_it_may_cost() -> None:
    ledger = LedgerState()

    grant = ledger.reserve(WISH, 0.0)

    assert (grant.output, grant.is_last, grant.is_busy) == (50, False, False)
    assert ledger.totals().reserved == Amount(usd=350, tokens=60)


def test_a_turn_gets_as_many_tokens_as_leave_room_for_the_last_one() -> None:
    ledger = LedgerState()

    grant = ledger.reserve(replace(WISH, limits=Limits(tokens=24 + 2 * 30)), 0.0)

    assert (grant.output, grant.is_last) == (30, False)


def test_what_does_not_pay_for_a_turn_with_tools_pays_for_the_last_turn() -> None:
    ledger = LedgerState()

    grant = ledger.reserve(replace(WISH, limits=Limits(tokens=24 + 2 * 19)), 0.0)

    assert (grant.output, grant.is_last) == (50, True)


def test_what_does_not_pay_for_the_shortest_answer_is_refused() -> None:
    ledger = LedgerState()

    enough = ledger.reserve(replace(WISH, limits=Limits(tokens=14)), 0.0)
    ledger = LedgerState()
    too_little = ledger.reserve(replace(WISH, limits=Limits(tokens=13)), 0.0)

    assert (enough.output, enough.is_last) == (4, True)
    assert (too_little.output, too_little.is_busy) == (0, False)
    assert ledger.reserved == {}


def test_the_scarcer_of_dollars_and_tokens_decides() -> None:
    ledger = LedgerState()

    grant = ledger.reserve(replace(WISH, limits=Limits(usd=130, tokens=1_000)), 0.0)

    assert (grant.output, grant.is_last) == (6, True)


def test_a_request_waits_for_what_others_have_reserved_and_may_give_back() -> None:
    ledger = LedgerState()
    allowed = Limits(tokens=100)
    ledger.reserve(replace(WISH, limits=allowed), 0.0)
    second = replace(WISH, id="r2", step="run other", limits=allowed)

    busy = ledger.reserve(second, 0.0)
    impatient = ledger.reserve(replace(second, id="r3", waits=False), 0.0)

    assert (busy.output, busy.is_busy) == (0, True)
    assert (impatient.output, impatient.is_last) == (42, True)


def test_a_request_does_not_wait_when_the_others_giving_back_would_not_help() -> None:
    ledger = LedgerState(spent=Amount(tokens=95))
    ledger.reserve(replace(WISH, limits=Limits(tokens=200)), 0.0)

    refused = ledger.reserve(
        replace(WISH, id="r2", step="run other", limits=Limits(tokens=100)), 0.0
    )

    assert (refused.output, refused.is_busy) == (0, False)


def test_settling_counts_the_cost_once_in_the_place_of_the_reservation() -> None:
    ledger = LedgerState()
    ledger.reserve(WISH, 0.0)

    ledger.settle("r1", Amount(usd=120, tokens=14))
    ledger.settle("r1", Amount(usd=120, tokens=14))

    assert ledger.totals() == Totals(120, 14)


def test_the_reservation_of_a_lost_attempt_is_spent_when_the_next_one_reserves() -> None:
    ledger = LedgerState()
    ledger.reserve(WISH, 0.0)

    ledger.reserve(replace(WISH, id="r2", attempt="2.1"), 1.0)

    assert list(ledger.reserved) == ["r2"]
    assert ledger.spent == ledger.lost == Amount(usd=350, tokens=60)


def test_requests_that_one_attempt_makes_at_once_keep_their_reservations() -> None:
    ledger = LedgerState()
    ledger.reserve(WISH, 0.0)

    ledger.reserve(replace(WISH, id="r2"), 1.0)

    assert set(ledger.reserved) == {"r1", "r2"}
    assert ledger.lost == Amount()


def test_a_reservation_that_nothing_settles_is_spent_after_an_hour() -> None:
    ledger = LedgerState()
    ledger.reserve(WISH, 0.0)
    other = replace(WISH, id="r2", step="run other")

    ledger.reserve(other, limits.RESERVATION_SECONDS)
    assert set(ledger.reserved) == {"r1", "r2"}
    ledger.reserve(replace(other, id="r3"), limits.RESERVATION_SECONDS + 1)

    assert set(ledger.reserved) == {"r2", "r3"}
    assert ledger.spent == ledger.lost == Amount(usd=350, tokens=60)


def test_calls_of_tools_are_counted_up_to_the_limit_and_can_be_given_back() -> None:
    ledger = LedgerState()
    allowed = Limits(tool_calls=2)

    counted = [ledger.count(1, allowed) for _ in range(3)]
    ledger.count(-1, allowed)

    assert counted == [True, True, False]
    assert ledger.tool_calls == 1
