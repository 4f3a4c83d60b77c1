"""An engine at the service of TCP clients: its application, and the drain.

The order of a shutdown (a first SIGTERM or SIGINT): health says that it drains, streams and long
waits end, what is started is stored and not executed, steps in flight get the grace, waiting runs
are put away, the listening socket closes, the process ends with 0. A second signal ends it at once;
that loses nothing.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Mapping

from outlast._server.guard import Addresses, Guard
from outlast._server.static import Static
from outlast._server.tcp import TcpServer, Tls, notify
from outlast._wire.app import Application
from outlast._wire.handlers.status import overview_of
from outlast._wire.security.callers import Callers
from outlast._wire.service import Service, service_of
from outlast.engine import Engine
from outlast.errors import OutlastError, StoreDamaged, StoreError, StoreReplaced

log = logging.getLogger("outlast.server")


class Serving:
    """One server at work."""

    def __init__(
        self,
        engine: Engine,
        callers: Callers,
        addresses: Addresses,
        listener: socket.socket,
        *,
        tls: Tls | None = None,
    ) -> None:
        core = engine._core  # a server of ours may look inside
        service = service_of(engine, core, engine._target.name)
        self.service: Service = service
        service.core.stores_while_draining = True
        app = Guard(Application(service, callers, Static()), addresses)
        self._tcp = TcpServer(app, service.connections, listener, tls)
        self._seen: Mapping[str, object] | None = None

    async def run(
        self, *, on_ready: Callable[[], None], grace_seconds: float, handles_signals: bool = True
    ) -> None:
        """Serve until somebody asks us to stop, then drain."""
        service = self.service
        service.feed.overview = self._overview
        ended = self._tcp.begin(handles_signals=handles_signals)
        looking = service.core.world.spawn(self._look(), name="outlast-overview")
        service.began()
        on_ready()
        try:
            await self._until_stopped(ended)
            await self._drain(grace_seconds)
        finally:
            looking.cancel()
            service.close()
            await self._tcp.end()
            await asyncio.wait([looking])

    def stop(self) -> None:
        """Begin to stop; a second call ends the process at once, unless it is an echo."""
        self._tcp.stop()

    async def _until_stopped(self, ended: asyncio.Task[None]) -> None:
        """Wait for a signal, or for the engine to fail: then the server must not go on."""
        failed = asyncio.Event()

        def end(error: StoreError) -> None:
            # A new process would find the same files. This one stays and says what is wrong.
            if not isinstance(error, StoreReplaced | StoreDamaged):
                failed.set()

        self.service.core.events.on_fatal.append(end)
        waits = [asyncio.ensure_future(event.wait()) for event in (self._tcp.stopped, failed)]
        await asyncio.wait([*waits, ended], return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()

    async def _drain(self, grace_seconds: float) -> None:
        notify("STOPPING=1")
        log.info("draining: waiting up to %g seconds for steps in flight; a second signal stops "
            "immediately",
                 grace_seconds)  # fmt: skip
        self.service.drain()
        await self.service.core.drain(grace_seconds)

    # ----------------------------------------------------------------------- overview
    async def _look(self) -> None:
        """Keep what the live feed says of the server fresh, while somebody listens."""
        service = self.service
        while True:
            if service.feed.clients:
                try:
                    self._seen = await overview_of(service)
                except OutlastError as error:
                    # The store is away for now; what was seen last is shown until it is back.
                    log.warning("cannot report the status: %s", error)
            await service.core.world.sleep(1.0)

    def _overview(self) -> Mapping[str, object] | None:
        return self._seen
