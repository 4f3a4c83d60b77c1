"""The part of an actor's stream that its own code reads: a log that grows, and is cut in front.

The entries are rows of the stream, so that any number of readers follows them, and no message
writes again what one before it has written. Where the part begins and ends is a value beside the
actor's state, written with the commit of a message that has changed it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec

HISTORIES = "\x00histories"  # value: where the parts begin and end, by stream

Entry = tuple[int, bytes]
"""An entry by its offset, encoded."""

_bounds = msgspec.msgpack.Decoder(dict[str, tuple[int, int]])
_encode = msgspec.msgpack.Encoder().encode


@dataclass(slots=True)
class History:
    """What an actor has in memory of one of its streams: the entries from `start` up to `end`."""

    start: int = 0
    end: int = 0
    entries: list[Entry] = field(default_factory=list[Entry])
    _before: tuple[int, int, list[Entry]] | None = None  # as it was before the message

    def append(self, offset: int, data: bytes) -> None:
        """Add an entry that was written to the stream."""
        self._remember()
        self.entries.append((offset, data))
        self.end = offset + 1

    def cut(self, start: int) -> None:
        """Read no more what is before an offset; the stream keeps it."""
        self._remember()
        self.start = start
        self.entries = [entry for entry in self.entries if entry[0] >= start]

    @property
    def has_changed(self) -> bool:
        """Whether the message that is handled has changed it."""
        return self._before is not None

    def keep(self) -> None:
        """The message has ended well."""
        self._before = None

    def undo(self) -> None:
        """Be as before the message."""
        if self._before is not None:
            self.start, self.end, self.entries = self._before
            self._before = None

    def _remember(self) -> None:
        if self._before is None:
            self._before = (self.start, self.end, self.entries.copy())


def read_histories(value: bytes | None) -> dict[str, History]:
    """Return where histories begin and end, without their entries, from the value that says so."""
    bounds = {} if value is None else _bounds.decode(value)
    return {stream: History(start, end) for stream, (start, end) in bounds.items()}


def encode_histories(histories: dict[str, History]) -> bytes:
    """Return where histories begin and end, as a value."""
    return _encode({stream: (one.start, one.end) for stream, one in histories.items()})


def entries_of(rows: Iterable[tuple[int, bytes]], history: History) -> list[Entry]:
    """Return the entries that belong to a history."""
    return [entry for entry in rows if history.start <= entry[0] < history.end]
