"""The messages of one actor in memory: who comes first, and who is given up."""

from __future__ import annotations

from dataclasses import replace

import pytest

from outlast._execution.actors.mailbox import Mailbox
from outlast._messages.letters import Letter
from outlast.types import Overflow
from tests.unit.execution.actors.messages import definition, message

NOW = 1_000


def filled(*letters: Letter) -> Mailbox:
    mail = Mailbox()
    for number, letter in enumerate(letters, start=1):
        mail.add(message(number, letter), letter, NOW)
    return mail


def taken(mail: Mailbox, now: int = NOW) -> list[int]:
    numbers: list[int] = []
    while (waiting := mail.take(now)) is not None:
        numbers.append(waiting[0].number)
    return numbers


def test_messages_come_by_priority_and_then_by_age() -> None:
    mail = filled(Letter(b""), Letter(b"", priority=1), Letter(b""), Letter(b"", priority=1))

    assert taken(mail) == [2, 4, 1, 3]


def test_a_delayed_message_waits_until_it_is_due() -> None:
    mail = filled(Letter(b"", due_at=NOW + 5), Letter(b""))

    assert mail.next_due() == NOW + 5
    assert taken(mail) == [2]
    assert taken(mail, NOW + 5) == [1]
    assert mail.next_due() is None


def test_a_message_that_was_begun_comes_before_priorities_and_one_of_life_before_that() -> None:
    mail = filled(Letter(b"", priority=1_000_000))
    mail.add_first(message(2), Letter(b""))
    mail.add_before_all(message(3), Letter(b""))

    assert taken(mail) == [3, 2, 1]


def test_only_messages_of_its_life_end_with_an_actor() -> None:
    mail = filled(Letter(b""), Letter(b"", token="1"), Letter(b"", due_at=NOW + 5, token="2"))

    assert [one.number for one in mail.of_life()] == [2, 3]
    assert len(mail) == 3


def test_those_that_fulfil_a_condition_are_taken_oldest_first() -> None:
    mail = filled(Letter(b"a"), Letter(b"b", priority=-1), Letter(b"b"), Letter(b"c"))

    found = mail.take_if(lambda _, letter: letter.args == b"b")

    assert [one.number for one in found] == [2, 3]
    assert taken(mail) == [1, 4]


@pytest.mark.parametrize(
    ("overflow", "given_up", "left"),
    [
        ("reject", None, [2, 1]),
        ("block", None, [2, 1]),
        ("dead_letter", (3, "overflow"), [2, 1]),
        ("drop_oldest", (1, "dropped"), [2]),
    ],
)
def test_a_full_mailbox_gives_up_what_its_class_says(
    overflow: Overflow, given_up: tuple[int, str] | None, left: list[int]
) -> None:
    mail = filled(Letter(b""), Letter(b"", priority=1))

    found = mail.overflow(message(3), replace(definition(), overflow=overflow))

    assert given_up == (None if found is None else (found.message.number, found.reason))
    assert taken(mail) == left


def test_a_mailbox_with_room_gives_up_nothing() -> None:
    mail = filled(Letter(b""))

    assert mail.overflow(message(2), definition()) is None


def test_a_delayed_message_is_the_oldest_when_there_is_no_other() -> None:
    mail = filled(Letter(b"", due_at=NOW + 9), Letter(b"", due_at=NOW + 5))

    found = mail.overflow(message(3), replace(definition(), overflow="drop_oldest"))

    assert found is not None
    assert found.message.number == 1


def test_a_cleared_mailbox_says_whether_it_had_anything() -> None:
    mail = filled(Letter(b"", due_at=NOW + 5))

    assert [mail.clear(), mail.clear()] == [True, False]
    assert len(mail) == 0
