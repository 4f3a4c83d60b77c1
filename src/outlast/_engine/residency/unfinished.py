"""What a message has written to streams that ends without its actor being in memory."""

from __future__ import annotations

from collections.abc import Sequence

from outlast._execution.calls.operations import WrittenBody, decode_body
from outlast._records import Record
from outlast._store.contract import Store
from outlast._store.rows import StreamRow
from outlast._store.transactions import Transaction


async def take_back(store: Store, transaction: Transaction, records: Sequence[Record]) -> None:
    """Retract, with the transaction that ends a message, what its records say that it wrote."""
    writers: dict[tuple[str, str], None] = {}
    for record in records:
        if record.kind in ("stream_written", "stream_retracted"):
            known = record.name, decode_body(record.body, WrittenBody).writer
            if record.kind == "stream_written":
                writers[known] = None
            else:
                writers.pop(known, None)
    if not writers:
        return
    ends = await store.read_stream_ends(transaction.run)
    for stream, writer in writers:
        offset = ends.get(stream, 0)
        ends[stream] = offset + 1
        row = StreamRow(
            run=transaction.run, name=stream, offset=offset, count=1, kind="retract", writer=writer
        )
        transaction.also.streams += (row,)
