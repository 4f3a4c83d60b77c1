"""What is encoded for clients and not taken by them: it is bounded, and the slowest pay.

Invariants:
  * a piece that several clients take alike is counted once;
  * beyond the bound, the clients that have been at their piece for longest are hung up on, until
    the rest fits or only one is left;
  * a client that takes nothing for `SSE_WRITE_SECONDS` is hung up on.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Protocol

from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from outlast import limits
from outlast._wire.security.connections import Client
from outlast._wire.security.hangups import ClientGone
from outlast._world import World

PART_BYTES = 32 * 1024
"""What a connection is given at once: it copies what it cannot send."""


class Taker(Protocol):
    """A client that takes a piece."""

    def hang_up(self) -> None:
        """End its connection."""
        ...


class Untaken:
    """The pieces that clients are taking."""

    def __init__(self) -> None:
        self._pieces: dict[Taker, bytes] = {}  # the slowest first
        self._sharing: Counter[int] = Counter()  # how many take the same piece, by its identity
        self.size = 0

    def begin(self, taker: Taker, piece: bytes) -> None:
        """Note that a client begins to take a piece; the slowest are given up when it is much."""
        self._pieces[taker] = piece
        self._sharing[id(piece)] += 1
        if self._sharing[id(piece)] == 1:
            self.size += len(piece)
        while self.size > limits.HTTP_UNTAKEN_BYTES and len(self._pieces) > 1:
            slowest = next(iter(self._pieces))
            slowest.hang_up()
            self.end(slowest)

    def end(self, taker: Taker) -> None:
        """Note that a client has taken its piece, or has gone."""
        piece = self._pieces.pop(taker, None)
        if piece is None:
            return
        self._sharing[id(piece)] -= 1
        if not self._sharing[id(piece)]:
            del self._sharing[id(piece)]
            self.size -= len(piece)


class Answers:
    """The large answers that are on their way to clients of one server."""

    def __init__(self, world: World, cut: Callable[[Client], None]) -> None:
        self._world = world
        self._cut = cut
        self.untaken: Untaken = Untaken()

    async def send(self, response: Response, scope: Scope, receive: Receive, send: Send) -> None:
        """Send an answer: a large one little by little, as the client takes it.

        Raises:
            ClientGone: it did not, or others needed the room.
        """
        body = bytes(response.body)
        if len(body) <= PART_BYTES or scope["method"] == "HEAD":
            await response(scope, receive, send)
            return
        sending = _Sending(self._world.loop)
        self.untaken.begin(sending, body)
        try:
            async with sending.time:
                await sending.all_of(response, body, send)
        except TimeoutError:
            if not sending.time.expired():
                raise
            self._cut(scope.get("client"))
            raise ClientGone from None
        finally:
            self.untaken.end(sending)


class _Sending:
    """One large answer on its way."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._is_given_up = False
        self.time: asyncio.Timeout = asyncio.timeout(None)

    def hang_up(self) -> None:
        """Let the client have no more of it."""
        self._is_given_up = True
        self.time.reschedule(self._loop.time())

    async def all_of(self, response: Response, body: bytes, send: Send) -> None:
        """Send it; each part is taken within the time that a client has."""
        start: Message = {
            "type": "http.response.start",
            "status": response.status_code,
            "headers": response.raw_headers,
        }
        await send(start)
        for begin in range(0, len(body), PART_BYTES):
            if not self._is_given_up:
                self.time.reschedule(self._loop.time() + limits.SSE_WRITE_SECONDS)
            part = body[begin : begin + PART_BYTES]
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
