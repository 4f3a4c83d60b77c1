"""One commit: a batch's facts are looked up and its plan is written, in the caller's transaction.

What becomes of each row is decided by the plan (`_store/planning`), which is a function of the
batch and of these facts.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from zlib import crc32

import msgspec
from msgspec.structs import astuple

from outlast._store.decisions import MAIL_KINDS
from outlast._store.planning.facts import questions_of
from outlast._store.planning.plan import Counters, Stage, plan_batch
from outlast._store.rows import JOIN
from outlast._store.sqlite.connection import Cell, Connection, texts
from outlast._store.sqlite.tables import columns as tables
from outlast._store.sqlite.tables import rows
from outlast._store.sqlite.tables.audit import write_audit
from outlast._store.sqlite.tables.columns import JOURNAL_LAYOUT, Seal, fetch, sealed, seals_of
from outlast._store.sqlite.tables.facts import look_up
from outlast._store.sqlite.tables.forget import forget, release
from outlast._store.sqlite.tables.tokens import close_open, write_tokens
from outlast._store.transactions import CommitResult, Transaction
from outlast.types import Lease, RunId

_encode = msgspec.msgpack.Encoder().encode


class Shard(msgspec.Struct, frozen=True):
    """The row of the one shard: its owner, and the last numbers given to what is stored."""

    owner: str
    epoch: int
    position: int
    message: int
    commits: int


def write_batch(
    db: Connection, shard: Shard, batch: Sequence[Transaction]
) -> tuple[list[CommitResult], Shard]:
    """Write a batch; return what became of each transaction, and the shard's row after it."""
    questions = questions_of(batch)
    plan = plan_batch(
        batch,
        None if questions is None else look_up(db, questions),
        Lease(0, shard.owner, shard.epoch),
        Counters(shard.position, shard.message),
    )
    number = shard.commits + 1  # of this commit
    for stage in plan.stages:
        _write(db, stage, number)
    write_audit(db, batch, plan.results)
    counters = plan.counters
    after = Shard(shard.owner, shard.epoch, counters.position, counters.message, number)
    return plan.results, after


def _write(db: Connection, stage: Stage, number: int) -> None:
    if stage.forgotten is not None:
        forget(db, [stage.forgotten], dead_letters=False)
    if stage.records:
        _write_records(db, stage, number)
    if not stage.has_more:
        return
    seals = seals_of(db)
    _write_blobs(db, stage)
    rows.RUNS.write(db, _cells(rows.run_cells(row, seals) for row in stage.rows.values()))
    summary = seals.runs_summary
    rows.SUMMARIES.write(
        db, _cells(rows.summary_cells(row, summary) for row in stage.summaries.values())
    )
    rows.HISTORIES.write(
        db, _cells(rows.segment_cells(segment, seals.histories) for segment in stage.segments)
    )
    if stage.folded:
        gone = list(stage.folded.items())
        db.executemany("DELETE FROM histories WHERE run = ? AND last_seq <= ?", gone)
    rows.MAILBOX.write(db, _cells(seals.mailbox(astuple(message)) for message in stage.posts))
    rows.CONSUMED.write(db, _cells(stage.consumed))
    rows.STREAMS.write(db, _cells(seals.streams(astuple(written)) for written in stage.streams))
    _write_values(db, stage, seals.values)
    if stage.redriven:
        db.execute(
            "DELETE FROM dead_letters WHERE number IN (SELECT value FROM json_each(?))",
            (json.dumps(stage.redriven),),
        )
    rows.DEAD.write(db, _cells(seals.dead_letters(astuple(letter)) for letter in stage.dead))
    write_tokens(db, stage.tokens)
    if stage.closed:
        closed = tuple(stage.closed)
        close_open(db, closed)
        _set_mail_aside(db, closed, seals.dead_letters)
    if stage.released is not None:
        release(db, *stage.released)


def _cells(of_rows: Iterable[Sequence[Cell]]) -> list[Cell]:
    return [cell for one in of_rows for cell in one]


def _write_records(db: Connection, stage: Stage, number: int) -> None:
    lines: list[Cell] = []
    line, seal, codec = lines.extend, lines.append, db.codec
    for run, position, records in stage.records:
        for r in records:
            # As `sealed` does it, without a call.
            cells: tuple[Cell, ...] = (position, run, r.seq, r.kind, r.key, r.name, r.at, r.epoch,
                     r.attempt, r.place, r.body, r.waited, r.took, number)  # fmt: skip
            if codec is not None:
                cells = codec.encode(JOURNAL_LAYOUT, cells)
            line(cells)
            seal(crc32(_encode(cells)))
            position += 1
    rows.JOURNAL.write(db, lines)


def _write_blobs(db: Connection, stage: Stage) -> None:
    codec = db.codec
    if codec is None:
        rows.BLOBS.write(db, [cell for blob in stage.blobs for cell in (blob.digest, blob.body)])
        rows.BLOB_REFS.write(db, _cells(map(sealed, stage.blob_refs)))
        return
    blobs: list[Cell] = []
    for blob in stage.blobs:
        address = codec.address(blob.digest)
        blobs += address, codec.encode_blob(address, blob.body)
    rows.BLOBS.write(db, blobs)
    refs = ((run, codec.address(digest)) for run, digest in stage.blob_refs)
    rows.BLOB_REFS.write(db, _cells(map(sealed, refs)))


def _write_values(db: Connection, stage: Stage, seal: Seal) -> None:
    kept: list[Cell] = []
    gone: list[Cell] = []
    for (run, name), value in stage.values.items():
        if value is None:
            gone += (run, name)
        else:
            kept += seal((run, name, value))
    rows.VALUES.write(db, kept)
    rows.FORGOTTEN_VALUES.write(db, gone)


def _set_mail_aside(db: Connection, closed: Sequence[RunId], seal: Seal) -> None:
    """Move what closed runs have not read to the dead letters."""
    which = (texts(closed), JOIN)
    rest = "WHERE run IN carray(?) AND name != ?"
    letters: list[Cell] = []
    mail = f"{rest} AND kind IN carray(?)"
    for cells in fetch(db, tables.MAILBOX, mail, (*which, texts(MAIL_KINDS))):
        letters += rows.dead_cells(cells, seal)
    rows.DEAD.write(db, letters)
    db.execute(f"DELETE FROM mailbox {rest}", which)
