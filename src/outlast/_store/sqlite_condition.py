"""Why an open database serves nothing any more: damage that was found, or files that are gone."""

from __future__ import annotations

from collections.abc import Callable

from outlast._store.sqlite_checks import Checks
from outlast._store.sqlite_watch import FileWatch
from outlast._world import World
from outlast.errors import StoreError


class Condition:
    """The condition of one open database; any thread may ask."""

    def __init__(self, checks: Checks, watch: FileWatch | None) -> None:
        self._checks = checks
        self._watch = watch

    @property
    def fault(self) -> StoreError | None:
        """What is wrong with it, for good; None while it serves."""
        return self._checks.fault or (None if self._watch is None else self._watch.fault)

    def tell(self, world: World, hear: Callable[[StoreError], None]) -> None:
        """Call `hear` on the host loop as soon as there is a fault."""

        def found(fault: StoreError) -> None:
            try:
                world.call_soon_threadsafe(hear, fault)
            except RuntimeError:
                pass  # the loop is closed, and nothing is executed any more

        self._checks.on_fault = found
        if self._watch is not None:
            self._watch.on_fault = found
        if (fault := self.fault) is not None:
            found(fault)
