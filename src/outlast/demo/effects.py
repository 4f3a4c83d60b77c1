"""The effects file: what the steps really did, written down outside the product.

Each body that begins appends one line, in one write to a file opened for appending, so that lines
of several threads and processes do not mix, and a process that dies leaves whole lines. The demo
holds the journal against it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from outlast._authoring.step import this_step

CODE = "OUTLAST_DEMO_CODE"  # of the link to the dashboard
_FILE = "OUTLAST_DEMO_EFFECTS"
_LIFE = "OUTLAST_DEMO_LIFE"


@dataclass(frozen=True, slots=True)
class Execution:
    """One body that began; `life` counts the engine processes of the demo from 1."""

    run: str
    key: str
    attempt: int
    pid: int
    life: int

    @property
    def attempt_id(self) -> tuple[str, str, int]:
        """What ought to be executed once."""
        return self.run, self.key, self.attempt


def environment(file: Path, life: int) -> Mapping[str, str]:
    """Return the variables that tell an engine's process, and its workers, where to note."""
    return {_FILE: str(file), _LIFE: str(life)}


def note_execution() -> None:
    """Append a line for the step that executes here; nothing when effects are not counted."""
    file = os.environ.get(_FILE)
    if file is None:
        return
    here = this_step()
    line = f"{here.run_id}\t{here.key}\t{here.attempt}\t{os.getpid()}\t{os.environ[_LIFE]}\n"
    descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, line.encode())
    finally:
        os.close(descriptor)


class EffectsFile:
    """Reads the file as it grows."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.executions: list[Execution] = []
        self._offset = 0

    def read_on(self) -> None:
        """Take in the lines that came since the last time."""
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            file.seek(self._offset)
            data = file.read()
        whole = data[: data.rfind(b"\n") + 1]
        self._offset += len(whole)
        for line in whole.decode().splitlines():
            run, key, attempt, pid, life = line.split("\t")
            self.executions.append(Execution(run, key, int(attempt), int(pid), int(life)))
