"""One connection: who is slow to ask is hung up on, and who takes nothing can be cut.

Uvicorn limits how long a connection may rest between requests, but not how long the head of a
request may take or how large it may be, nor how many connections there are.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

from typing_extensions import override
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from outlast import limits
from outlast._world import Timer, World

Client = tuple[str, int] | None


@dataclass(slots=True)
class Connections:
    """The open connections of one server, by their clients' addresses."""

    world: World
    transports: dict[Client, asyncio.Transport] = field(
        default_factory=dict[Client, asyncio.Transport]
    )

    count: int = 0

    def next_local(self) -> Client:
        """Return what stands for the address of a client on a Unix socket."""
        self.count += 1
        return "local", self.count

    def cut(self, client: Client) -> None:
        """End a connection now, whatever is still to be sent."""
        transport = self.transports.get(client)
        if transport is not None:
            transport.abort()

    def cut_all(self) -> None:
        """End all connections now."""
        for transport in list(self.transports.values()):
            transport.abort()


class HeadWatch:
    """Watches one connection while it has not sent the whole head of a request."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._transport: asyncio.Transport | None = None
        self._timer: Timer | None = None
        self._size = 0

    def made(self, transport: asyncio.Transport, client: Client) -> None:
        """Begin, unless there are too many connections."""
        self._transport = transport
        if len(self._connections.transports) >= limits.HTTP_CONNECTIONS_MAX:
            transport.abort()
            return
        self._connections.transports[client] = transport
        self._begin()

    def _begin(self) -> None:
        self._size = 0
        if self._timer is None:
            world = self._connections.world
            self._timer = world.call_later(limits.HTTP_HEAD_SECONDS, self._too_slow)

    def received(self, size: int, *, has_request: bool) -> None:
        """Count bytes that came, after the parser has seen them."""
        if has_request:
            self._end()
            return
        if self._timer is None:
            self._begin()
        self._size += size
        if self._size > limits.HTTP_HEADER_BYTES_MAX and self._transport is not None:
            self._transport.write(_TOO_LARGE)
            self._transport.close()
            self._end()

    def _too_slow(self) -> None:
        self._timer = None
        if self._transport is not None:
            self._transport.abort()

    def _end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def lost(self, client: Client) -> None:
        """The connection is gone."""
        self._end()
        self._connections.transports.pop(client, None)


_TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"content-length: 0\r\nconnection: close\r\n\r\n"
)


class _Cycle(Protocol):
    response_complete: bool


class Watched(asyncio.Protocol):
    """What is put before uvicorn's own protocol, whichever that is."""

    watched_by: ClassVar[Connections]  # `connections` is taken by uvicorn
    cycle: _Cycle | None
    client: Client = None
    _client: Client = None
    _watch: HeadWatch

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._watch = HeadWatch(self.watched_by)
        if self.client is None:
            self.client = self.watched_by.next_local()  # that of a Unix socket has no address
        self._client = self.client
        self._watch.made(transport, self._client)  # type: ignore[arg-type]  # the same

    @override
    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        has_request = self.cycle is not None and not self.cycle.response_complete
        self._watch.received(len(data), has_request=has_request)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._watch.lost(self._client)
        super().connection_lost(exc)


def protocol_class(connections: Connections) -> type[asyncio.Protocol]:
    """Return what uvicorn makes for each connection: with the parser in C where it is there."""
    bases = (Watched, AutoHTTPProtocol)
    made: type[asyncio.Protocol] = type("Connection", bases, {"watched_by": connections})
    return made
