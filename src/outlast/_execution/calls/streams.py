"""Appending to a run's streams and values: what readers see, and what replay counts by.

The values travel in the row; the record says only who wrote how many at which offset.
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
    values: Sequence[bytes] | None,
) -> None:
    """Append encoded values of one writer, or with None the retraction of all it wrote."""
    offset = offsets.get(stream, 0)
    count = 1 if values is None else len(values)
    offsets[stream] = offset + count
    journal.append(
        "stream_retracted" if values is None else "stream_written",
        at=now,
        key=key,
        name=stream,
        body=encode_body(WrittenBody(writer, offset, count)),
    )
    transaction = journal.transaction()
    if values is None:
        row = StreamRow(
            run=journal.run, name=stream, offset=offset, count=1, kind="retract", writer=writer
        )
        transaction.also.streams += (row,)
        return
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
    transaction.also.streams += tuple(rows)


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
