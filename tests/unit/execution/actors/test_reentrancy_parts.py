"""Asks that come back into the message which is handled, on a loop and a journal alone."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from outlast._execution.actors.actor_memory import ActorState
from outlast._execution.actors.handled_message import HandledMessage
from outlast._execution.actors.mailbox import Mailbox
from outlast._execution.actors.reentrancy import Reentrancy
from outlast._execution.calls.unreadable import Unreadable
from outlast._execution.journal.view import RunJournal
from outlast._execution.loop.event_loop import NOBODY, RunLoop, new_loop
from outlast._messages.letters import Letter, caller
from outlast._records import Record
from outlast._store.rows import DeathReason, Message, RunRow
from outlast._store.transactions import Transaction
from outlast.types import Lease
from tests.unit.execution.actors.messages import (
    ACTOR,
    Notes,
    definition,
    handled,
    letter_with,
    message,
)

ROW = RunRow(id=ACTOR, shard=0, workflow="parts.Notes", version="", status="waiting", created_at=1)
BACK = caller(ACTOR, 1)  # the link of a chain that leads back into message 1


@dataclass
class Ended:
    """Keeps the messages that had their ends."""

    numbers: list[int] = field(default_factory=list[int])
    outcomes: list[bytes] = field(default_factory=list[bytes])
    dead: list[tuple[int, DeathReason, str]] = field(
        default_factory=list[tuple[int, DeathReason, str]]
    )

    def done(self, message: Message, outcome: bytes) -> None:
        """Keep one."""
        self.numbers.append(message.number)
        self.outcomes.append(outcome)

    def give_up(self, message: Message, reason: DeathReason, why: str) -> object:
        """Keep one that is a dead letter."""
        self.dead.append((message.number, reason, why))
        return None

    def give_up_unhandled(self, message: Message, reason: DeathReason, why: str) -> None:
        """Keep one that is a dead letter."""
        self.give_up(message, reason, why)


class Parts:
    """An actor that handles message 1, which waits."""

    def __init__(self, records: list[Record] | None = None) -> None:
        self.sent: list[Transaction] = []
        self.loop: RunLoop = new_loop(NOBODY, salt=1, now=1.0)
        self.journal = RunJournal(
            ACTOR,
            lease=Lease(0, "worker", 1),
            records=records or [],
            row=ROW,
            submit=self.sent.append,
            rouse=lambda: None,
        )
        self.state = ActorState(ACTOR, "a", definition(), self.loop, None)
        self.state.load([])
        self.ended = Ended()
        self.reentrancy = Reentrancy(self.journal, self.loop, self.state, self.ended)
        self.outer: HandledMessage = handled(1, sender="parts.Notes/outer")
        if not records:
            self.journal.end_replay()

    @property
    def lines(self) -> list[str]:
        assert isinstance(self.state.actor, Notes)
        return self.state.actor.state.lines

    def kinds(self) -> list[str]:
        return [record.kind for commit in self.sent for record in commit.records]

    def put_back(self) -> list[int]:
        """Return what waits its turn when the outer message has ended, in that order."""
        mail, numbers = Mailbox(), list[int]()
        self.reentrancy.put_back(mail, 5)
        while (waiting := mail.take(5)) is not None:
            numbers.append(waiting[0].number)
        return numbers

    def comes_in(self, inner: Message) -> None:
        assert self.reentrancy.let_in(inner, self.outer, 5)
        [*_, record] = self.sent[-1].records
        self.reentrancy.deliver(record, self.outer)
        self.loop.drain()


def nested(number: int, name: str = "add", line: str = "inner") -> Message:
    letter = letter_with(line, sender="parts.Notes/inner", chain=("parts.Notes/b\n4", BACK))
    return message(number, letter, name=name, kind="ask")


def test_only_an_ask_from_whom_this_very_message_waits_for_comes_in() -> None:
    parts = Parts()

    def comes_in(number: int, *chain: str, outer: HandledMessage | None = parts.outer) -> bool:
        return parts.reentrancy.let_in(message(number, Letter(b"", chain=chain)), outer, 5)

    assert not comes_in(2)
    assert not comes_in(3, caller(ACTOR, 2))
    assert not comes_in(4, "parts.Notes/ab\n1")
    assert not comes_in(5, BACK, outer=None)
    assert parts.kinds() == []
    assert comes_in(6, "parts.Notes/b\n4", BACK)
    assert parts.kinds() == ["message_nested"]


def test_a_message_begun_anew_lets_those_in_that_wait_for_it() -> None:
    parts, mail = Parts(), Mailbox()
    for number, chain in ((3, (BACK,)), (2, ()), (4, (BACK,))):
        letter = Letter(b"", chain=chain)
        mail.add(message(number, letter), letter, 5)

    parts.reentrancy.let_waiting_in(mail, parts.outer, 5)

    assert parts.put_back() == [3, 4]
    assert len(mail) == 1


def test_a_nested_message_is_handled_on_the_same_state_and_answered_after_its_record() -> None:
    parts = Parts()

    parts.comes_in(nested(2))

    assert parts.lines == ["inner"]
    assert parts.kinds() == ["message_nested", "nested_ended"]
    assert parts.ended.numbers == [2]
    assert parts.put_back() == []


def test_a_message_that_steers_is_no_caller_of_what_the_outer_one_asks() -> None:
    parts = Parts()

    parts.comes_in(nested(2, name="wait"))

    assert parts.lines == ["inner"]
    assert parts.reentrancy.chain() is None


def test_nothing_is_handled_before_the_record_of_it_is_durable() -> None:
    parts = Parts()

    parts.reentrancy.let_in(nested(2), parts.outer, 5)
    parts.loop.drain()

    assert (parts.lines, parts.ended.numbers) == ([], [])
    assert parts.put_back() == [2]


def test_a_nested_handler_that_fails_changes_neither_the_state_nor_what_the_outer_sends() -> None:
    parts = Parts()
    parts.outer.outbox.send(message(0))

    parts.comes_in(nested(2))
    parts.comes_in(nested(3, name="refuse"))

    assert parts.lines == ["inner"]
    assert parts.ended.numbers == [2, 3]
    assert b"ValueError" in parts.ended.outcomes[1]
    assert parts.outer.outbox.copy() == parts.outer.outbox


def test_the_outer_handler_sees_its_own_sender_again() -> None:
    parts = Parts()

    parts.comes_in(nested(2))

    assert isinstance(parts.state.actor, Notes)
    assert str(parts.state.actor.sender) == "parts.Notes/outer"


def test_a_nested_message_without_a_handler_is_answered_with_an_error() -> None:
    parts = Parts()

    parts.comes_in(nested(2, name="gone"))

    assert b"the actor has no handler 'gone'" in parts.ended.outcomes[0]


def test_a_nested_message_that_cannot_be_read_names_no_message_to_give_up() -> None:
    parts = Parts()
    unfit = message(2, Letter(b"\xc1", chain=(BACK,)), kind="ask")

    with pytest.raises(Unreadable) as caught:
        parts.comes_in(unfit)

    assert caught.value.culprit is None


def test_a_replayed_message_whose_end_is_not_recorded_ends_when_the_replay_is_over() -> None:
    before = Parts()
    before.reentrancy.let_in(nested(2), before.outer, 5)
    [record] = before.sent[0].records
    parts = Parts([record])

    parts.reentrancy.deliver(record, parts.outer)
    parts.loop.drain()
    assert (parts.lines, parts.ended.numbers, parts.kinds()) == (["inner"], [], [])
    assert parts.reentrancy.chain() is None
    parts.journal.end_replay()
    parts.reentrancy.answer_ended()

    assert parts.ended.numbers == [2]
    assert parts.kinds() == ["nested_ended"]
