"""What a built executable does before anything else runs in it.

One file is two processes: the outer one unpacks it, waits, and removes what it unpacked. SIGTERM it
passes on; SIGKILL it cannot, and then nothing is cleaned up. Both are handled here.

Invariants:
  * the inner process does not outlive the outer one: whoever kills what he started has killed it;
  * what a killed executable left behind is removed by the next one, and never what is in use.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import shutil
import signal
import sys
from collections.abc import MutableMapping
from pathlib import Path

MARK = ".outlast-in-use"
_PREFIX = "_MEI"  # of the directories that the bootloader unpacks to
_PR_SET_PDEATHSIG = 1


def prepare(home: Path, executable: Path) -> None:
    """Make good what a one-file executable lacks; a directory needs nothing of it."""
    if home.parent == executable.parent:
        return
    die_with_parent()
    hold(home)
    for left in leftovers(home.parent):
        shutil.rmtree(left, ignore_errors=True)


def restore_library_path(environment: MutableMapping[str, str]) -> None:
    """Let programs that steps start find the system's libraries, not ours.

    The bootloader set the variable for this process, whose loader has read it long since.
    """
    original = environment.pop("LD_LIBRARY_PATH_ORIG", None)
    if original is not None:
        environment["LD_LIBRARY_PATH"] = original
    else:
        environment.pop("LD_LIBRARY_PATH", None)


def die_with_parent() -> None:
    """Have the system send us SIGKILL when the outer process ends."""
    if sys.platform != "linux":
        return
    outer = os.getppid()
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != outer:
        os.kill(os.getpid(), signal.SIGKILL)  # it had ended before we asked


def hold(home: Path) -> None:
    """Mark a directory as in use, for as long as this process lives."""
    descriptor = os.open(home / MARK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    # Left open on purpose: the system drops the lock when the process ends, however it ends.
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def leftovers(place: Path) -> list[Path]:
    """Return the directories that were in use by processes which are gone.

    One without a mark is not ours, or is about to be marked.
    """
    found: list[Path] = []
    for mark in sorted(place.glob(f"{_PREFIX}*/{MARK}")):
        try:
            if mark.parent.lstat().st_uid != os.getuid():
                continue
            descriptor = os.open(mark, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            continue  # somebody else's, or just gone
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            found.append(mark.parent)
        except OSError:
            pass  # in use
        finally:
            os.close(descriptor)
    return found
