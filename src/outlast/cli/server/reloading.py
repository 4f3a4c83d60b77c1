"""`outlast dev`: the server in a process of its own, started anew when code is saved.

What runs goes on: the old process drains, the new one recovers.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import deque
from pathlib import Path

from outlast.cli.printing import note, safe_line

_CHILD = "OUTLAST_RELOADED"
# Asking for the times of some hundred files costs a millisecond. Being told by the system would
# need a library for each system.
_LOOK_SECONDS = 0.3
_DEATHS_MAX, _DEATHS_SECONDS = 3, 60.0  # who is killed more often than this is not started anew


def is_reloaded() -> bool:
    """Whether this is the process that serves, below the one that looks at files."""
    return _CHILD in os.environ


def run_and_reload(app: str) -> int:
    """Run this very command in a child, again and again; return its exit code at the end."""
    files = _Files(_root_of(app))
    stop = _Stop()
    deaths: deque[float] = deque([-_DEATHS_SECONDS] * _DEATHS_MAX, _DEATHS_MAX)
    while True:
        child = subprocess.Popen(
            [sys.executable, "-m", "outlast", *sys.argv[1:]], env={**os.environ, _CHILD: "1"}
        )
        changed = _watch(child, files, stop)
        if stop.asked or changed is None:
            _end(child)
            if stop.asked or child.returncode == 0:
                return 0
            note(f"the server {_how_it_ended(child.returncode)}")
            is_first = time.monotonic() - deaths[0] >= _DEATHS_SECONDS
            if child.returncode < 0 and is_first:
                deaths.append(time.monotonic())
                note("restarting: its runs continue")
                continue
            note("waiting for a file to change")
            changed = _wait_for_change(files, stop)
            if changed is None:
                return child.returncode or 0
        note(f"{safe_line(changed)} changed: restarting")
        _end(child)


def _how_it_ended(code: int) -> str:
    if code >= 0:
        return f"exited with code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return f"was killed by {name}"


class _Stop:
    """Whether we were asked to stop."""

    def __init__(self) -> None:
        self.asked = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._ask)

    def _ask(self, *_: object) -> None:
        self.asked = True


def _root_of(app: str) -> Path:
    path = Path(app)
    return path.resolve().parent if path.suffix == ".py" else Path.cwd()


class _Files:
    """The Python files below a directory, and when each was saved."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._times = self._look()

    def _look(self) -> dict[Path, int]:
        times: dict[Path, int] = {}
        for directory, names, files in os.walk(self._root):
            names[:] = [n for n in names if not n.startswith((".", "__")) and n != "node_modules"]
            for name in files:
                if name.endswith(".py"):
                    path = Path(directory, name)
                    try:
                        times[path] = path.stat().st_mtime_ns
                    except OSError:
                        continue  # removed between the two looks
        return times

    def changed(self) -> str | None:
        """Return one file that was saved, made or removed since the last look."""
        before, self._times = self._times, self._look()
        differing = [p for p in before.keys() | self._times.keys() if
                     before.get(p) != self._times.get(p)]  # fmt: skip
        return None if not differing else f"{min(differing).relative_to(self._root)}"


def _watch(child: subprocess.Popen[bytes], files: _Files, stop: _Stop) -> str | None:
    """Return the file that was saved; None when the child has ended or we were asked to stop."""
    while child.poll() is None and not stop.asked:
        changed = files.changed()
        if changed is not None:
            return changed
        time.sleep(_LOOK_SECONDS)
    return None


def _wait_for_change(files: _Files, stop: _Stop) -> str | None:
    while not stop.asked:
        changed = files.changed()
        if changed is not None:
            return changed
        time.sleep(_LOOK_SECONDS)
    return None


def _end(child: subprocess.Popen[bytes]) -> None:
    """Let the child drain, and wait for it."""
    if child.poll() is None:
        child.terminate()
    child.wait()
