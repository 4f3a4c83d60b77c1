"""The audit in a database: written with what was done, read newest first, deleted by age."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import astuple, replace

from outlast._store.auditing import VIAS, AuditRow, Via
from outlast._store.decisions import outcome_of
from outlast._store.sqlite.connection import Cell, Connection
from outlast._store.sqlite.tables.columns import AUDIT, fetch, is_whole, seals_of
from outlast._store.transactions import NO_EFFECTS, CommitResult, Receipt, Transaction
from outlast.types import RunId

_NUMBER = "SELECT seq FROM sqlite_sequence WHERE name = 'audit'"
_INSERT = (
    f"INSERT INTO audit ({AUDIT.selected}) VALUES ({', '.join('?' * (len(AUDIT.columns) + 1))})"
)
_KEPT = "SELECT max(number) FROM audit"


def write_audit(
    db: Connection, batch: Sequence[Transaction], results: Sequence[CommitResult]
) -> None:
    """Write the rows that a batch carries, in its transaction."""
    if not any(t.effects is not None and t.effects.audit for t in batch):
        return
    seal = seals_of(db).audit
    [*_, number] = [0, *(int(f"{last}") for (last,) in db.execute(_NUMBER).fetchall())]
    for transaction, result in zip(batch, results, strict=True):
        if not isinstance(result, Receipt):
            continue
        outcome = outcome_of(result)
        for row in (transaction.effects or NO_EFFECTS).audit:
            number += 1
            kept = replace(row, number=number, outcome=row.outcome or outcome)
            cells = (*astuple(kept)[:-1], int(kept.is_traffic))  # as the column gives it back
            db.execute(_INSERT, seal(cells)).fetchall()


def read_audit(
    db: Connection, before: int | None, limit: int, *, run: RunId | None, caller: str | None
) -> list[AuditRow]:
    """Return a page of the audit, newest first; a damaged row says that it is."""
    terms = ["number < ?"]
    cells: list[Cell] = [1 << 62 if before is None else before]
    for column, wanted in (("run", run), ("caller", caller)):
        if wanted is not None:
            terms.append(f"{column} = ?")
            cells.append(wanted)
    rest = f"WHERE {' AND '.join(terms)} ORDER BY number DESC LIMIT ?"
    return [_row(found) for found in fetch(db, AUDIT, rest, (*cells, limit))]


def is_due(
    db: Connection, before: int, traffic_before: int, traffic_max: int, caller_max: int
) -> bool:
    """Say whether `prune_audit` may find something."""
    old = "SELECT 1 FROM audit WHERE is_traffic = ? AND at < ? LIMIT 1"
    if any(db.execute(old, cells).fetchall() for cells in ((0, before), (1, traffic_before))):
        return True
    [[count]] = db.execute(
        "SELECT coalesce(max(number) - min(number) + 1, 0) FROM audit"
    ).fetchall()
    return isinstance(count, int) and count > min(traffic_max, caller_max)


def prune_audit(
    db: Connection, before: int, traffic_before: int, traffic_max: int, caller_max: int
) -> int:
    """Delete rows whose time is over, or of which their caller has too many."""
    db.execute(
        "DELETE FROM audit WHERE (is_traffic = 0 AND at < ?) OR (is_traffic = 1 AND "
        f"(at < ? OR number <= ({_KEPT}) - ?))",
        (before, traffic_before, traffic_max),
    ).fetchall()
    gone = db.changes()
    much = "SELECT caller FROM audit GROUP BY caller HAVING count(*) > ?"
    for (caller,) in db.execute(much, (caller_max,)).fetchall():
        db.execute(
            "DELETE FROM audit WHERE caller = ? AND number <= (SELECT number FROM audit "
            "WHERE caller = ? ORDER BY number DESC LIMIT 1 OFFSET ?)",
            (f"{caller}", f"{caller}", caller_max),
        ).fetchall()
        gone += db.changes()
    return gone


def _row(cells: Sequence[object]) -> AuditRow:
    number, at, caller, role, via, verb, target, run, reason, outcome, is_traffic, _ = cells
    ways: list[Via] = [way for way in VIAS if way == via]
    whole = is_whole(cells)
    return AuditRow(
        number=number if isinstance(number, int) else 0,
        at=at if isinstance(at, int) else 0,
        caller=f"{caller}",
        role=f"{role}",
        via=ways[0] if ways else "http",
        verb=f"{verb}",
        target=f"{target}",
        run=RunId(f"{run}"),
        reason=f"{reason}",
        outcome=f"{outcome}" if whole else "damaged: not what was written",
        is_traffic=bool(is_traffic),
    )
