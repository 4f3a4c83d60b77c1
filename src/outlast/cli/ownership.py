"""The process that owns a database, read without taking its lock: that would turn one away."""

from __future__ import annotations

import os
from pathlib import Path

from outlast._store.sqlite.files.lock import living_holder


def holder_of(database: Path) -> int | None:
    """Return the process that owns a database, or None."""
    return living_holder(Path(os.path.realpath(database)))
