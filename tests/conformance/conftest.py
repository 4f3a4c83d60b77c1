"""The stores that are held to the contract, each with its own idea of where data lies."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Protocol

import pytest
from typing_extensions import override

from outlast._codec.stored.keys import Keys
from outlast._codec.stored.layers import BodyCodec, CodecLayer, codec_of, compressed, encrypted
from outlast._store.contract import Store
from outlast._store.memory.database import MemoryDatabase
from outlast._store.memory.store import MemoryStore
from outlast._store.sqlite.store import SqliteStore
from outlast._world import RealWorld
from tests.conformance.driving import Driver

LEASE_SECONDS = 15.0


class Home(Protocol):
    """Where one store's data lies."""

    async def open(self) -> Store:
        """Open it for the first time."""
        ...

    async def open_after_a_death(self, store: Store) -> Store:
        """Open it anew: the engine that had `store` died, and its leases have run out."""
        ...


class _MemoryHome(Home):
    def __init__(self) -> None:
        self._world = RealWorld()
        self._now = 1_000_000
        self._database = MemoryDatabase(
            clock=lambda: self._now,
            shards_count=4,
            lease_seconds=LEASE_SECONDS,
        )

    @override
    async def open(self) -> Store:
        return MemoryStore(self._database, self._world)

    @override
    async def open_after_a_death(self, store: Store) -> Store:
        await store.close()
        self._now += int(LEASE_SECONDS * 1e6) + 1
        return MemoryStore(self._database, self._world)


class _SqliteHome(Home):
    def __init__(self, path: Path, codec: BodyCodec | None = None) -> None:
        self._path = path
        self._codec = codec
        self._world = RealWorld()

    @override
    async def open(self) -> Store:
        return await SqliteStore.open(self._path, world=self._world, codec=self._codec)

    @override
    async def open_after_a_death(self, store: Store) -> Store:
        await store.close()
        return await self.open()


@pytest.fixture(params=["memory", "sqlite", "encrypted", "compressed"])
async def home(request: pytest.FixtureRequest, tmp_path: Path) -> Home:
    layers: dict[str, CodecLayer | list[CodecLayer]] = {
        "encrypted": [compressed(), encrypted(Keys({"k1": bytes(range(32))}))],
        "compressed": compressed(),
    }
    if request.param == "memory":
        return _MemoryHome()
    return _SqliteHome(tmp_path / "outlast.db", codec_of(layers.get(request.param)))


@pytest.fixture
async def store(home: Home) -> AsyncIterator[Store]:
    store = await home.open()
    yield store
    await store.close()


@pytest.fixture
async def engine(store: Store) -> Driver:
    """An engine that holds every lease."""
    return await Driver.begin(store)
