"""What the handlers of one server share: the engine, who may call, the live sources, the state."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import Literal, TypeVar

from outlast import limits
from outlast._engine.census import Census
from outlast._engine.details import Details
from outlast._engine.open_engine import EngineCore
from outlast._engine.reader import moment
from outlast._server.access import Access, Caller
from outlast._server.admission import Admission
from outlast._server.connections import Connections
from outlast._server.eventstream import Clients, EventStream, Source
from outlast._server.feed import Feed
from outlast._server.figures import Figures
from outlast._server.guard import Addresses
from outlast._server.runstreams import RunStreams
from outlast.engine import Engine

T = TypeVar("T")
State = Literal["starting", "ready", "draining"]


@dataclass(frozen=True, slots=True)
class Settings:
    """How a server was asked to be."""

    host: str
    port: int
    allowed_hosts: tuple[str, ...] = ()
    allowed_origins: tuple[str, ...] = ()
    store_name: str = ""
    log_file: Path | None = None


class Service:
    """One server around one engine."""

    def __init__(self, engine: Engine, access: Access, settings: Settings) -> None:
        self.engine = engine
        self.core: EngineCore = engine._core  # a server of ours may look inside
        self.core.stores_while_draining = True
        self.access = access
        self.settings = settings
        self.addresses: Addresses = Addresses.of(
            settings.host,
            settings.port,
            allowed=settings.allowed_hosts,
            origins=settings.allowed_origins,
        )
        self.state: State = "starting"
        world = self.core.world
        self.started_at: datetime | None = moment(world.now())
        self.connections: Connections = Connections(world)
        self.clients: Clients = Clients(world, self.connections.cut)
        self.streams: RunStreams = RunStreams(world, self.core.reader)
        self.details: Details = Details(
            self.core.store, self.core.reader, self.core.registry, self.core.scheduler
        )
        self.census: Census = Census(self.core.store, self.core.registry)
        self.admission: Admission = Admission(
            world, places=limits.HTTP_REQUESTS_MAX, queue_max=limits.HTTP_QUEUE_MAX
        )
        self.waits: Admission = Admission(world, places=limits.HTTP_WAITS_MAX, queue_max=0)
        self.figures: Figures = Figures(self.core)
        self.feed: Feed = Feed(self.core)
        self._draining = asyncio.Event()

    @property
    def version(self) -> str:
        """The version of outlast."""
        return metadata.version("outlast")

    def now(self) -> datetime | None:
        """Return the time."""
        return moment(self.core.world.now())

    def event_stream(self, source: Source, caller: Caller) -> EventStream:
        """Return a stream to one client, for as long as its token opens the server."""
        return EventStream(self.clients, source, may_go_on=lambda: self.access.still_opens(caller))

    def drain(self) -> None:
        """Tell everyone who waits that the server stops: streams and long waits end now."""
        self.state = "draining"
        self._draining.set()
        self.clients.drain()

    def close(self) -> None:
        """Stop looking at the engine."""
        self.feed.close()
        self.figures.close()

    async def within(
        self, work: Awaitable[T], seconds: float, safe: asyncio.Event | None = None
    ) -> T | None:
        """Return what `work` gives, None when it takes longer or the server drains first.

        It is given up only when `safe` is set: what we say of it then must be so.
        """
        task = asyncio.ensure_future(work)
        waits = [asyncio.ensure_future(e.wait()) for e in (self._draining, safe) if e is not None]
        try:
            if safe is not None:
                await asyncio.wait([task, waits[1]], return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait(
                [task, waits[0]], timeout=seconds, return_when=asyncio.FIRST_COMPLETED
            )
            return task.result() if task.done() else None
        finally:
            for given_up in (task, *waits):
                given_up.cancel()
            await asyncio.wait([task, *waits])
