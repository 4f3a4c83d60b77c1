"""The messages of one run that have come into memory, each once.

A message may come twice: handed over when it was committed, and read from the mailbox. What the
run has consumed leaves the mailbox, so only a reading that began before may bring it again.

Invariant: the number of a message is known here from its first coming until it is neither in the
mailbox nor in the answer of a reading that is under way.
"""

from __future__ import annotations

from collections.abc import Iterable

from outlast._store.rows import Message


class MessageDedup:
    """What has come, and how far the mailbox has been read."""

    __slots__ = ("_consumed", "_early", "_numbers", "has_more", "is_reading", "read_to")

    def __init__(self) -> None:
        # Made with the first message: most runs get none, and an empty set takes 216 bytes.
        self._numbers: set[int] | None = None
        self._consumed: set[int] | None = None  # durably, since the reading under way began
        self._early: list[Message] | None = None
        self.read_to: int | None = None  # what is above waits in the mailbox; None: nothing is
        self.has_more: bool = False  # something came into the mailbox since a page was read
        self.is_reading: bool = False

    def __len__(self) -> int:
        return 0 if self._numbers is None else len(self._numbers)

    def is_new(self, number: int) -> bool:
        """Take note of a message; False when it had come before. Those without a number are new."""
        if not number:
            return True
        if self._numbers is None:
            self._numbers = set()
        elif number in self._numbers:
            return False
        self._numbers.add(number)
        return True

    def must_wait(self, number: int) -> bool:
        """Whether a message stays in the mailbox, behind others that have not been read."""
        if self.read_to is None or number <= self.read_to:
            return False
        self.has_more = True
        return True

    def keep(self, message: Message) -> None:
        """Keep a message until the run has been replayed."""
        if self._early is None:
            self._early = []
        self._early.append(message)

    def take_early(self) -> list[Message]:
        """Return what came while the run was replayed, oldest first."""
        early, self._early = self._early, None
        return [] if early is None else sorted(early, key=lambda m: m.number)

    def consumed(self, numbers: Iterable[int]) -> None:
        """Messages are durably gone from the mailbox."""
        if self._numbers is None:
            return
        if not self.is_reading:
            self._numbers.difference_update(numbers)
        elif self._consumed is None:
            self._consumed = set(numbers)
        else:
            self._consumed.update(numbers)

    def end_reading(self) -> None:
        """No reading of the mailbox is under way."""
        self.is_reading = False
        if self._numbers is not None and self._consumed is not None:
            self._numbers -= self._consumed
        self._consumed = None
