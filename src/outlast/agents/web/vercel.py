"""Agents' events as the UI message stream of the Vercel AI SDK, version 5 and later.

A whole run is one message of an assistant; each response of a model is a step in it. The protocol
has no word by which text is taken back: a client that was sent words of a dead attempt is given
the message anew under the same id, when it resumes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from pydantic_ai.ui.vercel_ai import VercelAIEventStream
from pydantic_ai.ui.vercel_ai.response_types import (
    BaseChunk,
    ErrorChunk,
    FinishChunk,
    FinishStepChunk,
    ReasoningEndChunk,
    ReasoningStartChunk,
    StartStepChunk,
    TextEndChunk,
    TextStartChunk,
)
from typing_extensions import override

from outlast.agents.web.pages import Adapter, Ids, PageEncoder, StreamFailed
from outlast.types import RunId, Status


@dataclass(kw_only=True)
class _Chunks(VercelAIEventStream[None, object]):
    ids: Ids
    is_whole: bool

    @override
    def new_message_id(self) -> str:
        self.message_id = self.ids.make()
        return self.message_id

    @override
    async def before_stream(self) -> AsyncIterator[BaseChunk]:
        if self.is_whole:
            async for chunk in super().before_stream():
                yield chunk

    @override
    async def after_stream(self) -> AsyncIterator[BaseChunk]:
        if not self.is_whole:
            return
        async for chunk in super().after_stream():
            if isinstance(chunk, FinishChunk) and chunk.finish_reason is None:
                # Without a reason, a client cannot tell the end from a connection that broke.
                chunk.finish_reason = "stop"
            yield chunk

    @override
    async def on_error(self, error: Exception) -> AsyncIterator[BaseChunk]:
        async for chunk in super().on_error(error):
            if self.is_whole or not isinstance(chunk, ErrorChunk):
                yield chunk


class VercelEncoder(PageEncoder[BaseChunk]):
    """Encodes a stream as chunks of one message."""

    can_retract = False

    def __init__(self, run: RunId, mark: str) -> None:
        super().__init__(f"{run}-{mark}")
        self._parts: set[str] = set()
        self._is_in_step = False

    @override
    def adapter(self, *, is_whole: bool) -> Adapter[BaseChunk]:
        message = self.ids.prefix
        return _Chunks(
            ids=self.ids, is_whole=is_whole, server_message_id=message, message_id=message
        )

    @override
    def encoded(self, writer: str, event: BaseChunk) -> bytes | None:
        match event:
            case StartStepChunk():
                self._is_in_step = True
            case FinishStepChunk():
                # Clients forget all parts that are open at the end of a step: while another agent
                # speaks, it is left out.
                if self._parts or not self._is_in_step:
                    return None
                self._is_in_step = False
            case TextStartChunk() | ReasoningStartChunk():
                self._parts.add(event.id)
            case TextEndChunk() | ReasoningEndChunk():
                self._parts.discard(event.id)
            case _:
                pass
        return f"data: {event.encode(5)}\n\n".encode()

    @override
    def failure(self, error: str, status: Status | None) -> Exception:
        return StreamFailed(error)
