"""One stream in a protocol of web pages, from its beginning: which events there are, and their ids.

What an encoder makes of a value depends on all that came before. So a client that comes again is
exact only if the stream is encoded again from its beginning, as it was for that client: with the
values that it was shown, and without those that were retracted before it came. That is its *view*:
the offset below which retractions were known when it began.

The values at an offset become a batch of events, of none or several. An id is
`MARK-VIEW.BATCH.NUMBER`: batch 0 is the beginning, 1 and up the value at offset BATCH - 1, and the
number counts within the batch. `MARK-end.VIEW.BATCH.NUMBER` is of the end, `MARK-done.…` the last.

Invariants:
  * the events behind an id are the same whenever they are asked for;
  * a client that was sent values that are retracted later is told so, or begins anew: it never
    has words of a dead attempt beside those of the next.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from outlast._store.rows import StreamRow
from outlast._wire.live.protocols import Encode, ProtocolEncoder
from outlast.types import Status

_ID = re.compile(r"([0-9a-f]+)-(end\.|done\.)?(\d{1,18})\.(\d{1,18})\.(\d{1,18})", re.ASCII)
_ALL = 1 << 60
FAILURES: Mapping[str, str] = {
    "failed": "The run failed.",
    "cancelled": "The run was cancelled.",
    "terminated": "The run was terminated.",
    "timed_out": "The run took longer than it may.",
    "replaced": "The run was replaced by another one with the same id.",
}
"""What a page is told: what has failed, without anything of the error, which may be internal."""
UNREADABLE = "The stream has a value that this protocol cannot express."


@dataclass(frozen=True, slots=True)
class Place:
    """The last event that a client has, as its view is encoded; None of the view: it is new."""

    view: int | None = None
    batch: int = -1
    number: int = _ALL
    is_at_end: bool = False
    has_all: bool = False

    @property
    def has_whole_batch(self) -> bool:
        """Whether the client may not lack events of the batch."""
        return self.batch < 0 or self.number == _ALL


def place_of(last_id: str, mark: str) -> Place:
    """Return where the client is that sends an id; a new one if the id is not of this past."""
    found = _ID.fullmatch(last_id)
    if found is None or found[1] != mark:
        return Place()
    view, batch, number = int(found[3]), int(found[4]), int(found[5])
    return Place(view, batch, number, found[2] is not None, found[2] == "done.")


def place_at(offset: int) -> Place:
    """Return where the client is that wants the values from an offset on."""
    return Place(None, offset) if offset else Place()


class Translation:
    """Encodes one stream as it is in one view; `encode` and the others give events with ids."""

    def __init__(
        self, encoder: ProtocolEncoder, mark: str, view: int, retracted: Mapping[str, int]
    ) -> None:
        self.view: int = view
        self.is_superseded = False  # what was sent can only be taken back by beginning anew
        self.is_broken = False  # there is a value that the protocol cannot express
        self._encoder = encoder
        self._mark = mark
        self._hidden = {writer for writer, offset in retracted.items() if offset < view}
        self._shown: set[str] = set()

    @property
    def is_over(self) -> bool:
        """Whether no more values are translated."""
        return self.is_superseded or self.is_broken

    def hides(self, row: StreamRow) -> bool:
        """Whether a row is of no attempt that counts in this view."""
        return row.writer in self._hidden

    def parse(self, value: bytes) -> Encode:
        """Return what `encode` takes, of a value as JSON; may be called on any thread."""
        return self._encoder.parse(value)

    def begin(self) -> list[bytes]:
        """Return the events that come first."""
        return self._named(self._encoder.begin(), f"{self.view}.0")

    def encode(self, offset: int, writer: str, encode: Encode) -> list[bytes]:
        """Return the events of a value."""
        self._shown.add(writer)
        return self._named(encode(offset, writer), f"{self.view}.{offset + 1}")

    def retract(self, row: StreamRow) -> list[bytes]:
        """Return the events that take back a writer's values; none if it was not shown."""
        if row.writer not in self._shown:
            return []
        if not self._encoder.can_retract:
            self.is_superseded = True
            return []
        events = self._encoder.retract(row.offset, row.writer)
        return self._named(events, f"{self.view}.{row.offset + 1}")

    def end(self, offset: int, status: Status | None) -> list[bytes]:
        """Return the events that come last."""
        error = UNREADABLE if self.is_broken else FAILURES.get(status or "replaced", "")
        events = self._encoder.end(error, status)
        place = f"{self.view}.{offset}"
        *first, last = self._named(events, f"end.{place}")
        return [*first, last.replace(b"-end.", b"-done.", 1)]

    def close(self) -> None:
        """Let go of what the encoder holds."""
        self._encoder.close()

    def _named(self, events: Sequence[bytes], batch: str) -> list[bytes]:
        return [
            b"id: %s-%s.%d\n%s" % (self._mark.encode(), batch.encode(), number, event)
            for number, event in enumerate(events, start=1)
        ]
