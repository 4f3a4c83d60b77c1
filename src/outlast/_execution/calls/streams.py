"""Appending to a run's streams and values: what readers see, and what replay counts by.

The values travel in rows. The journal has one record of each writer, which says where it began:
what a writer adds to that are rows alone, so that a long answer is one record. Where a stream ends
is read from its rows when a run comes back into memory (`admit_stored` in `scheduler.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from outlast import limits
from outlast._execution.calls.operations import WrittenBody, encode_body
from outlast._execution.journal.view import RunJournal
from outlast._records import VALUE
from outlast._store.rows import StreamRow
from outlast._store.stream_values import packed_values


def write_stream(
    journal: RunJournal,
    offsets: dict[str, int],
    now: int,
    *,
    stream: str,
    key: str,
    writer: str,
    values: Sequence[bytes],
) -> None:
    """Append the first values of a writer, encoded."""
    written = WrittenBody(writer, offsets.get(stream, 0), len(values))
    journal.append("stream_written", at=now, key=key, name=stream, body=encode_body(written))
    write_more(journal, offsets, stream=stream, writer=writer, values=values)


def write_more(
    journal: RunJournal,
    offsets: dict[str, int],
    *,
    stream: str,
    writer: str,
    values: Sequence[bytes],
) -> None:
    """Append values of a writer that the journal knows."""
    offset = offsets.get(stream, 0)
    offsets[stream] = offset + len(values)
    rows: list[StreamRow] = []
    for part in _parts(values):
        row = StreamRow(
            run=journal.run,
            name=stream,
            offset=offset,
            count=len(part),
            kind="data",
            writer=writer,
            body=packed_values(part),
        )
        rows.append(row)
        offset += len(part)
    journal.transaction().also.streams += tuple(rows)


def retract(
    journal: RunJournal, offsets: dict[str, int], now: int, *, stream: str, key: str, writer: str
) -> None:
    """Take back all that a writer has written."""
    offset = offsets.get(stream, 0)
    offsets[stream] = offset + 1
    written = WrittenBody(writer, offset, 1)
    journal.append("stream_retracted", at=now, key=key, name=stream, body=encode_body(written))
    row = StreamRow(
        run=journal.run, name=stream, offset=offset, count=1, kind="retract", writer=writer
    )
    journal.transaction().also.streams += (row,)


def close_writer(
    journal: RunJournal, offsets: dict[str, int], now: int, *, stream: str, key: str, writer: str
) -> None:
    """Record where a writer stands that no outcome follows: nothing waits for its step."""
    written = WrittenBody(writer, offsets.get(stream, 0), 0)
    journal.append("stream_written", at=now, key=key, name=stream, body=encode_body(written))


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
