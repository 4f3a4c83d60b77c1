"""Killing processes at moments that their work gives, not the clock: machines differ in speed."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path


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
