"""What a store says happened, read after the fact through the same door that any tool uses."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from outlast.demo.digest import DIGEST
from outlast.engine import Engine
from outlast.types import CLOSED_STATUSES, RunInfo


@dataclass(frozen=True, slots=True)
class Line:
    """One record, with a fingerprint in place of its value."""

    seq: int
    kind: str
    key: str
    attempt: int
    epoch: int
    at: float
    fingerprint: bytes


@dataclass(frozen=True, slots=True)
class Journals:
    """The runs of a store and their records."""

    infos: Mapping[str, RunInfo]
    lines: Mapping[str, list[Line]]

    @property
    def open_runs(self) -> int:
        """How many runs have not ended."""
        return sum(info.status not in CLOSED_STATUSES for info in self.infos.values())

    @property
    def completed_runs(self) -> int:
        """How many runs have ended well."""
        return sum(info.status == "completed" for info in self.infos.values())

    def count(self, kind: str) -> int:
        """Return how many records of a kind there are."""
        return sum(line.kind == kind for lines in self.lines.values() for line in lines)

    def attempts(self) -> set[tuple[str, str, int]]:
        """Return the attempts whose outcome is recorded: run, key as steps know it, number."""
        return {
            (run, f"{run}/{line.key}", line.attempt)
            for run, lines in self.lines.items()
            for line in lines
            if line.kind in ("step_done", "attempt_failed")
        }

    def open_runs_max(self) -> int:
        """Return how many runs were open at one moment."""
        changes: list[tuple[float, int]] = []
        for lines in self.lines.values():
            changes += [(line.at, 1) for line in lines if line.kind == "run_started"]
            changes += [(line.at, -1) for line in lines if line.kind == "run_closed"]
        is_open = most = 0
        for _, change in sorted(changes):
            is_open += change
            most = max(most, is_open)
        return most


async def read_journals(db: Path) -> Journals:
    """Read everything in a store that no engine runs any more."""
    infos: dict[str, RunInfo] = {}
    lines: dict[str, list[Line]] = {}
    async with Engine.open(db, read_only=True) as engine:
        async for info in engine.runs():
            if info.id != DIGEST:  # what it says is read aloud, not counted
                infos[info.id] = info
        for run in infos:
            lines[run] = [
                Line(
                    seq=record.seq,
                    kind=record.kind,
                    key=record.key,
                    attempt=record.attempt,
                    epoch=record.epoch,
                    at=record.at.timestamp(),
                    fingerprint=hashlib.sha256(
                        record.stored.body if record.stored else b""
                    ).digest(),
                )
                async for record in engine.get(run).journal()
            ]
    return Journals(infos, lines)
