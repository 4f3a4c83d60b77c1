"""A run that a person has asked to stand still.

The request closes the gate that starts steps, timers and retries; steps in flight end and are
recorded. It stays in the mailbox until nothing is in flight: then one commit takes it from there
and writes the row that says "paused". So a crash before that finds the request, and one behind it
finds the run paused.
"""

from __future__ import annotations

from outlast._store.contract import Message

PAUSED = "paused by a person, until it is resumed"


class Pausing:
    """Whether one run in memory is about to pause, and what waits behind that."""

    __slots__ = ("_kept", "asked", "is_asked", "is_written", "signal_bytes")

    def __init__(self) -> None:
        self.asked: list[Message] = []
        self.is_asked: bool = False  # nothing new may begin; looked at thrice a step
        self.is_written: bool = False
        self.signal_bytes: int = 0  # of the signals that wait
        self._kept: list[Message] = []

    def begin(self, message: Message) -> None:
        """Close the gate."""
        self.is_asked = True
        self.asked.append(message)

    def keep(self, message: Message) -> None:
        """Let a message wait in its mailbox; asked to pause again, the run has been asked."""
        if message.kind == "pause":
            self.asked.append(message)
        else:
            self._kept.append(message)
            if message.kind == "signal":
                self.signal_bytes += len(message.body)

    def end(self) -> tuple[list[Message], list[Message]]:
        """Open the gate; return what was asked, unless that is consumed, and what waits behind."""
        asked = [] if self.is_written else self.asked
        kept, self._kept, self.asked = self._kept, [], []
        self.is_asked = self.is_written = False
        self.signal_bytes = 0
        return asked, kept
