"""Why an open database serves nothing any more: damage that was found, or files that are gone."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from outlast._store.sqlite.files.watch import FileWatch, ReadWatch
from outlast._store.sqlite.tables.checks import Checks
from outlast._world import World
from outlast.errors import StoreError

C = TypeVar("C")
T = TypeVar("T")


class Condition:
    """The condition of one open database; any thread may ask."""

    def __init__(self, checks: Checks, watch: FileWatch | ReadWatch) -> None:
        self.checks: Checks = checks
        self._watch = watch

    @property
    def fault(self) -> StoreError | None:
        """What is wrong with it, for good; None while it serves."""
        return self.checks.fault or self._watch.fault

    def tell(self, world: World, hear: Callable[[StoreError], None]) -> None:
        """Call `hear` on the host loop as soon as there is a fault."""

        def found(fault: StoreError) -> None:
            try:
                world.call_soon_threadsafe(hear, fault)
            except RuntimeError:
                pass  # the loop is closed, and nothing is executed any more

        self.checks.on_fault = found
        self._watch.on_fault = found
        if (fault := self.fault) is not None:
            found(fault)

    def closed(self) -> None:
        """All connections are closed: a reader leaves nothing behind that it has made."""
        if isinstance(self._watch, ReadWatch):
            self._watch.traces.remove()

    def watched(self, job: Callable[[C], T]) -> Callable[[C], T]:
        """Return the job; that of a reader looks afterwards whether it has read the database."""
        watch = self._watch
        if isinstance(watch, FileWatch):
            return job

        def work(tool: C) -> T:
            try:
                return job(tool)
            finally:
                watch.look()

        return work
