"""Who holds a database: asked without taking the lock, which would turn a starting engine away."""

from __future__ import annotations

import os
from pathlib import Path

from outlast._store.sqlite_lock import lock_path


def holder_of(database: Path) -> int | None:
    """Return the process that owns a database, None when nobody does."""
    try:
        text = lock_path(Path(os.path.realpath(database))).read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return None
    # The owner empties the file when it lets go; one that was killed leaves its number.
    if not text.isdigit():
        return None
    try:
        os.kill(int(text), 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass  # it lives, as another user
    return int(text)
