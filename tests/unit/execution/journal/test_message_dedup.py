"""Messages that have come into memory: each once, however a reading of the mailbox meets them."""

from __future__ import annotations

import msgspec

from outlast._execution.journal.message_dedup import MessageDedup
from outlast._store.rows import Message
from tests.conformance.driving import RUN, signal


def numbered(number: int) -> Message:
    return msgspec.structs.replace(signal(RUN), number=number)


def test_a_message_is_new_once_and_one_without_a_number_always() -> None:
    arrivals = MessageDedup()

    assert [arrivals.is_new(number) for number in (1, 2, 1, 0, 0)] == [
        True, True, False, True, True,
    ]  # fmt: skip


def test_what_is_consumed_is_forgotten() -> None:
    arrivals = MessageDedup()
    arrivals.is_new(1)
    arrivals.is_new(2)

    arrivals.consumed([1])

    assert len(arrivals) == 1
    assert not arrivals.is_new(2)


def test_what_is_consumed_during_a_reading_is_known_until_the_reading_ends() -> None:
    arrivals = MessageDedup()
    arrivals.is_new(1)
    arrivals.is_new(2)
    arrivals.is_reading = True

    arrivals.consumed([1])
    arrivals.consumed([2])
    # The page that is being read may still have them.
    assert not arrivals.is_new(1)
    assert not arrivals.is_new(2)
    arrivals.end_reading()

    assert len(arrivals) == 0
    assert not arrivals.is_reading


def test_a_message_behind_what_was_read_waits_and_is_noted() -> None:
    arrivals = MessageDedup()
    assert not arrivals.must_wait(9)

    arrivals.read_to = 5
    assert not arrivals.must_wait(5)
    assert not arrivals.has_more
    assert arrivals.must_wait(6)
    assert arrivals.has_more


def test_what_came_during_replay_is_taken_once_oldest_first() -> None:
    arrivals = MessageDedup()
    for number in (3, 1, 2):
        arrivals.keep(numbered(number))

    assert [message.number for message in arrivals.take_early()] == [1, 2, 3]
    assert arrivals.take_early() == []
