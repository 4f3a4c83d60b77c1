"""What each response of a model has cost, recorded with the step that has asked for it.

A price that was recorded at the time is what was paid; one that is looked up later is a guess. With
it is recorded which life of the run has asked, so that a reader can tell what a restart has
repeated.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import msgspec
from pydantic_ai import ModelMessage, ModelResponse, RunContext
from pydantic_ai.models import Model, ModelRequestParameters, StreamedResponse
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.settings import ModelSettings
from typing_extensions import override

from outlast._engine.remote import ambient
from outlast._execution.bodies.context import current_step
from outlast._shapes import is_dict
from outlast.agents.budgets.prices import Pricing
from outlast.agents.budgets.usage import Tokens, measured_tokens, reported_tokens
from outlast.errors import BudgetUnpriced

_METADATA = "outlast_cost"


class Cost(msgspec.Struct, frozen=True):
    """What a response carries in its metadata.

    Attributes:
        usd: in nanodollars; None where the price of the model, or what was used, is not known.
        life: the fence of the step that has asked: it grows when the run is restarted.
        attempt: of that step.
    """

    usd: int | None
    life: int
    attempt: int


def cost_in(response: ModelResponse) -> Cost | None:
    """Return what was recorded with a response; None of one that an older version has recorded."""
    metadata: object = response.metadata
    found = metadata.get(_METADATA) if is_dict(metadata) else None
    return None if found is None else msgspec.convert(found, Cost)


class PricedModel(WrapperModel):
    """A model whose responses say what they have cost, and which are counted by agent and model."""

    def __init__(self, wrapped: Model, agent: str) -> None:
        super().__init__(wrapped)
        self._agent = agent

    @override
    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        """Return the response; its metadata says what it has cost."""
        response = await self.wrapped.request(messages, model_settings, model_request_parameters)
        response.metadata = {**(response.metadata or {}), _METADATA: self._counted(response)}
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
        """Give the response as a stream; its metadata says what it has cost when it has ended."""
        asked = (messages, model_settings, model_request_parameters, run_context)
        async with self.wrapped.request_stream(*asked) as stream:
            yield stream
        stream.metadata = {**(stream.metadata or {}), _METADATA: self._counted(stream.get())}

    def _counted(self, response: ModelResponse) -> dict[str, object]:
        usd, step = _price_of(self.wrapped, response), current_step()
        used = reported_tokens(response) or Tokens(0, 0)
        ambient().events.model_asked(
            self._agent,
            response.model_name or self.wrapped.model_name,
            input_tokens=used.input,
            output_tokens=used.output,
            usd=usd,
        )
        found: dict[str, object] = msgspec.to_builtins(Cost(usd, step.fence, step.attempt))
        return found


def _price_of(model: Model, response: ModelResponse) -> int | None:
    """Return nanodollars; None where they are not known: a part of a response has no usage."""
    if measured_tokens(response) is None:
        return None
    try:
        return Pricing(model).actual(response)
    except BudgetUnpriced:
        return None
