"""The listening socket, uvicorn in the engine's loop, signals, and the drain.

The order of a shutdown (a first SIGTERM or SIGINT): health says that it drains, streams and long
waits end, what is started is stored and not executed, steps in flight get the grace, waiting runs
are put away, the listening socket closes, the process ends with 0. A second signal ends it at once;
that loses nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import ssl
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from typing_extensions import override

from outlast import limits
from outlast._server.guard import Addresses, Guard
from outlast._server.static import Static
from outlast._wire.app import Application
from outlast._wire.callers import Callers
from outlast._wire.connections import protocol_class
from outlast._wire.service import Service, service_of
from outlast._wire.status import overview_of
from outlast.engine import Engine
from outlast.errors import OutlastError, StoreDamaged, StoreError, StoreReplaced, UsageError

log = logging.getLogger("outlast.server")


@dataclass(frozen=True, slots=True)
class Tls:
    """A certificate and its key, as PEM files."""

    certificate: Path
    key: Path


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens.

    Raises:
        UsageError: the address cannot be used.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        user_timeout: int | None = getattr(socket, "TCP_USER_TIMEOUT", None)
        if user_timeout is not None:
            # A peer that acknowledges nothing for so long is dead: the kernel says so.
            milliseconds = int(limits.SSE_WRITE_SECONDS * 1000)
            listener.setsockopt(socket.IPPROTO_TCP, user_timeout, milliseconds)
        listener.bind((host, port))
        listener.listen(_BACKLOG)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise UsageError(
            f"cannot listen on {host}:{port}: {error.strerror or error}; choose another --port"
        ) from None
    return listener


_BACKLOG = 1024


class _Uvicorn(uvicorn.Server):
    """Uvicorn without its own signal handlers: ours know of the engine."""

    @contextlib.contextmanager
    @override
    def capture_signals(self) -> Generator[None]:
        yield


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
        self._listener = listener
        config = uvicorn.Config(
            Guard(Application(service, callers, Static()), addresses),
            http=protocol_class(service.connections),
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=int(limits.HTTP_HEAD_SECONDS),
            timeout_graceful_shutdown=2,
            h11_max_incomplete_event_size=limits.HTTP_HEADER_BYTES_MAX,
            ssl_certfile=None if tls is None else tls.certificate,
            ssl_keyfile=None if tls is None else tls.key,
            ssl_version=ssl.PROTOCOL_TLS_SERVER,
        )
        try:
            config.load()
        except (ssl.SSLError, OSError) as error:
            files = "" if tls is None else f"{tls.certificate} and {tls.key}"
            raise UsageError(
                f"the certificate and its key, {files}, cannot be used: {error.strerror or error}"
            ) from None
        self._uvicorn = _Uvicorn(config)
        self._stop = asyncio.Event()
        self._asked_at = 0.0
        self._task: asyncio.Task[None] | None = None
        self._seen: Mapping[str, object] | None = None

    async def run(
        self, *, on_ready: Callable[[], None], grace_seconds: float, handles_signals: bool = True
    ) -> None:
        """Serve until somebody asks us to stop, then drain."""
        service = self.service
        if handles_signals:
            self._hear_signals()
        service.feed.overview = self._overview
        world = service.core.world
        self._task = world.spawn(self._uvicorn.serve(sockets=[self._listener]), name="outlast-http")
        looking = world.spawn(self._look(), name="outlast-overview")
        service.began()
        notify("READY=1")
        on_ready()
        try:
            await self._until_stopped()
            await self._drain(grace_seconds)
        finally:
            looking.cancel()
            service.close()
            self._uvicorn.should_exit = True
            await asyncio.wait([self._task, looking])

    def stop(self) -> None:
        """Begin to stop; a second call ends the process at once, unless it is an echo."""
        now = self.service.core.world.monotonic()
        if not self._stop.is_set():
            self._asked_at = now
            self._stop.set()
        elif now - self._asked_at > limits.SIGNAL_ECHO_SECONDS:
            os._exit(130)

    def _hear_signals(self) -> None:
        loop = self.service.core.world.loop
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.stop)

    async def _until_stopped(self) -> None:
        """Wait for a signal, or for the engine to fail: then the server must not go on."""
        failed = asyncio.Event()

        def end(error: StoreError) -> None:
            # A new process would find the same files. This one stays and says what is wrong.
            if not isinstance(error, StoreReplaced | StoreDamaged):
                failed.set()

        self.service.core.events.on_fatal.append(end)
        waits = [asyncio.ensure_future(event.wait()) for event in (self._stop, failed)]
        ended = [self._task] if self._task is not None else []
        await asyncio.wait([*waits, *ended], return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()

    async def _drain(self, grace_seconds: float) -> None:
        notify("STOPPING=1")
        log.info("draining: steps in flight have %g seconds; a second signal ends it now",
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
                    log.warning("the overview cannot be told: %s", error)
            await service.core.world.sleep(1.0)

    def _overview(self) -> Mapping[str, object] | None:
        return self._seen


def notify(state: str) -> None:
    """Tell systemd how we stand, where it wants to know."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        try:
            sender.connect(address)
            sender.sendall(state.encode())
        except OSError as error:
            log.warning("systemd does not take our state: %s", error)
