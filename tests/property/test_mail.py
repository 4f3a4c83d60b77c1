"""The messages that wait in memory come out as from a list that is searched each time."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from outlast._execution.actors.mailbox import Mailbox, Waiting
from outlast._messages.letters import Letter
from outlast._store.rows import Message
from outlast.types import RunId


@dataclass
class Entry:
    """One message of the model."""

    number: int
    priority: int
    due_at: int
    is_first: bool = False

    @property
    def turn(self) -> tuple[bool, int, int]:
        return (not self.is_first, -self.priority, self.number)


class MailMachine(RuleBasedStateMachine):
    """Rules do the same to a `Mail` and to a list."""

    def __init__(self) -> None:
        super().__init__()
        self.mail = Mailbox()
        self.entries: list[Entry] = []
        self.taken: list[Waiting] = []
        self.now = 100
        self.seen_at = 100  # when what had come due was last looked at
        self.number = 0

    @rule(priority=st.integers(-2, 2), delay=st.integers(0, 4))
    def add(self, priority: int, delay: int) -> None:
        self.number += 1
        due_at = self.now + delay if delay else 0
        letter = Letter(args=b"", priority=priority, due_at=due_at)
        message = Message(run=RunId("a"), kind="tell", number=self.number)
        self.mail.add(message, letter, self.now)
        self.entries.append(Entry(self.number, priority, due_at))

    @rule(seconds=st.integers(1, 3))
    def time_passes(self, seconds: int) -> None:
        self.now += seconds

    @rule()
    def take(self) -> None:
        self.seen_at = self.now
        ready = [entry for entry in self.entries if entry.due_at <= self.now]
        self._same(min(ready, key=lambda entry: entry.turn, default=None), self.mail.take(self.now))

    @rule()
    def put_back_first(self) -> None:
        if self.taken and not any(entry.is_first for entry in self.entries):
            message, letter = self.taken.pop()
            self.mail.add_first(message, letter)
            self.entries.append(Entry(message.number, letter.priority, 0, is_first=True))

    @rule()
    def take_oldest(self) -> None:
        among = [entry for entry in self.entries if entry.due_at <= self.seen_at] or self.entries
        oldest = min(among, key=lambda entry: entry.number, default=None)
        self._same(oldest, self.mail.take_oldest())

    @rule()
    def clear(self) -> None:
        self.mail.clear()
        self.entries.clear()

    def _same(self, expected: Entry | None, found: Waiting | None) -> None:
        assert (expected and expected.number) == (found and found[0].number)
        if expected is not None and found is not None:
            self.entries.remove(expected)
            self.taken.append(found)

    @invariant()
    def it_knows_what_waits(self) -> None:
        delayed = [entry.due_at for entry in self.entries if entry.due_at > self.seen_at]
        assert len(self.mail) == len(self.entries)
        assert self.mail.next_due() == min(delayed, default=None)
        assert bool(self.mail.ready) == (len(delayed) < len(self.entries))


TestMail = MailMachine.TestCase
