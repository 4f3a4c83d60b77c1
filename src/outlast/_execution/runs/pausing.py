"""A run that a person has asked to stand still.

The request closes the gate that starts steps, timers and retries; steps in flight end and are
recorded. It stays in the mailbox until nothing is in flight: then one commit takes it from there
and writes the row that says "paused". So a crash before that finds the request, and one behind it
finds the run paused.
"""

from __future__ import annotations

from outlast._store.rows import Message

PAUSED = "paused by an operator, until it is resumed"


class Pausing:
    """A run in memory was asked to pause: nothing new may begin, and messages wait."""

    __slots__ = ("asked", "is_written", "kept", "signal_bytes")

    def __init__(self, message: Message) -> None:
        self.asked: list[Message] = [message]
        self.kept: list[Message] = []  # what waits behind it
        self.is_written: bool = False  # in the row, with the next commit
        self.signal_bytes: int = 0  # of the signals that wait

    def keep(self, message: Message) -> None:
        """Let a message wait in its mailbox; asked to pause again, the run has been asked."""
        if message.kind == "pause":
            self.asked.append(message)
        else:
            self.kept.append(message)
            if message.kind == "signal":
                self.signal_bytes += len(message.body)
