"""What a handler wants done with the commit that ends its message: nothing of it if it fails."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from outlast._execution.actors.membership import Membership, Reminder
from outlast._messages.system_messages import Watch, watch_orders
from outlast._records import Blob
from outlast._store.rows import Message
from outlast._store.transactions import StartRun, Transaction


@dataclass(slots=True)
class Outbox:
    """What one handler has asked for so far; `number` is its message's."""

    number: int
    stop_reason: str | None = None
    _sent: list[Message] = field(default_factory=list[Message])
    _starts: list[StartRun] = field(default_factory=list[StartRun])
    _blobs: list[Blob] = field(default_factory=list[Blob])
    _watches: dict[str, Watch] = field(default_factory=dict[str, Watch])
    _reminders: dict[str, Reminder | None] = field(default_factory=dict[str, Reminder | None])

    def send(self, message: Message) -> None:
        """Send a message."""
        self._sent.append(message)

    def start(self, start: StartRun, blobs: Sequence[Blob]) -> None:
        """Start a run."""
        self._starts.append(start)
        self._blobs += blobs

    def watch(self, target: str, watch: Watch) -> None:
        """Have another actor watched."""
        token = f"{self.number}.{len(self._watches)}"
        self._watches[target] = msgspec.structs.replace(watch, token=token)

    def remind(self, name: str, handler: str, args: bytes, every: int) -> None:
        """Set a reminder; `every` is microseconds."""
        token = f"{self.number}.{len(self._reminders)}"
        self._reminders[name] = Reminder(handler, args, every, token)

    def forget_reminder(self, name: str) -> None:
        """Send no more of a reminder."""
        self._reminders[name] = None

    def copy(self) -> Outbox:
        """Return the wishes as they are now."""
        return Outbox(
            self.number,
            self.stop_reason,
            list(self._sent),
            list(self._starts),
            list(self._blobs),
            dict(self._watches),
            dict(self._reminders),
        )

    def put_back(self, earlier: Outbox) -> None:
        """Want no more than at an earlier time."""
        self.stop_reason = earlier.stop_reason
        self._sent, self._starts, self._blobs = earlier._sent, earlier._starts, earlier._blobs
        self._watches, self._reminders = earlier._watches, earlier._reminders

    def grant(self, transaction: Transaction, bonds: Membership, now: int) -> list[Message]:
        """Let all of it happen with a transaction; return the messages that this sends."""
        sent = self._sent
        if self._watches or self._reminders:
            actor = transaction.run
            sent += bonds.tie(transaction, self._watches, self._reminders, now)
            sent += watch_orders(actor, self._watches, now)
        if self._starts:
            transaction.also.starts += tuple(self._starts)
            transaction.also.blobs += tuple(self._blobs)
        return sent
