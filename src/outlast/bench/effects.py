"""What the steps of the recovery profile really did, noted outside the product."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from outlast._execution.bodies.context import StepContext

_FILE = "OUTLAST_BENCH_EFFECTS"


@dataclass(frozen=True, slots=True)
class Effect:
    """One body that began."""

    key: str  # names the run, too
    pid: int
    at: float


def environment(file: Path) -> Mapping[str, str]:
    """Return the variable that tells a process where to note."""
    return {_FILE: str(file)}


def note(step: StepContext) -> None:
    """Append one line, in one write."""
    file = os.environ.get(_FILE)
    if file is None:
        return
    descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, f"{step.key}\t{os.getpid()}\t{time.time()}\n".encode())
    finally:
        os.close(descriptor)


def read_effects(file: Path) -> list[Effect]:
    """Return all that was noted so far; a line that is being written is left out."""
    if not file.exists():
        return []
    lines = file.read_text().rpartition("\n")[0].splitlines()
    effects: list[Effect] = []
    for line in lines:
        key, pid, at = line.split("\t")
        effects.append(Effect(key, int(pid), float(at)))
    return effects
