"""More than one run, over HTTP: counting, acting on all that a query wants, comparing, logs."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

import msgspec

from outlast import limits
from outlast._engine.reading.diffs import RunDiff
from outlast._logfile import LogLine, LogPage, lines_of
from outlast.client.asking import Asking, query_of
from outlast.types import AuditInfo, BulkAction, BulkOutcome

_BULK_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class BulkDone:
    """What came of a bulk verb: how many runs it was done to, and the first that refused."""

    done: int
    failed: tuple[BulkOutcome, ...]


class _Refused(msgspec.Struct):
    id: str
    detail: str


class _Done(msgspec.Struct):
    done: int
    failed: list[_Refused]


class LookingVerbs(Asking):
    """An engine's verbs for more than one run."""

    async def count(self, query: str = "") -> int:
        """Return how many runs match a query; see `Engine.count`."""
        found = await self.ask("GET", f"/v1/count?{query_of({'query': query})}")
        return msgspec.convert(msgspec.convert(found, dict[str, object])["count"], int)

    async def bulk(
        self, action: BulkAction, query: str, *, expected: int, reason: str = ""
    ) -> BulkDone:
        """Cancel, terminate, pause, resume or retry all runs that a query wants; see `Engine.bulk`.

        `expected` is what `count(query)` gave, and somebody has seen: when the query means a tenth
        more or less by now, nothing is done. The server does it, so it goes on when we go.

        Raises:
            QueryError: the query does not parse.
            ServerRefused: `count-changed`, nothing was done; or the role does not suffice.
        """
        body = {"action": action, "query": query, "expected": expected, "reason": reason}
        found = await self.ask("POST", "/v1/bulk", body, wait=_BULK_SECONDS)
        told = msgspec.convert(found, _Done)
        return BulkDone(told.done, tuple(BulkOutcome(one.id, one.detail) for one in told.failed))

    async def audit(
        self, *, run: str | None = None, caller: str | None = None
    ) -> AsyncGenerator[AuditInfo, None]:
        """Iterate over external actions, newest first; see `Engine.audit`.

        Raises:
            ServerRefused: the role does not suffice; a viewer names a run.
        """
        query = {"run": run or "", "caller": caller or ""}
        async for info in self.items("/v1/audit", "audit", AuditInfo, **query):
            yield info

    async def logs(self, run: str = "", *, follow: bool = False) -> AsyncGenerator[LogLine, None]:
        """Iterate over the server's log lines, oldest first: of one run, or of all.

        With `follow` it goes on with what is logged from now on, and does not end.
        """

        async def page_after(place: str) -> LogPage:
            asked = query_of({"run": run, "after": place, "limit": limits.PAGE_ROWS})
            return msgspec.convert(await self.ask("GET", f"/v1/logs?{asked}"), LogPage)

        async with aclosing(lines_of(page_after, follow=follow)) as lines:
            async for line in lines:
                yield line

    async def diff(self, a: str, b: str) -> RunDiff:
        """Compare two runs: return the first difference, and their records side by side."""
        found = await self.ask("GET", f"/v1/diff?{query_of({'a': a, 'b': b})}")
        return msgspec.convert(found, RunDiff)
