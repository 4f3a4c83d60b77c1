"""The engine's verb for who did what from outside."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator

from outlast._engine.opening import Opened
from outlast._engine.reading.audit import audit_of
from outlast.types import AuditInfo


class AuditVerbs(ABC):
    """What an open engine tells of its callers."""

    @abstractmethod
    def _require_open(self) -> Opened:
        """Return the open store, and the engine on it if it is not for reading only."""

    async def audit(
        self, *, run: str | None = None, caller: str | None = None
    ) -> AsyncIterator[AuditInfo]:
        """Iterate over the audit log, newest first: actions by callers of servers and commands.

        What the program does by itself is not in it. Of one run, of one caller, or all.
        """
        lookups = self._require_open().store.lookups
        async for info in audit_of(lookups, run=run, caller=caller):
            yield info
