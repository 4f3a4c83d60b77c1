"""What the handlers share: the engine, the live sources, the places for requests, the state."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import Literal, TypeVar

from outlast import limits
from outlast._engine.open_engine import EngineCore
from outlast._engine.reading.actor_reader import ActorReader
from outlast._engine.reading.details import Details
from outlast._engine.reading.records import moment
from outlast._engine.verbs.sharing import Sharing
from outlast._registry import WorkflowDefinition
from outlast._wire.formats.conversions import Conversions
from outlast._wire.live.eventstream import Clients, EventStream, Source
from outlast._wire.live.feed import Feed
from outlast._wire.live.figures import Figures
from outlast._wire.live.pagestreams import PageStreams
from outlast._wire.live.runstreams import RunStreams
from outlast._wire.requests import Call
from outlast._wire.security.admission import Admission
from outlast._wire.security.bodies import Bodies
from outlast._wire.security.connections import Client, Connections
from outlast._wire.security.untaken import Answers
from outlast._wire.verbs import EngineVerbs

T = TypeVar("T")
State = Literal["starting", "ready", "draining"]


class Service:
    """One engine, as all its servers see it."""

    def __init__(self, engine: EngineVerbs, core: EngineCore, store_name: str) -> None:
        self.engine: EngineVerbs = engine
        self.core: EngineCore = core
        self.store_name: str = store_name
        self.log_file: Path | None = None
        self.state: State = "starting"
        world = self.core.world
        self.started_at: datetime | None = moment(world.now())
        self.connections: Connections = Connections(world, by_address=True)
        self.local_connections: Connections = Connections(world)
        self.clients: Clients = Clients(world, self._cut)
        self.sharers: Clients = Clients(world, self._cut)  # they stay until the store is let go
        self.answers: Answers = Answers(world, self._cut)
        self.conversions: Conversions = Conversions(world)
        self.described: tuple[tuple[WorkflowDefinition, ...], bytes] = ((), b"")
        self.streams: RunStreams = RunStreams(world, self.core.reader, self.conversions)
        self.pages: PageStreams = PageStreams(
            world, self.core.reader, self.conversions, self.streams
        )
        self.details: Details = Details(
            self.core.store, self.core.reader, self.core.registry, self.core.scheduler
        )
        self.actor_reader: ActorReader = ActorReader(self.core.store, self.core.registry)
        self.admission: Admission = Admission(
            world, places=limits.HTTP_REQUESTS_MAX, queue_max=limits.HTTP_QUEUE_MAX
        )
        self.comparisons: Admission = Admission(
            world,
            places=limits.HTTP_BODIES_BYTES_MAX // (2 * limits.HTTP_DIFF_BYTES),
            queue_max=limits.HTTP_QUEUE_MAX,
        )
        self.wait_graph: Admission = Admission(world, places=limits.HTTP_WAITS_MAX, queue_max=0)
        self.sharing: Sharing = Sharing(self.core.scheduler, self.core.messages)
        self.bodies: Bodies = Bodies()
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

    def event_stream(
        self, source: Source, call: Call, headers: Sequence[tuple[str, str]] = ()
    ) -> EventStream:
        """Return a stream to one client, for as long as its token opens the server.

        Raises:
            Problem: there are too many.
        """
        self.clients.check_room(call.holders)
        return EventStream(
            self.clients,
            source,
            may_go_on=call.may_go_on,
            holders=call.holders,
            headers=headers,
        )

    def began(self) -> None:
        """Note that one of the servers is ready."""
        if self.state == "starting":
            self.state = "ready"
            self.figures.start()

    def _cut(self, client: Client) -> None:
        for connections in (self.connections, self.local_connections):
            connections.cut(client)

    def drain(self) -> None:
        """Tell everyone who waits that the server stops: streams and long waits end now."""
        self.state = "draining"
        self._draining.set()
        self.clients.drain()

    def close(self) -> None:
        """Stop looking at the engine."""
        self.feed.close()
        self.figures.close()
        self.conversions.close()

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


def service_of(engine: EngineVerbs, core: EngineCore, store_name: str) -> Service:
    """Return the one service of an engine, whichever server asks first."""
    found = core.served_by
    if isinstance(found, Service):
        return found
    made = core.served_by = Service(engine, core, store_name)
    return made
