"""What is used of a provider's minute: never more than the limits, and nearly all of it."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from outlast._engine.providers.declared import ProviderLimit
from outlast._engine.providers.queue import Correction
from outlast.agents.providers.window import WindowState

START = 1_000_000.0
AT_ONCE = 16  # requests that are asked for together


def sent_by(limit: ProviderLimit, tokens: list[int], seconds: float) -> list[tuple[float, int]]:
    """Send requests as soon as they may be, for so many seconds; return when, and their tokens."""
    state, now, sent = WindowState(), START, list[tuple[float, int]]()
    waiting = list(tokens)
    while waiting and now < START + seconds:
        admitted = state.admit(limit, waiting[:AT_ONCE], [], now, send_by=now)
        sent += [(now, needed) for needed in waiting[: admitted.count]]
        del waiting[: admitted.count]
        assert not waiting or admitted.count == AT_ONCE or admitted.next_at > now
        now = max(now + 0.001, admitted.next_at)
    return sent


def most_in_a_minute(sent: list[tuple[float, int]], *, tokens: bool) -> int:
    first = total = most = 0
    for at, needed in sent:
        total += needed if tokens else 1
        while sent[first][0] <= at - 60:
            total -= sent[first][1] if tokens else 1
            first += 1
        most = max(most, total)
    return most


@pytest.mark.parametrize("rpm", [1, 7, 60, 500, 10_000])
def test_no_minute_has_more_requests_than_allowed_and_most_of_them_are_used(rpm: int) -> None:
    limit = ProviderLimit("p", rpm, None, None)

    sent = sent_by(limit, [0] * 10 * rpm, 305.0)

    assert most_in_a_minute(sent, tokens=False) <= rpm
    assert len(sent) >= 5 * rpm * 0.9


@pytest.mark.parametrize("seed", range(5))
def test_no_minute_has_more_tokens_than_allowed(seed: int) -> None:
    limit = ProviderLimit("p", None, 100_000, None)
    chance = random.Random(seed)
    tokens = [chance.randrange(1, 20_000) for _ in range(300)]

    sent = sent_by(limit, tokens, 605.0)

    assert most_in_a_minute(sent, tokens=True) <= 100_000
    assert sum(needed for _, needed in sent) >= 750_000


def test_a_request_that_needs_all_tokens_of_a_minute_is_sent_when_nothing_else_is() -> None:
    limit = ProviderLimit("p", None, 1_000, None)

    sent = sent_by(limit, [1_000, 1_000], 300.0)

    assert [at - START for at, _ in sent] == [0.0, pytest.approx(62, abs=1)]


def test_a_few_requests_may_be_sent_at_once_and_the_others_are_spread() -> None:
    limit = ProviderLimit("p", 60, None, None)

    sent = sent_by(limit, [0] * 40, 60.0)

    times = [at - START for at, _ in sent]
    assert times[9] == 0.0
    assert times[10] == pytest.approx(1.24, abs=0.05)  # 50 in the 62 s that are left
    assert times[39] == pytest.approx(37.2, abs=0.5)


def test_more_tokens_than_expected_are_waited_for_afterwards() -> None:
    limit = ProviderLimit("p", None, 60_000, None)
    state = WindowState()
    first = state.admit(limit, [100], [], START, send_by=START)

    second = state.admit(
        limit, [100], [Correction(first.second, 0, 30_000)], START + 1, send_by=START + 1
    )

    assert (first.count, second.count) == (1, 0)
    assert second.tokens == 30_100
    assert second.next_at == pytest.approx(START + 20.1)  # what is above 10 seconds' tokens


def test_a_turn_that_was_not_used_is_given_back() -> None:
    limit = ProviderLimit("p", 1, None, None)
    state = WindowState()
    first = state.admit(limit, [0], [], START, send_by=START)

    second = state.admit(
        limit, [0], [Correction(first.second, -1, 0)], START + 1, send_by=START + 1
    )

    assert (first.count, second.count) == (1, 1)


def test_nothing_is_sent_while_the_provider_wants_to_be_left_alone() -> None:
    limit = ProviderLimit("p", 60, None, None)
    state = WindowState()
    state.hold(START + 20, START)

    held = state.admit(limit, [0], [], START + 1, send_by=START + 1)
    after = state.admit(limit, [0], [], START + 20, send_by=START + 20)

    assert (held.count, held.next_at) == (0, START + 20)
    assert after.count == 1


def test_a_provider_that_wants_to_be_left_alone_for_days_is_asked_again_after_an_hour() -> None:
    state = WindowState()
    state.hold(START + 86_400, START)

    assert state.held_until == START + 3_600


def test_what_is_kept_of_a_minute_is_small() -> None:
    limit, state, now = ProviderLimit("p", 100_000, None, None), WindowState(), START
    for _ in range(20_000):
        now += 0.01
        state.admit(limit, [0] * 8, [], now, send_by=now)

    assert len(state.used) <= 63


@pytest.mark.parametrize("rpm", [30, 60, 120])
def test_a_queue_that_is_always_full_has_no_gaps(rpm: int) -> None:
    sent = [at for at, _ in sent_by(ProviderLimit("p", rpm, None, None), [0] * 20 * rpm, 600.0)]

    assert max(after - before for before, after in pairwise(sent)) < 3 * 60 / rpm


def test_a_clock_that_was_set_back_blocks_for_a_minute_at_most() -> None:
    limit, state = ProviderLimit("p", 20, 10_000, None), WindowState()
    for number in range(20):
        state.admit(
            limit, [400], [], START + 3_600 + 3 * number, send_by=START + 3_600 + 3 * number
        )
    state.hold(START + 3_700, START + 3_660)

    back = state.admit(limit, [400], [], START, send_by=START)
    state.held_until = 0.0
    later = state.admit(limit, [400], [], START + 90, send_by=START + 90)

    assert back.count == 0
    assert back.held_until <= START + 3_600
    assert later.count == 1


def test_one_absurd_usage_blocks_for_a_minute_at_most() -> None:
    limit, state = ProviderLimit("p", None, 1_000, None), WindowState()
    first = state.admit(limit, [10], [], START, send_by=START)

    absurd = [Correction(first.second, 0, 10**12)]
    second = state.admit(limit, [10], absurd, START + 1, send_by=START + 1)
    later = state.admit(limit, [10], [], START + 63, send_by=START + 63)

    assert second.next_at <= START + 63
    assert (second.count, later.count) == (0, 1)
