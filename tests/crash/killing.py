"""Killing processes at moments that their work gives, not the clock: machines differ in speed."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path


def begin_worker(module: str, path: Path, moment: str = "") -> subprocess.Popen[str]:
    """Start a worker on the database in a directory; it notes what it was told in a file beside."""
    return subprocess.Popen(
        [sys.executable, "-m", module, str(path / "outlast.db"), str(path / "told"), moment],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def kill_when_grown(worker: subprocess.Popen[str], file: Path, count: int) -> bool:
    """Kill a worker as soon as a file has so many new lines more; say whether it was killed.

    A line that is there already is not new: who is told the same again has come no further.
    """
    goal = _size(file) + count
    while _size(file) < goal:
        if worker.poll() is not None:
            worker.communicate()
            return False
        time.sleep(0.001)
    worker.send_signal(signal.SIGKILL)
    worker.communicate()
    return worker.returncode == -signal.SIGKILL


def _size(file: Path) -> int:
    return len(set(file.read_text().splitlines())) if file.exists() else 0
