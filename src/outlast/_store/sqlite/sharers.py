"""What became of the last commit of each process that writes through the owner of a database.

It is written in the commit's own transaction. So a process whose owner died before it replied can
ask the next owner, and a commit that is sent again is made once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from outlast._store.sqlite.connection import Connection
from outlast._store.sqlite.tables.batch import Shard, write_batch
from outlast._store.sqlite.tables.columns import SHARERS, fetch, is_whole, seals_of
from outlast._store.sqlite.writing import Writing
from outlast._store.transactions import CommitId, CommitResult, Receipt, Transaction
from outlast.errors import CommitUnknown, StoreDamaged, StoreError, StoreReplaced

_KEPT_MICROSECONDS = 86_400 * 1_000_000  # a process that has not asked for a day asks no more
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Receipt]).decode
_FORGET = "DELETE FROM sharers WHERE owner = ? OR at < ?"
_NOTE = f"INSERT INTO sharers ({SHARERS.selected}) VALUES (?, ?, ?, ?, ?)"


class Carried(NamedTuple):
    """What became of another process's commit; `is_new` unless it was made before."""

    results: list[CommitResult]
    is_new: bool


def commit_for(
    sharer: CommitId, batch: Sequence[Transaction], now: int, writing: Writing
) -> Carried:
    """Make another process's batch durable; sent again under its id, it is made once.

    Raises:
        StoreFull, StoreUnavailable: nothing was written; CommitUnknown: ask `outcome_for`.
    """
    known = outcome_for(sharer, writing)
    if known is not None:
        return Carried(known, is_new=False)

    def write(db: Connection, shard: Shard) -> tuple[list[CommitResult], Shard]:
        results, after = write_batch(db, shard, batch)
        _note(db, sharer, results, now)
        return results, replace(shard, position=after.position, message=after.message)

    try:
        results = writing.unless_full(batch, lambda: writing.change_shard(write))
    except StoreReplaced:
        raise
    except StoreError as fault:
        try:
            made = outcome_for(sharer, writing)
        except StoreError as lost:
            raise CommitUnknown(f"{fault}; whether it was made cannot be told: {lost}") from fault
        if made is None:
            raise
        results = made
    return Carried(results, is_new=True)


def outcome_for(sharer: CommitId, writing: Writing) -> list[CommitResult] | None:
    """Return the results of a process's last commit; None when it was not made.

    Raises:
        StoreDamaged: what was written of it is damaged.
    """
    for cells in fetch(writing.read_back(), SHARERS, "WHERE owner = ?", (sharer.owner,)):
        if not is_whole(cells):
            raise StoreDamaged(f"what became of the last commit of {sharer.owner} is damaged")
        number, results = cells[1], cells[2]
        if number == sharer.number and isinstance(results, bytes):
            return list(_decode(results))
    return None


def _note(db: Connection, sharer: CommitId, results: Sequence[CommitResult], now: int) -> None:
    db.execute(_FORGET, (sharer.owner, now - _KEPT_MICROSECONDS)).fetchall()
    cells = seals_of(db).sharers((sharer.owner, sharer.number, _encode(results), now))
    db.execute(_NOTE, cells).fetchall()
