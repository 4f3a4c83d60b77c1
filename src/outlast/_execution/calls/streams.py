"""Appending to a run's streams and values: what readers see, and what replay counts by.

The values travel in rows. The journal has one record of each writer, which says where it began:
what a writer adds to that are rows alone, so that a long answer is one record. Where a stream ends
is read from its rows when a run comes back into memory (`admit_stored` in `scheduler.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from outlast import limits
from outlast._execution.calls.operations import WrittenBody, encode_body
from outlast._execution.journal.view import RunJournal
from outlast._records import VALUE, Record
from outlast._store.decisions import life_of
from outlast._store.rows import RunRow, StreamRow
from outlast._store.stream_values import packed_values


class RunStreams:
    """The streams of one run, as it and its steps write them."""

    __slots__ = ("_journal", "offsets")

    def __init__(self, journal: RunJournal) -> None:
        self._journal: RunJournal = journal
        self.offsets: dict[str, int] = {}  # where each of them ends

    def life_of(self, row: RunRow) -> str:
        """Return what tells writers of now from those of other lives of the run."""
        return life_of(row)

    def writer_of(self, key: str, row: RunRow) -> str:
        """Return what the code itself, not a step of it, is called as the writer of one value."""
        return key

    def write(
        self, stream: str, values: Sequence[bytes], *, key: str, writer: str, now: int
    ) -> None:
        """Append the first values of a writer, encoded."""
        self._record("stream_written", stream, key=key, writer=writer, count=len(values), now=now)
        self.write_more(stream, values, writer=writer)

    def write_more(self, stream: str, values: Sequence[bytes], *, writer: str) -> None:
        """Append values of a writer that the journal knows."""
        offset = self.offsets.get(stream, 0)
        self.offsets[stream] = offset + len(values)
        rows: list[StreamRow] = []
        for part in _parts(values):
            row = StreamRow(
                run=self._journal.run,
                name=stream,
                offset=offset,
                count=len(part),
                kind="data",
                writer=writer,
                body=packed_values(part),
            )
            rows.append(row)
            offset += len(part)
        self._journal.transaction().also.streams += tuple(rows)

    def retract(self, stream: str, *, key: str, writer: str, now: int) -> None:
        """Take back all that a writer has written."""
        offset = self.offsets.get(stream, 0)
        self._record("stream_retracted", stream, key=key, writer=writer, count=1, now=now)
        self.offsets[stream] = offset + 1
        row = StreamRow(
            run=self._journal.run,
            name=stream,
            offset=offset,
            count=1,
            kind="retract",
            writer=writer,
        )
        self._journal.transaction().also.streams += (row,)

    def close_writer(self, stream: str, *, key: str, writer: str, now: int) -> None:
        """Record where a writer stands that no outcome follows: nothing waits for its step."""
        self._record("stream_written", stream, key=key, writer=writer, count=0, now=now)

    def delivered(self, record: Record, body: WrittenBody) -> None:
        """Keep count of offsets."""
        # Live, later writes may be on their way already: an offset never goes back.
        end = body.offset + body.count
        self.offsets[record.name] = max(end, self.offsets.get(record.name, 0))

    def _record(
        self,
        kind: Literal["stream_written", "stream_retracted"],
        stream: str,
        *,
        key: str,
        writer: str,
        count: int,
        now: int,
    ) -> None:
        body = encode_body(WrittenBody(writer, self.offsets.get(stream, 0), count))
        self._journal.append(kind, at=now, key=key, name=stream, body=body)


def _parts(values: Sequence[bytes]) -> Iterator[list[bytes]]:
    """Divide values so that a reader needs no more than one part at once."""
    part: list[bytes] = []
    size = 0
    for value in values:
        if part and size + len(value) > limits.STREAM_ROW_BYTES:
            yield part
            part, size = [], 0
        part.append(value)
        size += len(value)
    yield part


def write_value(
    journal: RunJournal, now: int, *, name: str, data: bytes, key: str, place: str = ""
) -> None:
    """Append a value that the code, or one of its steps, has set; readers see the last one."""
    journal.append("value_set", at=now, key=key, name=name, body=VALUE + data, place=place)
    transaction = journal.transaction()
    transaction.also.values += ((name, data),)
