"""Ending a model's response in the midst of it: what it has said by then is the response.

The code of the actor asks for it, and the body of the model's step does it, which runs beside that
code. So the step has an outcome, and a replay gives the same words again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from contextvars import ContextVar

from pydantic_ai import ModelMessage, ModelResponse, RunContext
from pydantic_ai.exceptions import AgentRunError
from pydantic_ai.models import Model, ModelRequestParameters, StreamedResponse
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.settings import ModelSettings
from typing_extensions import override


class ResponseInterrupted(AgentRunError):
    """A request to a model was given up before anything was said."""

    def __init__(self) -> None:
        super().__init__("the request was interrupted before the model has said anything")


class Interruption:
    """Whether a turn is to end, as its code and the bodies of its steps know it."""

    def __init__(self) -> None:
        self.is_requested: bool = False
        self._stops: dict[int, Callable[[], object]] = {}

    def request(self) -> None:
        """Have the response that is under way end, and no other begin."""
        self.is_requested = True
        for stop in [*self._stops.values()]:
            stop()

    def on_request(self, stop: Callable[[], object]) -> Callable[[], object]:
        """Have `stop` called on the loop that runs now; return what takes that back."""
        loop = asyncio.get_running_loop()
        key = id(stop)
        self._stops[key] = lambda: loop.call_soon_threadsafe(stop)
        return lambda: self._stops.pop(key, None)


interruption: ContextVar[Interruption | None] = ContextVar("outlast_interruption", default=None)
"""The interruption of the turn that executes, in its code and in its steps."""


class InterruptibleModel(WrapperModel):
    """A model whose responses can be ended by an `Interruption`."""

    def __init__(self, wrapped: Model, stopping: Interruption) -> None:
        super().__init__(wrapped)
        self._stopping = stopping

    @override
    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        """Return a response in one piece.

        Raises:
            ResponseInterrupted: it was given up.
        """
        async with self._unless_interrupted():
            return await self.wrapped.request(messages, model_settings, model_request_parameters)

    @asynccontextmanager
    @override
    async def request_stream(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        run_context: RunContext[object] | None = None,
    ) -> AsyncGenerator[StreamedResponse]:
        """Return a response piece by piece; interrupted, it ends with what it has said.

        Raises:
            ResponseInterrupted: it was given up before it began.
        """
        asked = (messages, model_settings, model_request_parameters, run_context)
        async with AsyncExitStack() as stack:
            async with self._unless_interrupted():
                response = await stack.enter_async_context(self.wrapped.request_stream(*asked))
            with suppress(ResponseInterrupted):
                async with self._unless_interrupted(response.cancel):
                    yield response

    @asynccontextmanager
    async def _unless_interrupted(
        self, close: Callable[[], Awaitable[None]] | None = None
    ) -> AsyncGenerator[None]:
        """Cancel what is done within it when the turn is to end, after `close`."""
        if self._stopping.is_requested:
            raise ResponseInterrupted
        task = asyncio.current_task()
        ending: list[asyncio.Task[None]] = []
        was_cancelled = has_left = False

        async def end() -> None:
            nonlocal was_cancelled
            if close is not None:
                await close()
            if task is not None and not has_left:
                was_cancelled = task.cancel()

        forget = self._stopping.on_request(lambda: ending.append(asyncio.ensure_future(end())))
        try:
            yield
        except asyncio.CancelledError:
            if task is None or not was_cancelled or task.uncancel():
                raise
            raise ResponseInterrupted from None
        finally:
            has_left = True
            forget()
            await asyncio.gather(*ending)
