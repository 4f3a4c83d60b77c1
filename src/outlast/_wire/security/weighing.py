"""What the body of a request costs to read, beside what is in it.

A chunk of one byte takes as long to read as one of some KB. Who sends such is told so after the
first few, before it is known who asks; and an answered request that goes on is not read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol, TypedDict

from outlast import limits

_HEAD_STEP = 512  # so few that what follows a head cannot cost much before it is looked at
_CHUNKS_STEP = 1024
_STEP = 4096  # so few that the requests in them can be refused when they are too many
_FEW_CHUNKS = 200
_CHUNK_OVERHEAD = 7  # bytes: a size of three digits, and two ends of lines


class _Scope(TypedDict):
    headers: Sequence[tuple[bytes, bytes]]


class Cycle(Protocol):
    """One request and its answer, as uvicorn keeps them."""

    scope: _Scope
    body: bytearray
    more_body: bool
    response_started: bool
    response_complete: bool
    disconnected: bool
    message_event: asyncio.Event


class BodyWeight:
    """Weighs the body that one connection sends."""

    def __init__(self) -> None:
        self.is_whole = True  # all of it has come
        self._is_chunked = False
        self._overhead = 0
        self._size = 0
        self._unwanted = 0

    def step(self) -> int:
        """Return how many bytes are read before they are weighed."""
        if self.is_whole:
            return _HEAD_STEP
        if not self._is_chunked:
            return _STEP
        return _HEAD_STEP if self._size < _STEP else _CHUNKS_STEP

    def begin(self, cycle: Cycle) -> None:
        """Begin with the next request; the little that came with its head is not weighed."""
        self._is_chunked = any(name == b"transfer-encoding" for name, _ in cycle.scope["headers"])
        self.is_whole = not cycle.more_body
        self._overhead = self._size = self._unwanted = 0

    def is_too_much(self, received: int, kept: int) -> bool:
        """Whether so much has come for what is in it that no more is read."""
        self._overhead += received - kept
        self._size += kept
        chunks = self._overhead / _CHUNK_OVERHEAD  # at most
        return chunks > _FEW_CHUNKS + self._size / limits.HTTP_CHUNK_BYTES_MIN

    def is_unwanted(self, received: int) -> bool:
        """Whether more has come since the answer than is read for the sake of the next request."""
        self._unwanted += received
        return self._unwanted > limits.HTTP_STRANGER_BYTES_MAX
