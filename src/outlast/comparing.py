"""The engine's verbs that look at many runs, or at two of them side by side."""

from __future__ import annotations

from abc import ABC, abstractmethod

from outlast._engine.diffs import RunDiff, compared
from outlast._engine.opening import Opened
from outlast.types import RunId


class ComparingVerbs(ABC):
    """What an open store tells of more than one run."""

    @abstractmethod
    def _require_open(self) -> Opened:
        """Return the open store, and the engine on it if it is not for reading only."""

    async def diff(self, a: str, b: str) -> RunDiff:
        """Return where two runs part, and their records side by side.

        Raises:
            RunNotFound
        """
        reader = self._require_open().reader
        return compared(await reader.journal(RunId(a)), await reader.journal(RunId(b)))
