"""Answers that do not end: server-sent events to one client.

Invariants:
  * a client that takes no bytes is hung up on in time, one that has gone is noticed, and neither
    makes memory grow: nothing is encoded for a client that has not taken what came before, and
    what is encoded is handed to its connection little by little, shared by all that are at it;
  * what is encoded and not taken is bounded (`untaken`);
  * when the server drains, every stream says when to come again and ends.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Protocol

from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send
from typing_extensions import override

from outlast import limits
from outlast._wire.formats.problems import Problem
from outlast._wire.security.admission import Shares
from outlast._wire.security.hangups import ClientGone, while_connected
from outlast._wire.security.untaken import PART_BYTES, Untaken
from outlast._world import Timer, World

HEARTBEAT = b":\n\n"
_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),  # proxies pass each event on as it comes
]


def event(kind: str, data: bytes, id: str) -> bytes:
    """Return one event; `data` is JSON on one line."""
    return b"event: %s\nid: %s\ndata: %s\n\n" % (kind.encode(), id.encode(), data)


class Source(Protocol):
    """Where the events of one client come from."""

    def wake(self) -> None:
        """Let `pieces` look up, and give an empty piece if there is nothing else."""
        ...

    def pieces(self) -> AsyncGenerator[bytes, None]:
        """Iterate over encoded events, several at once where there are more."""
        ...


class Clients:
    """The open streams of one server: they are counted, kept awake, and ended by it."""

    def __init__(self, world: World, cut: Callable[[tuple[str, int] | None], None]) -> None:
        self.world = world
        self.cut = cut
        self.is_draining = False
        self.open: dict[EventStream, None] = {}
        self._timer: Timer | None = None
        self._shares = Shares(limits.SSE_CLIENTS_MAX)
        self.untaken: Untaken = Untaken()

    def check_room(self, holders: Sequence[str]) -> None:
        """Refuse one stream too many.

        Raises:
            Problem
        """
        if self.is_draining:
            raise Problem(503, "draining", "the server is stopping; reconnect shortly")
        if len(self.open) >= limits.SSE_CLIENTS_MAX:
            detail = f"{limits.SSE_CLIENTS_MAX:,} streams are open, which is the limit"
            raise Problem(429, "too-many-streams", detail, headers={"Retry-After": "5"})
        if not self._shares.has_room(holders):
            token, address = self._shares.each_max
            detail = (
                f"too many streams are open: the limit is {token:,} for one API token and "
                f"{address:,} for one address"
            )
            raise Problem(429, "too-many-streams", detail, headers={"Retry-After": "5"})

    def enter(self, stream: EventStream) -> None:
        """Note that a stream is open."""
        self.open[stream] = None
        self._shares.take(stream.holders)
        if self._timer is None:
            self._beat_later()

    def leave(self, stream: EventStream) -> None:
        """Note that a stream has ended."""
        self.open.pop(stream, None)
        self._shares.give(stream.holders)
        if not self.open and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _beat_later(self) -> None:
        self._timer = self.world.call_later(limits.SSE_HEARTBEAT_SECONDS, self._beat)

    def _beat(self) -> None:
        now = self.world.monotonic()
        for stream in list(self.open):
            stream.beat(now)
        self._beat_later()

    def drain(self) -> None:
        """End every stream; clients come again with the last id that they have."""
        self.is_draining = True
        for stream in list(self.open):
            stream.beat(self.world.monotonic())


class EventStream(Response):
    """One client's stream."""

    def __init__(
        self,
        clients: Clients,
        source: Source,
        *,
        may_go_on: Callable[[], bool],
        holders: Sequence[str],
        headers: Sequence[tuple[str, str]] = (),
    ) -> None:
        super().__init__()
        self._head = [*_HEADERS, *((name.encode(), value.encode()) for name, value in headers)]
        self.holders: Sequence[str] = holders
        self._clients = clients
        self._source = source
        self._may_go_on = may_go_on
        self._scope: Scope = {}
        self._sending_since: float | None = None
        self._is_gone = False

    def beat(self, now: float) -> None:
        """Wake the stream so that it says that it lives; hang up on a client that takes nothing."""
        since = self._sending_since
        if since is not None and now - since > limits.SSE_WRITE_SECONDS:
            self.hang_up()
            return
        if not self._may_go_on():
            self._is_gone = True  # whose token was taken away reads no further
        self._source.wake()

    def hang_up(self) -> None:
        """End the connection; the client may come again and go on where it was."""
        self._is_gone = True
        self._clients.cut(self._scope.get("client"))

    @override
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._scope = scope
        self._clients.enter(self)
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self._head})
            # Now, so that the client knows that it is connected.
            await self._send(send, b":\n\n")
            if scope["method"] != "HEAD":
                # What is read for a client that has gone is ended with it.
                async with while_connected(receive, self._clients.world):
                    await self._send_all(send)
            await send({"type": "http.response.body", "body": b""})
        except ClientGone:
            return
        finally:
            self._clients.leave(self)

    async def _send_all(self, send: Send) -> None:
        async with aclosing(self._source.pieces()) as pieces:
            async for piece in pieces:
                if self._is_gone:
                    return
                if self._clients.is_draining:
                    await self._send(send, piece + b"retry: 500\n\n")
                    return
                await self._send(send, piece or HEARTBEAT)

    async def _send(self, send: Send, data: bytes) -> None:
        self._clients.untaken.begin(self, data)
        try:
            # The connection copies what it cannot send at once, and waits when it has too much.
            for begin in range(0, len(data), PART_BYTES):
                if self._is_gone:
                    return
                part = data[begin : begin + PART_BYTES]
                message: Message = {"type": "http.response.body", "body": part, "more_body": True}
                self._sending_since = self._clients.world.monotonic()
                await send(message)
        finally:
            self._sending_since = None
            self._clients.untaken.end(self)
