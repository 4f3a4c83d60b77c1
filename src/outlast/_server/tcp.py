"""A listening socket and uvicorn in somebody's loop: it is begun, told to stop, and ended."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import ssl
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp
from typing_extensions import override

from outlast import limits
from outlast._server.handshakes import TlsListener
from outlast._wire.security.connections import Connections, protocol_class
from outlast.errors import UsageError

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
        unsent: int | None = getattr(socket, "TCP_NOTSENT_LOWAT", None)
        if unsent is not None:
            # The kernel would take megabytes for each client that takes nothing.
            listener.setsockopt(socket.IPPROTO_TCP, unsent, limits.HTTP_UNSENT_BYTES)
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
    """Uvicorn without its own signal handlers, and without its pauses of a tenth of a second.

    Our handlers know of the engine.
    """

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._ending = asyncio.Event()

    def end(self) -> None:
        """Begin to shut down."""
        self.should_exit = True
        self._ending.set()

    @override
    async def main_loop(self) -> None:
        ending = asyncio.ensure_future(self._ending.wait())
        counter = 0
        try:
            while not await self.on_tick(counter):
                counter = (counter + 1) % 10  # the date is made anew at 0
                await asyncio.wait([ending], timeout=0.1)
        finally:
            ending.cancel()

    @override
    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self.server_state.connections or self.server_state.tasks:
            await super().shutdown(sockets)
            return
        for server in self.servers:
            server.close()
            await server.wait_closed()
        for listener in sockets or []:
            listener.close()

    @contextlib.contextmanager
    @override
    def capture_signals(self) -> Generator[None]:
        yield


class TcpServer:
    """Serves an application on one socket."""

    def __init__(
        self, app: ASGIApp, connections: Connections, listener: socket.socket, tls: Tls | None
    ) -> None:
        self._world = connections.world
        self._made: Callable[..., asyncio.Protocol] = protocol_class(connections)
        self._listener = listener
        config = uvicorn.Config(
            app,
            http=self._made,
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
                f"cannot load the certificate and key {files}: {error.strerror or error}"
            ) from None
        self._uvicorn = _Uvicorn(config)
        self._tls: TlsListener | None = None
        if config.ssl is not None:
            self._tls = TlsListener(connections, listener, config.ssl, self._protocol)
        self._asked_at = 0.0
        self._task: asyncio.Task[None] | None = None
        self.stopped: asyncio.Event = asyncio.Event()
        """Set when somebody asked it to stop."""

    def begin(self, *, handles_signals: bool) -> asyncio.Task[None]:
        """Serve from now on; the task ends when that does."""
        if handles_signals:
            for number in (signal.SIGINT, signal.SIGTERM):
                self._world.loop.add_signal_handler(number, self.stop)
        if self._tls is not None:
            self._tls.begin()
        work = self._uvicorn.serve(sockets=[self._listener] if self._tls is None else [])
        self._task = self._world.spawn(work, name="outlast-http")
        notify("READY=1")
        return self._task

    def _protocol(self) -> asyncio.Protocol:
        """Return the protocol of one connection, as uvicorn makes it."""
        config, state = self._uvicorn.config, self._uvicorn.server_state
        arguments: dict[str, object] = {"config": config, "server_state": state, "app_state": {}}
        return self._made(**arguments)

    def stop(self) -> None:
        """Begin to stop; a second call ends the process at once, unless it is an echo."""
        now = self._world.monotonic()
        if not self.stopped.is_set():
            self._asked_at = now
            self.stopped.set()
        elif now - self._asked_at > limits.SIGNAL_ECHO_SECONDS:
            os._exit(130)

    async def end(self) -> None:
        """Close the socket, let requests in work end for a moment, and hang up."""
        self._uvicorn.end()
        if self._tls is not None:
            await self._tls.close()
        if self._task is not None:
            await asyncio.wait([self._task])


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
            log.warning("cannot notify systemd: %s", error)
