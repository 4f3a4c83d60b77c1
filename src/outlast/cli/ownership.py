"""The process that owns a database, read without taking its lock: that would turn one away."""

from __future__ import annotations

import os
from pathlib import Path

from outlast._store.sqlite_lock import read_holder


def holder_of(database: Path) -> int | None:
    """Return the process that owns a database, None when nobody does."""
    # The owner empties the line when it lets go; one that was killed leaves its number.
    pid = read_holder(Path(os.path.realpath(database)))
    if pid is None:
        return None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass  # it lives, as another user
    return pid
