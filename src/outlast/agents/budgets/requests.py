"""Requests to models under budgets: reserved before, settled after, in the body of the step.

Nothing of it is workflow code: replay takes the response, and what it has cost, from the journal.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace

import msgspec
from pydantic_ai import ModelMessage, ModelRequest, ModelResponse, RunContext, UserPromptPart
from pydantic_ai.exceptions import ModelHTTPError, UserError
from pydantic_ai.models import Model, ModelRequestParameters, StreamedResponse
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.settings import ModelSettings
from typing_extensions import override

from outlast._execution.bodies.context import current_step
from outlast._shapes import is_dict
from outlast.agents.budgets import limits
from outlast.agents.budgets.amounts import Amount, Offer
from outlast.agents.budgets.estimates import PART_TOKENS, Unbounded, input_tokens_at_most
from outlast.agents.budgets.ledger import Totals
from outlast.agents.budgets.ledgers import Request, Reserved, reserve, settle
from outlast.agents.budgets.prices import Pricing
from outlast.agents.budgets.scopes import Scope, Spending
from outlast.agents.budgets.usage import measured_tokens
from outlast.errors import BudgetUnpriced, OutlastError

_METADATA = "outlast"
_SLOPE_TOKENS = 1_000_000
_NOT_SENT = (ModelHTTPError, UserError, NotImplementedError)
"""The provider answered with an error, which is not billed, or the request was not sent at all."""

ANSWER_NOW = (
    "The budget of this task does not allow further tool calls. Answer now with what you know, "
    "and keep it short."
)


class Charge(msgspec.Struct, frozen=True):
    """What a response carries in its metadata: its cost, and what the ledgers have counted then.

    `stopped_by` are the ledgers for whose sake this was the last turn.
    """

    usd: int
    tokens: int
    is_last_turn: bool
    stopped_by: tuple[str, ...]
    totals: dict[str, Totals]


def charge_in(value: object) -> Charge | None:
    """Return what a recorded response says that it has cost, None for any other value."""
    metadata = value.get("metadata") if is_dict(value) else None
    found = metadata.get(_METADATA) if is_dict(metadata) else None
    return None if found is None else msgspec.convert(found, Charge)


class BudgetedModel(WrapperModel):
    """A model whose requests are charged to budgets; with `must_answer` each is a last turn."""

    def __init__(self, wrapped: Model, budgets: Sequence[Spending], *, must_answer: bool) -> None:
        super().__init__(wrapped)
        self._scopes = [spending.scope for spending in budgets]
        self._must_answer = must_answer

    @override
    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        """Return the response; its metadata says what it has cost."""
        call = await self._begun(messages, model_settings, model_request_parameters)
        async with call.charged():
            response = await self.wrapped.request(
                call.messages, call.settings, model_request_parameters
            )
        response.metadata = {**(response.metadata or {}), _METADATA: await call.settled(response)}
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
        call = await self._begun(messages, model_settings, model_request_parameters)
        async with (
            call.charged(),
            self.wrapped.request_stream(
                call.messages, call.settings, model_request_parameters, run_context
            ) as stream,
        ):
            call.has_begun = True
            yield stream
        charge = await call.settled(stream.get())
        stream.metadata = {**(stream.metadata or {}), _METADATA: charge}

    async def _begun(
        self,
        messages: list[ModelMessage],
        settings: ModelSettings | None,
        parameters: ModelRequestParameters,
    ) -> _Call:
        """Reserve what a request may cost, and make of it what the reservation pays for.

        Raises:
            OverBudget: no budget, or not every one, pays for any answer.
            BudgetUnpriced: its worst case is not known.
        """
        model, scopes = self.wrapped, self._scopes
        is_limited = any(s.limits.usd is not None or s.limits.tokens is not None for s in scopes)
        pricing = _pricing_of(model, is_needed=any(s.limits.usd is not None for s in scopes))
        tokens = _tokens_at_most(model, messages, parameters) if is_limited else 0
        wanted = max_tokens_in(settings) or max_tokens_in(model.settings) or limits.OUTPUT_TOKENS
        full, last = _offers(pricing, tokens, wanted, parameters, is_limited=is_limited)
        step = current_step()
        request = Request(
            model=model.model_id,
            step=f"{step.run_id} {step.key}",
            attempt=f"{step.fence}.{step.attempt}",
            full=last if self._must_answer else full,
            last=last,
            wanted=wanted,
        )
        reserved = await reserve(scopes, request)
        is_last = self._must_answer or bool(reserved.stopped_by)
        if is_limited:
            settings = _merged(settings, {"max_tokens": reserved.output})
        if is_last:
            settings = _merged(settings, {"tool_choice": "none"})
            messages = _told_to_answer(messages)
        worst = last.cost(reserved.output)
        return _Call(messages, settings, pricing, scopes, reserved, worst, is_last)


@dataclass(slots=True)
class _Call:
    """One request: as it is sent, and what is reserved for it."""

    messages: list[ModelMessage]
    settings: ModelSettings | None
    pricing: Pricing | None
    scopes: Sequence[Scope]
    reserved: Reserved
    worst: Amount
    is_last: bool
    has_begun: bool = False

    @asynccontextmanager
    async def charged(self) -> AsyncGenerator[None]:
        """Settle the reservation of a request that fails: at its worst case, if it was answered."""
        try:
            yield
        except BaseException as error:
            is_free = isinstance(error, _NOT_SENT) and not self.has_begun
            # What the ledger is not told, it writes off by itself.
            with suppress(OutlastError):
                await settle(self.scopes, self.reserved.id, Amount() if is_free else self.worst)
            raise

    async def settled(self, response: ModelResponse) -> dict[str, object]:
        """Settle at what the response says that it has used; return that for its metadata."""
        cost = self._cost_of(response)
        await settle(self.scopes, self.reserved.id, cost)
        totals = {name: total.after(cost) for name, total in self.reserved.totals.items()}
        charge = Charge(cost.usd, cost.tokens, self.is_last, self.reserved.stopped_by, totals)
        found: dict[str, object] = msgspec.to_builtins(charge)
        return found

    def _cost_of(self, response: ModelResponse) -> Amount:
        used = measured_tokens(response)
        if used is None:
            return self.worst
        tokens = used.input + used.output
        try:
            return Amount(0 if self.pricing is None else self.pricing.actual(response), tokens)
        except BudgetUnpriced:  # it had a price before; the response is not lost for that
            return Amount(self.worst.usd, tokens)


def max_tokens_in(settings: ModelSettings | None) -> int | None:
    """Return how many tokens of output settings allow, None where they do not say."""
    return settings["max_tokens"] if settings is not None and "max_tokens" in settings else None


def _pricing_of(model: Model, *, is_needed: bool) -> Pricing | None:
    pricing = Pricing(model)
    try:
        pricing.worst(1, 1)
    except BudgetUnpriced:
        if is_needed:
            raise
        return None
    return pricing


def _tokens_at_most(
    model: Model, messages: Sequence[ModelMessage], parameters: ModelRequestParameters
) -> int:
    try:
        native = [tool.kind for tool in parameters.native_tools if tool.kind != "tool_search"]
        if native:
            raise Unbounded(f"the provider's own tool {native[0]!r}")
        return input_tokens_at_most(
            messages, parameters, model=model.model_name, system=model.system
        )
    except Unbounded as error:
        raise BudgetUnpriced(
            f"a request to {model.model_id!r} has {error}, and what that costs is not known before "
            "the call, so it was not sent. Pass files as text or images with their data, or run "
            "this agent under a budget without usd= and tokens=",
            model=model.model_id,
        ) from None


def _offers(
    pricing: Pricing | None,
    tokens: int,
    wanted: int,
    parameters: ModelRequestParameters,
    *,
    is_limited: bool,
) -> tuple[Offer, Offer]:
    """Return what a turn with tools must leave room for, and what the request itself costs.

    After a turn with tools comes another one, at least the last: with the same input and the
    output of this one as further input.
    """
    if not is_limited:
        nothing = Offer(Amount(), Amount(), 1)
        return nothing, nothing
    told = tokens + len(ANSWER_NOW) + PART_TOKENS
    base = Amount(0 if pricing is None else pricing.worst(tokens, 0), tokens)
    base_told = Amount(0 if pricing is None else pricing.worst(told, 0), told)
    output, input_ = Amount(tokens=1), Amount(tokens=1)
    if pricing is not None:
        output = Amount(_for_each(pricing.worst(tokens, _SLOPE_TOKENS) - base.usd), 1)
        input_ = Amount(_for_each(pricing.worst(tokens + _SLOPE_TOKENS, 0) - base.usd), 1)
    least = min(wanted, limits.ANSWER_TOKENS)
    last = Offer(base_told, output, least)
    if not parameters.function_tools:
        return replace(last, least=min(wanted, limits.TURN_TOKENS)), last
    results = input_.times(limits.TURN_TOKENS)
    full = Offer(
        base + base_told + output.times(least) + results,
        output + input_,
        min(wanted, limits.TURN_TOKENS),
    )
    return full, last


def _for_each(slope: int) -> int:
    return -(-max(0, slope) // _SLOPE_TOKENS)


def _merged(settings: ModelSettings | None, changes: ModelSettings) -> ModelSettings:
    return {**(settings or {}), **changes}


def _told_to_answer(messages: Sequence[ModelMessage]) -> list[ModelMessage]:
    told = UserPromptPart(ANSWER_NOW)
    last = messages[-1] if messages else None
    if isinstance(last, ModelRequest):
        return [*messages[:-1], replace(last, parts=[*last.parts, told])]
    return [*messages, ModelRequest(parts=[told])]
