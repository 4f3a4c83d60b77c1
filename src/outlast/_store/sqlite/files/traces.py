"""The files that reading makes beside a database: SQLite wants a log and shared memory for that.

A reader deletes neither at its close, because it cannot be sure that they are unused. SQLite can:
it deletes an empty log and its shared memory with the last connection of all processes.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import apsw

from outlast._store.sqlite.connection import connect
from outlast._store.sqlite.files import byte_locks as sqlite_byte_locks


class Traces:
    """Made before a database is read; `remove` deletes what reading it has made since."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._files = [path.with_name(f"{path.name}{suffix}") for suffix in ("-wal", "-shm")]
        self._are_ours = not any(file.exists() for file in self._files)

    def remove(self) -> None:
        """Let SQLite delete the files, unless somebody else uses them or has written."""
        # Elsewhere an owner that lost its locks to code of its own process looks absent.
        if not self._are_ours or not sqlite_byte_locks.ARE_SUPPORTED:
            return
        try:
            if not self._path.exists() or not any(file.exists() for file in self._files):
                return
            if self._files[0].exists() and self._files[0].stat().st_size:
                return
            db = connect(str(self._path), apsw.SQLITE_OPEN_READWRITE)
            try:
                db.execute("SELECT 1 FROM sqlite_schema").fetchall()
            finally:
                db.close(True)
        except (OSError, apsw.Error):
            pass  # they are empty, and do no harm


@contextmanager
def without_traces(path: Path) -> Generator[None]:
    """Read a database in this block, and leave no files beside it that were not there."""
    traces = Traces(path)
    try:
        yield
    finally:
        traces.remove()
