"""From a url to an open engine: which store, and what is assembled around it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from outlast._codec.stored.layers import BodyCodec
from outlast._engine.open_engine import CoreOptions, EngineCore
from outlast._engine.reading.reader import Reader
from outlast._execution.bodies.process_code import refuse_while_loading
from outlast._execution.bodies.processes import ProcessPool
from outlast._registry import Registry
from outlast._store.contract import Store
from outlast._store.memory.database import MemoryDatabase
from outlast._store.memory.store import MemoryStore
from outlast._store.sqlite.shared import Connect, SharedSqliteStore
from outlast._store.sqlite.store import SqliteStore
from outlast._world import RealWorld, World
from outlast.errors import NotSupported, UsageError


@dataclass(frozen=True, slots=True)
class Target:
    """Where an engine's data is."""

    kind: Literal["sqlite", "memory"]
    name: str
    read_only: bool = False
    share: bool = False
    codec: BodyCodec | None = None
    """What a command was given to read it with; that of the program comes first."""


def parse_url(url: str, *, read_only: bool, share: bool = False) -> Target:
    """Return what a path or url means.

    Raises:
        UsageError: a url that is none; NotSupported: a store that this version does not have.
    """
    scheme, colon, rest = url.partition("://")
    if read_only and share:
        raise UsageError("share=True needs a writable engine: with read_only=True, leave it out")
    if not colon:
        return Target("sqlite", _file(url), read_only, share)
    if scheme == "memory":
        if read_only:
            raise UsageError(
                "a memory:// store exists only inside its own process, so it cannot be opened "
                "with read_only=True"
            )
        return Target("memory", rest)
    if scheme == "sqlite":
        if not rest.startswith("/") or rest == "/":
            raise UsageError(f"{url!r}: write sqlite:///relative.db or sqlite:////absolute.db")
        return Target("sqlite", _file(rest[1:]), read_only, share)
    if scheme in ("postgres", "postgresql"):
        raise NotSupported("a Postgres store")
    raise UsageError(f"{url!r} is not a path or a sqlite:/// or memory:// URL")


def _file(path: str) -> str:
    if not path:
        raise UsageError("the database path is empty: give a path or a sqlite:/// URL")
    if "\0" in path:
        raise UsageError(f"{path!r} is no path: it contains a NUL character")
    if path.strip("/") == "":
        raise UsageError(f"{path!r} is a directory: give the path of a database file")
    return path


_databases: dict[str, MemoryDatabase] = {}


class Closes(Protocol):
    """What is closed between the drain and the store."""

    async def close(self) -> None:
        """Close it."""
        ...


class Opened:
    """An open engine, or a store opened for reading."""

    def __init__(
        self,
        store: Store,
        reader: Reader,
        core: EngineCore | None,
    ) -> None:
        self.store = store
        self.reader = reader
        self.core = core
        self.on_left: Callable[[], None] | None = None  # called once
        self.socket: Closes | None = None  # on which other processes are served

    async def close(self, grace_seconds: float) -> None:
        """Drain and close; a second call does nothing.

        Raises:
            StoreUnavailable: the store did not take all in time; everything is closed.
        """
        on_left, self.on_left = self.on_left, None
        if on_left is not None:
            on_left()
        if self.core is None:
            await self.store.close()
            return
        if self.core.served_by is not None:
            self.core.served_by.drain()
        await self.core.drain(grace_seconds)
        if self.socket is not None:
            await self.socket.close()
        await self.core.close()
        if self.core.writer.given_up is not None:
            raise self.core.writer.given_up


async def open_target(
    target: Target, options: CoreOptions, registry: Registry, connect: Connect | None = None
) -> Opened:
    """Open a store, and unless it is for reading only, an engine on it.

    `connect` finds the owner of a database that is to be shared.
    """
    refuse_while_loading()
    world = RealWorld()
    store = await _open_store(target, world, connect, options.codec or target.codec)
    if target.read_only:
        return Opened(store, Reader(store, world, registry), None)
    core = EngineCore(world, store, registry, options, processes=_processes)
    try:
        await core.open()
    except BaseException:
        await core.close()
        raise
    return Opened(store, core.reader, core)


def _processes(core: EngineCore) -> ProcessPool:
    options = core.options
    return ProcessPool(core.world, options.resources, workers_max=options.step_processes)


async def _open_store(
    target: Target, world: World, connect: Connect | None, codec: BodyCodec | None
) -> Store:
    if target.kind == "memory":
        database = _databases.get(target.name)
        if database is None:
            database = MemoryDatabase(clock=world.now)
            _databases[target.name] = database
        return MemoryStore(database, world)
    path = Path(target.name)
    if target.share and connect is not None:
        return await SharedSqliteStore.share(path, world=world, connect=connect, codec=codec)
    return await SqliteStore.open(path, world=world, read_only=target.read_only, codec=codec)
