"""Requests to models that wait for their turns at a provider, in the body of their steps.

Nothing of it is workflow code, and nothing of it is recorded in the run: limits may change while
runs are under way.
"""

from __future__ import annotations

import logging
import math
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from pydantic_ai import ModelMessage, ModelResponse, RunContext
from pydantic_ai.exceptions import ModelHTTPError, ModelQuotaExceededError, UserError
from pydantic_ai.models import Model, ModelRequestParameters, StreamedResponse
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.settings import ModelSettings
from typing_extensions import override

from outlast._engine.open_engine import EngineCore
from outlast._engine.providers import limits
from outlast._engine.providers.declared import ProviderLimit
from outlast._engine.providers.queue import Correction, Place, ProviderQueue
from outlast._engine.remote import ambient
from outlast._execution.bodies.context import current_step, waiting_in_queue
from outlast.agents.budgets.estimates import input_tokens_about
from outlast.agents.budgets.requests import max_tokens_in
from outlast.agents.budgets.usage import reported_tokens
from outlast.agents.providers.asking import RequestPriority, asker, asker_of_step
from outlast.agents.providers.keeper import KeptWindow
from outlast.errors import BudgetError, UsageError

log: logging.Logger = logging.getLogger("outlast.agents")

_NOT_SENT = (BudgetError, UserError, UsageError)
_TOO_MANY = 429
_OVERLOADED = (503, 529)


class QueuedModel(WrapperModel):
    """A model whose requests wait for their turns at its provider."""

    def __init__(
        self,
        wrapped: Model,
        queue: ProviderQueue,
        limit: ProviderLimit,
        priority: RequestPriority | None,
    ) -> None:
        super().__init__(wrapped)
        self._queue = queue
        self._limit = limit
        self._priority: RequestPriority | None = priority

    @override
    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        """Return the response, asked for when it is this request's turn."""
        sending = self._sending(messages, model_settings, model_request_parameters)
        while True:
            async with sending.turn():
                response = await self.wrapped.request(
                    messages, model_settings, model_request_parameters
                )
                sending.count(response)
                return response

    @override
    @asynccontextmanager
    async def request_stream(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        run_context: RunContext[object] | None = None,
    ) -> AsyncGenerator[StreamedResponse]:
        """Give the response as a stream, asked for when it is this request's turn."""
        sending = self._sending(messages, model_settings, model_request_parameters)
        async with AsyncExitStack() as stack:
            stream: StreamedResponse | None = None
            while stream is None:
                async with sending.turn():
                    stream = await stack.enter_async_context(
                        self.wrapped.request_stream(
                            messages, model_settings, model_request_parameters, run_context
                        )
                    )
            yield stream
            sending.count(stream.get())

    def _sending(
        self,
        messages: list[ModelMessage],
        settings: ModelSettings | None,
        parameters: ModelRequestParameters,
    ) -> _Sending:
        tokens = 0
        if self._limit.tpm is not None:
            model = self.wrapped
            tokens = input_tokens_about(
                messages, parameters, model=model.model_name, system=model.system
            )
            most = max_tokens_in(settings) or max_tokens_in(model.settings)
            output = round(self._queue.output_tokens)
            tokens += output if most is None else min(output, most)
        return _Sending(self._queue, self._limit, self._priority, tokens)


@dataclass(slots=True)
class _Sending:
    """One request, which may have several turns: its provider may send it back."""

    queue: ProviderQueue
    limit: ProviderLimit
    priority: RequestPriority | None
    tokens: int
    second: int = 0
    holds: int = 0

    @asynccontextmanager
    async def turn(self) -> AsyncGenerator[None]:
        """Wait for a turn; swallow that the provider wants the request to be sent later."""
        found = asker.get() or asker_of_step(current_step().run_id, ambient().world.now() / 1e6)
        place = self.queue.enter(found.asking(self.limit.fair_by, self.priority), self.tokens)
        self.second = await _turn_of(place)
        try:
            yield
        except ModelHTTPError as error:
            pause = self._pause_after(error)
            if pause is None:
                raise
            self.holds += 1
            log.info("the provider's limit was reached: %s; asking again in %g s", error, pause)
            await self.queue.hold(pause)
        except _NOT_SENT:
            self.queue.correct(Correction(self.second, -1, -min(self.tokens, self.limit.tpm or 0)))
            raise

    def count(self, response: ModelResponse) -> None:
        """Count the tokens of a response instead of those that were expected."""
        used = reported_tokens(response)
        if self.limit.tpm is None or used is None:
            return
        queue = self.queue
        queue.output_tokens += limits.OUTPUT_WEIGHT * (used.output - queue.output_tokens)
        counted = min(self.tokens, self.limit.tpm)
        more = used.input + used.output - counted
        queue.correct(Correction(self.second, 0, more))

    def _pause_after(self, error: ModelHTTPError) -> float | None:
        """Return for how long the provider wants nothing to be sent; None for another error."""
        asked: float | None = error.retry_after
        if asked is not None and math.isnan(asked):
            asked = None
        is_full = error.status_code == _TOO_MANY and not isinstance(error, ModelQuotaExceededError)
        is_busy = error.status_code in _OVERLOADED and asked is not None
        if not (is_full or is_busy) or error.in_stream or self.holds >= limits.HOLDS_MAX:
            return None
        first, longest = limits.HOLD_SECONDS
        # Whoever is sent back at once, and again, is given time all the same.
        if asked is not None and (asked >= first or self.holds == 0):
            return asked
        return min(longest, first * 2.0**self.holds)


async def _turn_of(place: Place) -> int:
    try:
        with waiting_in_queue(place):
            return await place.turn
    except BaseException:
        place.queue.leave(place)
        raise


def queued(
    model: Model, *, agent: str, provider: str | None, priority: RequestPriority | None
) -> Model | None:
    """Return a model that waits for its turns, None where its provider has no limits here."""
    core = ambient()
    declared = core.provider_queues.declared
    if not declared:
        return None
    names = (model.model_id, model.system) if provider is None else (provider,)
    limit = next((found for name in names if (found := declared.get(name)) is not None), None)
    if limit is None:
        if provider is not None:
            _warn_once(core, agent, provider)
        return None
    queue = core.provider_queues.queue(limit.name, _window_of(core, limit.name))
    return QueuedModel(model, queue, limit, priority)


def _window_of(core: EngineCore, name: str) -> Callable[[], KeptWindow]:
    return lambda: KeptWindow(core, name)


def _warn_once(core: EngineCore, agent: str, provider: str) -> None:
    if core.provider_queues.is_new_unknown(provider):
        log.warning(
            "agent %s names the provider %r, for which this engine has no limits: its requests do "
            "not wait. Declare it with engine.limits.provider(%r, rpm=...)",
            agent,
            provider,
            provider,
        )
