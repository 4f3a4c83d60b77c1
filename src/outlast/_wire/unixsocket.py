"""Where the owner of a database listens: a Unix socket beside the file."""

from __future__ import annotations

import os
import pwd
import socket
import struct
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from outlast.errors import NotSupported

_ADDRESS_BYTES_MAX = 103 if sys.platform == "darwin" else 107  # sun_path, less its ending zero
_LOCAL_PEERCRED = 1  # of macOS, with SOL_LOCAL: <sys/un.h>
_SOL_LOCAL = 0


def socket_path(database: str | os.PathLike[str]) -> Path:
    """Return where the owner of a database listens."""
    full = Path(os.path.realpath(database))
    return full.with_name(full.name + ".sock")


@contextmanager
def address_of(path: Path) -> Generator[str]:
    """Give an address for a socket's path: the kernel takes about a hundred bytes, paths have more.

    Raises:
        NotSupported: it is too long, and this system has no way around that.
    """
    if len(os.fsencode(path)) <= _ADDRESS_BYTES_MAX:
        yield str(path)
        return
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        short = f"/proc/self/fd/{directory}/{path.name}"
        if not Path("/proc/self/fd").is_dir() or len(os.fsencode(short)) > _ADDRESS_BYTES_MAX:
            raise NotSupported(f"a Unix socket at a path as long as {path}")
        yield short
    finally:
        os.close(directory)


def peer_user(peer: socket.socket) -> int | None:
    """Return the user of the process at the other end, None where the system does not tell."""
    option: int | None = getattr(socket, "SO_PEERCRED", None)
    if option is not None:
        credentials = struct.Struct("3i")  # struct ucred: pid, uid, gid
        data = peer.getsockopt(socket.SOL_SOCKET, option, credentials.size)
        return int(credentials.unpack(data)[1])
    if sys.platform == "darwin":
        credentials = struct.Struct("2I")  # struct xucred: version, uid
        data = peer.getsockopt(_SOL_LOCAL, _LOCAL_PEERCRED, 76)
        return int(credentials.unpack_from(data)[1])
    return None


def user_name(user: int) -> str:
    """Return the name of a user, or its number where it has none."""
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return f"uid {user}"
