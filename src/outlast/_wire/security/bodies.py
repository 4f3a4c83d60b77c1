"""Bodies of requests: they are read before a request takes a place, and bounded together.

A slow sender delays only itself, and all who send much hold no more than
`HTTP_BODIES_BYTES_MAX`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

from starlette.requests import ClientDisconnect, Request

from outlast import limits
from outlast._wire.formats.problems import Problem
from outlast._wire.security.admission import Shares


class Bodies:
    """The bodies that one server holds."""

    def __init__(self) -> None:
        self._shares = Shares(limits.HTTP_BODIES_BYTES_MAX)
        self.bytes_held = 0

    @asynccontextmanager
    async def read(
        self, request: Request, holders: Sequence[str], most: int = limits.HTTP_BODY_BYTES_MAX
    ) -> AsyncGenerator[bytes]:
        """Read a request's body of so many bytes at most, and hold it in this block.

        Raises:
            Problem: 413 too large, 408 too slow, 429 when too much is held.
        """
        announced = request.headers.get("content-length", "0")
        if announced.isdigit() and int(announced[:20]) > most:
            raise _too_large(most)
        chunks: list[bytes] = []
        size = 0
        try:
            try:
                async with asyncio.timeout(limits.HTTP_BODY_SECONDS):
                    async for chunk in request.stream():
                        size += len(chunk)
                        self._hold(holders, len(chunk))
                        if size > most:
                            raise _too_large(most)
                        chunks.append(chunk)
            except TimeoutError:
                raise Problem(
                    408,
                    "too-slow",
                    f"the body took more than {limits.HTTP_BODY_SECONDS:g} seconds to arrive",
                ) from None
            except ClientDisconnect:
                raise Problem(
                    400, "malformed", "the client disconnected while it sent the body"
                ) from None
            yield b"".join(chunks)
        finally:
            self._shares.give(holders, size)
            self.bytes_held -= size

    def _hold(self, holders: Sequence[str], size: int) -> None:
        self._shares.take(holders, size)
        self.bytes_held += size
        if not holders:
            return  # a process of this user that shares the database
        is_over = self.bytes_held > limits.HTTP_BODIES_BYTES_MAX
        if is_over or not self._shares.has_room(holders):
            raise Problem(
                429,
                "overloaded",
                "too many large request bodies are in progress; nothing was changed, try again",
                headers={"Retry-After": "1", "Connection": "close"},
            )


def _too_large(most: int) -> Problem:
    text = f"a body is limited to {most:,} bytes"
    return Problem(413, "payload-too-large", text, headers={"Connection": "close"})
