"""The application on the Unix socket beside a database: the same as on TCP, for its user alone."""

from __future__ import annotations

import asyncio
import os
import socket

import uvicorn
from typing_extensions import override
from uvicorn.protocols.http.auto import AutoHTTPProtocol
from uvicorn.server import ServerState

from outlast import limits
from outlast._engine.open_engine import EngineCore
from outlast._wire.app import Application
from outlast._wire.security.callers import LocalCallers
from outlast._wire.security.connections import Connections, Watched
from outlast._wire.service import Service, service_of
from outlast._wire.unixsocket import peer_user, user_name
from outlast._wire.verbs import EngineVerbs

_GRACE_SECONDS = 2.0


class LocalHttp:
    """Serves one Unix socket, in the loop of its engine."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._state = ServerState()
        self._servers: list[asyncio.Server] = []
        self._config = uvicorn.Config(
            Application(service, LocalCallers(user_name(os.geteuid()))),
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            proxy_headers=False,
            timeout_keep_alive=int(limits.HTTP_HEAD_SECONDS),
            h11_max_incomplete_event_size=limits.HTTP_HEADER_BYTES_MAX,
        )
        self._config.load()

    async def serve(self, listener: socket.socket) -> None:
        """Begin to accept connections."""
        self._service.began()
        made = _connection_class(self._service.local_connections)
        config, state = self._config, self._state

        def connect() -> asyncio.Protocol:
            arguments: dict[str, object] = {
                "config": config,
                "server_state": state,
                "app_state": {},
            }
            return made(**arguments)

        loop = self._service.core.world.loop
        self._servers.append(await loop.create_unix_server(connect, sock=listener))

    async def close(self) -> None:
        """Let requests in work end, for a moment, then hang up."""
        for server in self._servers:
            server.close()
        self._service.drain()
        self._service.sharers.drain()
        for connection in list(self._state.connections):
            connection.shutdown()
        if self._state.tasks:
            await asyncio.wait(list(self._state.tasks), timeout=_GRACE_SECONDS)
        self._service.local_connections.cut_all()
        self._service.close()
        await self._service.core.world.pass_turn()


class _LocalConnection(Watched):
    """A connection that is ended before a byte is read when it is of another user."""

    _is_refused = False

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if _is_own_user(transport):
            super().connection_made(transport)
        else:
            self._is_refused = True
            transport.close()

    @override
    def data_received(self, data: bytes) -> None:
        if not self._is_refused:
            super().data_received(data)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        if not self._is_refused:
            super().connection_lost(exc)


def _is_own_user(transport: asyncio.BaseTransport) -> bool:
    peer: object = transport.get_extra_info("socket")
    if not hasattr(peer, "getsockopt"):
        return False
    user = peer_user(peer)  # type: ignore[arg-type]  # asyncio wraps a socket, uvloop has its own
    return user is None or user in (os.geteuid(), 0)  # None: the mode of the socket has to do


def _connection_class(connections: Connections) -> type[asyncio.Protocol]:
    bases = (_LocalConnection, AutoHTTPProtocol)
    made: type[asyncio.Protocol] = type("LocalConnection", bases, {"watched_by": connections})
    return made


def local_server(engine: EngineVerbs, core: EngineCore, store_name: str) -> LocalHttp:
    """Return what serves the socket beside a database."""
    return LocalHttp(service_of(engine, core, store_name))
