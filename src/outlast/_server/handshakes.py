"""TLS handshakes: a connection counts among the open ones before it has made its own.

A server of asyncio keeps each for a minute, in any number: whoever opens connections and says
nothing would take all the files that the process may open.

Invariants:
  * a connection whose handshake is under way is one of `Connections`, and yields like others that
    ask for nothing;
  * a handshake takes no longer than the head of a request may.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable

from typing_extensions import override

from outlast import limits
from outlast._wire.security.connections import Client, Connections

log = logging.getLogger("outlast.server")

_ACCEPT_AGAIN_SECONDS = 1.0


class TlsListener:
    """Accepts connections of one socket; `make` returns the protocol of one."""

    def __init__(
        self,
        connections: Connections,
        listener: socket.socket,
        context: ssl.SSLContext,
        make: Callable[[], asyncio.Protocol],
    ) -> None:
        self._connections = connections
        self._world = connections.world
        self._listener = listener
        self._context = context
        self._make = make
        self._pending: set[_Pending] = set()
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Accept from now on."""
        self._task = self._world.spawn(self._accept(), name="outlast-accept")

    async def close(self) -> None:
        """Accept no more, and end the handshakes that are under way."""
        tasks = [pending.task for pending in self._pending if pending.task is not None]
        if self._task is not None:
            tasks.append(self._task)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        self._listener.close()

    async def _accept(self) -> None:
        while True:
            try:
                link, address = await self._world.loop.sock_accept(self._listener)
            except OSError as error:  # there are no files left, most likely
                log.warning("cannot accept connections at the moment: %s", error)
                await self._world.sleep(_ACCEPT_AGAIN_SECONDS)
                continue
            client = f"{address[0]}", int(address[1])
            pending = _Pending()
            if not self._connections.enter(client, pending):
                link.close()
                continue
            self._pending.add(pending)
            work = self._shake(link, client, pending)
            pending.task = self._world.spawn(work, name="outlast-handshake")

    async def _shake(self, link: socket.socket, client: Client, pending: _Pending) -> None:
        connections = self._connections
        try:
            link.setblocking(False)
            await self._world.loop.connect_accepted_socket(
                self._make,
                link,
                ssl=self._context,
                ssl_handshake_timeout=limits.HTTP_HEAD_SECONDS,
            )
        except OSError:
            link.close()  # it has gone, takes too long, or does not speak TLS
        except asyncio.CancelledError:
            link.close()  # it yields to another one, or the server stops
            raise
        finally:
            self._pending.discard(pending)
            if connections.transports.get(client) is pending:
                connections.leave(client)


class _Pending(asyncio.Transport):
    """What stands for a connection until it has a transport."""

    def __init__(self) -> None:
        super().__init__()
        self.task: asyncio.Task[None] | None = None

    @override
    def abort(self) -> None:
        if self.task is not None:
            self.task.cancel()
