"""Open-file-description locks on bytes of a file, where the operating system has them (Linux).

Unlike a POSIX lock, such a lock belongs to the open file: closing another descriptor of the same
file does not drop it. It excludes locks of other open files, in this process and in others.
"""

from __future__ import annotations

import fcntl
import os
import struct

# `struct flock`: l_type, l_whence, l_start, l_len, l_pid, which must be 0 here.
_FLOCK = struct.Struct("hhqqi0q")

ARE_SUPPORTED: bool = hasattr(fcntl, "F_OFD_SETLK")


def share(descriptor: int, first: int, count: int) -> None:
    """Take a shared lock.

    Raises:
        OSError: another open file has an exclusive one (BlockingIOError), or there are none here.
    """
    _set(descriptor, fcntl.F_RDLCK, first, count)


def exclude(descriptor: int, first: int, count: int) -> None:
    """Take an exclusive lock; the descriptor must be open for writing.

    Raises:
        OSError: another open file has any lock (BlockingIOError), or there are none here.
    """
    _set(descriptor, fcntl.F_WRLCK, first, count)


def release(descriptor: int, first: int, count: int) -> None:
    """Let go of a lock."""
    _set(descriptor, fcntl.F_UNLCK, first, count)


def holders(descriptor: int, first: int, count: int) -> set[int]:
    """Return processes that have a lock of any kind there; -1 stands for one that cannot be told.

    Locks of this process count, but for those of this open file. For each byte one of the other
    processes is found.

    Raises:
        OSError: there are none here.
    """
    found: set[int] = set()
    for byte in range(first, first + count):
        # The second asks for POSIX locks of others alone, behind which our own are not seen.
        for question in (fcntl.F_OFD_GETLK, fcntl.F_GETLK):
            lock = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, byte, 1, 0)
            kind, _, _, _, holder = _FLOCK.unpack(fcntl.fcntl(descriptor, question, lock))
            if kind != fcntl.F_UNLCK:
                found.add(holder or -1)  # 0: of another container
    return found


def _set(descriptor: int, kind: int, first: int, count: int) -> None:
    lock = _FLOCK.pack(kind, os.SEEK_SET, first, count, 0)
    fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, lock)
