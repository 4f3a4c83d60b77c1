"""Reading the audit: who did what from outside."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

from outlast import limits
from outlast._store.auditing import AuditReads, AuditRow
from outlast.types import AuditInfo, RunId

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


async def audit_page(
    store: AuditReads, before: int | None, limit: int, *, run: str | None, caller: str | None
) -> list[AuditInfo]:
    """Return a page of the audit, newest first, of what is numbered below `before`."""
    rows = await store.read_audit(
        before, limit, run=None if run is None else RunId(run), caller=caller
    )
    return [_info_of(row) for row in rows]


async def audit_of(
    store: AuditReads, *, run: str | None, caller: str | None
) -> AsyncIterator[AuditInfo]:
    """Iterate over the audit, newest first."""
    before: int | None = None
    while True:
        page = await audit_page(store, before, limits.PAGE_ROWS, run=run, caller=caller)
        for info in page:
            yield info
        if len(page) < limits.PAGE_ROWS:
            return
        before = page[-1].number


def _info_of(row: AuditRow) -> AuditInfo:
    return AuditInfo(
        number=row.number,
        at=_EPOCH + timedelta(microseconds=row.at),
        caller=row.caller,
        role=row.role,
        via=row.via,
        verb=row.verb,
        target=row.target,
        run=row.run or None,
        reason=row.reason,
        outcome=row.outcome,
    )
