"""The Unix socket beside a database, on which its owner serves commands and other processes.

What serves it is loaded with the first connection: an engine that is embedded in a program and
never called by another process pays for a file descriptor, no more.

Invariants:
  * only the same user (or root) is served: the socket's mode is 0600 before anything can connect,
    and the peer's user is checked before a byte of it is read;
  * a reply to a writing verb says that it is durable.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Protocol

from outlast import limits
from outlast._engine.open_engine import EngineCore
from outlast._wire.unixsocket import address_of, socket_path
from outlast._wire.verbs import EngineVerbs
from outlast._world import Timer
from outlast.errors import NotSupported

log = logging.getLogger("outlast.engine")


_SERVER = "outlast._wire.local"


class LocalServer(Protocol):
    """What serves the socket once something has connected."""

    async def serve(self, listener: socket.socket) -> None:
        """Begin to accept connections."""
        ...

    async def close(self) -> None:
        """Let requests in work end, then hang up."""
        ...


class LocalSocket:
    """Listens for one engine."""

    def __init__(self, database: Path, engine: EngineVerbs, core: EngineCore) -> None:
        self._world = core.world
        self._database = database
        self._path = socket_path(database)
        self._engine = engine
        self._core = core
        self._listener: socket.socket | None = None
        self._inode: int | None = None
        self._starting: asyncio.Task[None] | None = None
        self._server: LocalServer | None = None
        self._timer: Timer | None = None

    def open(self) -> None:
        """Listen. An engine that cannot still runs; commands then cannot reach it, and say so."""
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            # The database is ours, so whatever left a socket here is dead.
            self._path.unlink(missing_ok=True)
            with address_of(self._path) as address:
                listener.bind(address)
                # Nothing can connect before `listen`: there is no moment with another mode.
                self._path.chmod(0o600)
                self._inode = self._path.lstat().st_ino
                listener.listen(limits.SOCKET_BACKLOG)
            listener.setblocking(False)
        except (OSError, NotSupported) as error:
            listener.close()
            log.warning("cannot create the socket for commands of other processes: %s", error)
            return
        self._listener = listener
        self._world.loop.add_reader(listener, self._connected)
        self._timer = self._world.call_later(limits.SOCKET_LOOK_SECONDS, self._look)

    def _look(self) -> None:
        """Make the socket anew where its path leads to another file, or to none."""
        if self._is_in_place():
            self._timer = self._world.call_later(limits.SOCKET_LOOK_SECONDS, self._look)
            return
        log.warning("%s was deleted or replaced; creating it again", self._path)
        if self._listener is not None and self._starting is None:
            self._world.loop.remove_reader(self._listener)
            self._listener.close()
            self._listener = None
        self.open()

    def _is_in_place(self) -> bool:
        try:
            return self._path.lstat().st_ino == self._inode
        except OSError:
            return False

    def _connected(self) -> None:
        """The first connection waits to be accepted."""
        if self._listener is not None:
            self._world.loop.remove_reader(self._listener)
            self._starting = self._world.spawn(self._serve(self._listener), name="outlast-socket")

    async def _serve(self, listener: socket.socket) -> None:
        try:
            if self._server is None:
                module = await self._world.run_blocking(partial(import_module, _SERVER))
                made: Callable[[EngineVerbs, EngineCore, str], LocalServer] = module.local_server
                self._server = made(self._engine, self._core, f"{self._database}")
            await self._server.serve(listener)
        except (ImportError, OSError) as error:
            log.error("cannot serve commands of other processes: %s", error)
            listener.close()

    async def close(self) -> None:
        """Stop listening and hang up."""
        listener, self._listener = self._listener, None
        if self._timer is not None:
            self._timer.cancel()
        if listener is None:
            return
        self._world.loop.remove_reader(listener)
        if self._starting is not None:
            await asyncio.wait([self._starting])
        if self._is_in_place():
            self._path.unlink(missing_ok=True)
        if self._server is not None:
            await self._server.close()
        listener.close()


def listen_beside(database: Path, engine: EngineVerbs, core: EngineCore) -> LocalSocket:
    """Return the socket beside a database, listening for the engine that owns it."""
    local = LocalSocket(database, engine, core)
    local.open()
    return local
