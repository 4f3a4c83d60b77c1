"""File descriptors that belong to one process: a child made by fork closes its copies.

A `flock` and an open-file-description lock belong to the open file, and a fork shares it: as long
as a child keeps its copy of the descriptor, the lock outlives the parent, and a parent that was
killed would leave its database locked.

Invariant: programs started with exec never have these descriptors (O_CLOEXEC).
"""

from __future__ import annotations

import contextlib
import os

_open: set[int] = set()


def open_private(path: str, flags: int, mode: int = 0o600) -> int:
    """Open a file for this process only; `close_private` closes it."""
    descriptor = os.open(path, flags | os.O_CLOEXEC, mode)
    _open.add(descriptor)
    return descriptor


def close_private(descriptor: int) -> None:
    """Close it; in a forked child, where it is closed already, this does nothing."""
    if descriptor in _open:
        _open.remove(descriptor)
        os.close(descriptor)


def _close_copies() -> None:
    for descriptor in _open:
        with contextlib.suppress(OSError):
            os.close(descriptor)
    _open.clear()


os.register_at_fork(after_in_child=_close_copies)
