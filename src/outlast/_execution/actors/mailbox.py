"""The messages that wait for one actor in memory: by priority, then by age; delayed ones apart."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass

from outlast._messages.letters import Letter
from outlast._registry import ActorDefinition
from outlast._store.rows import DeathReason, Message

Waiting = tuple[Message, Letter]


@dataclass(frozen=True, slots=True)
class Overflow:
    """A message that is given up, since more would wait than may."""

    message: Message
    reason: DeathReason
    why: str


class Mailbox:
    """What one actor has still to handle."""

    __slots__ = ("delayed", "ready")

    def __init__(self) -> None:
        self.ready: list[tuple[int, int, Message, Letter]] = []
        self.delayed: list[tuple[int, int, Message, Letter]] = []

    def __len__(self) -> int:
        return len(self.ready) + len(self.delayed)

    def add(self, message: Message, letter: Letter, now: int) -> None:
        """Let a message wait for its turn."""
        if letter.due_at > now:
            heapq.heappush(self.delayed, (letter.due_at, message.number, message, letter))
        else:
            heapq.heappush(self.ready, (-letter.priority, message.number, message, letter))

    def overflow(self, message: Message, definition: ActorDefinition) -> Overflow | None:
        """Return the message that is given up for one more; it is out of the mailbox."""
        if len(self.ready) + len(self.delayed) < definition.mailbox:
            return None
        if definition.overflow == "dead_letter":
            return Overflow(message, "overflow", "the mailbox was full")
        oldest = self.take_oldest() if definition.overflow == "drop_oldest" else None
        if oldest is None:
            return None  # of the other two ways, senders were told
        return Overflow(oldest[0], "dropped", "the mailbox was full, and it was the oldest")

    def add_first(self, message: Message, letter: Letter) -> None:
        """Let a message that was begun before come before the others, whatever their priority."""
        heapq.heappush(self.ready, (-(1 << 62), message.number, message, letter))

    def add_before_all(self, message: Message, letter: Letter) -> None:
        """Let a message that begins or ends the actor's life come before all others."""
        heapq.heappush(self.ready, (-(1 << 63), message.number, message, letter))

    def of_life(self) -> list[Message]:
        """Return the messages that end with the actor's life: of its start, and reminders."""
        return [m for _, _, m, letter in (*self.ready, *self.delayed) if letter.token]

    def take(self, now: int) -> Waiting | None:
        """Return the next message whose time has come."""
        while self.delayed and self.delayed[0][0] <= now:
            _, _, message, letter = heapq.heappop(self.delayed)
            heapq.heappush(self.ready, (-letter.priority, message.number, message, letter))
        if not self.ready:
            return None
        _, _, message, letter = heapq.heappop(self.ready)
        return message, letter

    def take_if(self, condition: Callable[[Message, Letter], bool]) -> list[Message]:
        """Return the messages that are not delayed and fulfil a condition, oldest first."""
        taken = [entry for entry in self.ready if condition(entry[2], entry[3])]
        if taken:
            self.ready = [entry for entry in self.ready if not condition(entry[2], entry[3])]
            heapq.heapify(self.ready)
        return sorted((message for _, _, message, _ in taken), key=lambda m: m.number)

    def take_oldest(self) -> Waiting | None:
        """Return the message that came first, whatever its priority; a delayed one at last."""
        # Of delayed ones alone there may be too many too.
        waiting = self.ready or self.delayed
        if not waiting:
            return None
        oldest = min(waiting, key=lambda entry: entry[1])
        waiting.remove(oldest)
        heapq.heapify(waiting)
        return oldest[2], oldest[3]

    def next_due(self) -> int | None:
        """Return when the first delayed message is due."""
        return self.delayed[0][0] if self.delayed else None

    def clear(self) -> bool:
        """Forget everything, which the store still has; return whether there was anything."""
        had_mail = bool(self.ready or self.delayed)
        self.ready.clear()
        self.delayed.clear()
        return had_mail
