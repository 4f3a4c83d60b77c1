"""The engine's verbs for many runs: counting, acting on all that a query wants, comparing two."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping

from outlast import limits
from outlast._engine.open_engine import EngineCore
from outlast._engine.opening import Opened
from outlast._engine.reading.diffs import RunDiff, compared
from outlast._handles.run import Run
from outlast._store.auditing import acting, acting_as
from outlast._wording.names import check_name
from outlast.errors import EngineClosed, OutlastError, StoreError, UsageError
from outlast.types import BulkAction, BulkOutcome, RunId, Status

_GOING: frozenset[Status] = frozenset(("pending", "running", "waiting"))
_STANDING: frozenset[Status] = frozenset(("paused", "parked"))
_NOT_COMPLETED: frozenset[Status] = frozenset(
    ("parked", "failed", "cancelled", "terminated", "timed_out")
)
_NOT_PAUSED: frozenset[Status] = frozenset((*_GOING, "parked"))
APPLIES: Mapping[BulkAction, frozenset[Status]] = {
    "cancel": _GOING | _STANDING,
    "terminate": _GOING | _STANDING,
    "pause": _NOT_PAUSED,
    "resume": _STANDING,
    "retry": _NOT_COMPLETED,
}
"""The statuses of the runs that an action is for; all others are passed over."""


class BulkVerbs(ABC):
    """What an open engine does with more than one run."""

    @abstractmethod
    def _require_open(self) -> Opened:
        """Return the open store, and the engine on it if it is not for reading only."""

    @property
    @abstractmethod
    def _core(self) -> EngineCore:
        """The engine; StoreReadOnly when the store is open for reading only."""

    async def count(self, query: str = "") -> int:
        """Return how many runs match a query; counting stops at `limits.COUNT_MAX`.

        Raises:
            QueryError: the query does not parse.
        """
        return await self._require_open().reader.count(query)

    async def bulk(
        self, action: BulkAction, query: str, *, reason: str = ""
    ) -> AsyncIterator[BulkOutcome]:
        """Cancel, terminate, pause, resume or retry all runs that a query wants, newest first.

        Those that the action is not for are passed over: cancelling is for open runs, resuming for
        paused and parked ones, retrying for parked ones and those that did not complete. Leaving
        the iteration stops it; what was done stays done. `reason` is kept with each.

        Raises:
            QueryError: the query does not parse.
            StoreError, EngineClosed: it could not go on.
        """
        if action not in APPLIES:
            raise UsageError(f"bulk does {', '.join(APPLIES)}; not {action!r}")
        core = self._core
        page: list[RunId] = []
        async for row in core.reader.runs(query):
            if row.status in APPLIES[action]:
                page.append(row.id)
            if len(page) == limits.BULK_AT_ONCE:
                for outcome in await self._act(core, action, page, reason):
                    yield outcome
                page = []
        for outcome in await self._act(core, action, page, reason):
            yield outcome

    async def _act(
        self, core: EngineCore, action: BulkAction, page: list[RunId], reason: str
    ) -> list[BulkOutcome]:
        runs: list[Run[object]] = [Run(run, core=core) for run in page]
        return list(await asyncio.gather(*(_act_on(run, action, reason) for run in runs)))

    async def diff(self, a: str, b: str) -> RunDiff:
        """Compare two runs: return the first difference, and their records side by side.

        Raises:
            RunNotFound
        """
        reader = self._require_open().reader
        one, two = (RunId(check_name("a run id", run, limits.ID_CHARS_MAX)) for run in (a, b))
        return compared(await reader.journal(one), await reader.journal(two))


async def _act_on(run: Run[object], action: BulkAction, reason: str) -> BulkOutcome:
    """Do it to one run; that it cannot be done to one must not keep it from the others."""
    who = acting()
    with acting_as(None if who is None else who.on(RunId(run.id))):
        return await _done_to(run, action, reason)


async def _done_to(run: Run[object], action: BulkAction, reason: str) -> BulkOutcome:
    try:
        match action:
            case "cancel":
                await run.cancel(reason)
            case "terminate":
                await run.terminate(reason)
            case "pause":
                await run.pause(reason=reason)
            case "resume":
                await run.resume(reason=reason)
            case "retry":
                await run.retry(reason=reason)
    except (StoreError, EngineClosed):
        raise
    except OutlastError as error:
        return BulkOutcome(run.id, f"{error}")
    return BulkOutcome(run.id)
