"""`ScriptedModel`: a model of pydantic-ai whose turns a test gives."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from pydantic_ai import (
    ModelMessage,
    ModelResponse,
    ModelResponsePart,
    RunContext,
    TextPart,
    ToolCallPart,
)
from pydantic_ai.exceptions import (
    ModelAuthenticationError,
    ModelConnectionError,
    ModelContextWindowExceededError,
    ModelHTTPError,
    ModelNotFoundError,
    ModelRateLimitError,
    ModelRequestRejectedError,
    ModelServerError,
    ModelUnavailableError,
)
from pydantic_ai.messages import FinishReason, ModelResponseStreamEvent
from pydantic_ai.models import Model, ModelRequestParameters, StreamedResponse
from pydantic_ai.profiles import ModelProfile
from pydantic_ai.settings import ModelSettings
from pydantic_ai.usage import RequestUsage
from typing_extensions import override

from outlast._execution.bodies.context import StepContext, executing_step
from outlast.testing.loop import SimLoop
from outlast.testing.models.asking import asked_by, texts_in
from outlast.testing.models.replies import (
    Broken,
    CallPiece,
    ErrorReply,
    Reply,
    TextPiece,
    reply_to,
)
from outlast.testing.models.script import Script
from outlast.testing.models.serving import serving
from outlast.testing.models.turns import Asked, Turn, TurnFunction

_SYSTEM = "outlast"
_asked_in: ContextVar[tuple[StepContext, Counter[int]] | None] = ContextVar(
    "outlast_scripted_asked", default=None
)
"""The step that runs, and how often it has asked each model."""


class ScriptedModel(Model[None]):
    """A model that says what a script has, at its pace and with its faults.

    `ScriptedModel([Calls(("refund", {"order": "A-1"})), Fails(429, retry_after=2), Says("Done.")])`

    Args:
        turns: what it says, in order: a text, a turn, or a function that is given what was asked
            and returns one of them; or one such function for all turns.
        name: of the model.
        after: how many responses the history has already when the first turn is due: for runs
            that begin with a history, and forks.
        profile: what the model is able to do, as pydantic-ai has it.

    Guarantee: the turn is a function of the messages. The number of responses among them says
    which response it is, so a script spans a whole conversation and begins anew for each new one; a
    run that goes on after a crash, in this or another process, gets its own next turn. Faults
    belong to the response that follows them, and happen once: in a step of a run the step's attempt
    says which is due. Elsewhere it is how often this instance was told the same before.
    """

    def __init__(
        self,
        turns: Sequence[Turn] | TurnFunction,
        *,
        name: str = "scripted",
        after: int = 0,
        profile: ModelProfile | None = None,
    ) -> None:
        able = ModelProfile(supports_json_schema_output=True, supports_json_object_output=True)
        super().__init__(profile=able if profile is None else profile)
        self._script = Script(turns, name=name, after=after)
        self._name = name
        self._tries: Counter[tuple[str, ...]] = Counter()
        self._requests: list[Asked] = []

    @property
    @override
    def model_name(self) -> str:
        """The name that the test gave."""
        return self._name

    @property
    @override
    def system(self) -> str:
        """The provider, as telemetry tells it."""
        return _SYSTEM

    @property
    def requests(self) -> Sequence[Asked]:
        """What this instance was asked, in order.

        Requests that another process made, and those that a replay takes from the journal, are
        not among them.
        """
        return tuple(self._requests)

    def serve(self) -> AbstractAsyncContextManager[str]:
        """Serve the script over HTTP on 127.0.0.1: `async with model.serve() as url:`.

        The server speaks OpenAI's chat completions, streamed and not, without authentication.
        `url` is the base URL for clients. A fault is met by how often the server was told the
        same; `Cut` breaks the connection. What is asked is in `requests`.
        """
        return serving(self._script, self._name, self._requests)

    @override
    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        """Return the response that is due."""
        reply = self._reply(messages, model_settings, model_request_parameters, is_streamed=False)
        async for piece in reply.pieces():
            if isinstance(piece, Broken):
                raise _broken(self._name, piece, in_stream=False)
        return ModelResponse(
            parts=_parts_of(reply),
            usage=_usage_of(reply),
            model_name=self._name,
            timestamp=_now(),
            provider_name=_SYSTEM,
            provider_details=_details_of(reply),
            finish_reason=_FINISHES[reply.finish_reason],
        )

    @override
    @asynccontextmanager
    async def request_stream(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        run_context: RunContext[object] | None = None,
    ) -> AsyncGenerator[StreamedResponse]:
        """Give the response that is due, token by token."""
        reply = self._reply(messages, model_settings, model_request_parameters, is_streamed=True)
        yield _ScriptedStream(
            model_request_parameters, _reply=reply, _name=self._name, _time=_now()
        )

    def _reply(
        self,
        messages: list[ModelMessage],
        settings: ModelSettings | None,
        parameters: ModelRequestParameters,
        *,
        is_streamed: bool,
    ) -> Reply:
        settings, parameters = self.prepare_request(settings, parameters)
        if settings is not None and "tool_choice" in settings and settings["tool_choice"] == "none":
            parameters = replace(parameters, function_tools=[], tool_visibility=None)
        asked = asked_by(messages, parameters, attempt=1, is_streamed=is_streamed)
        if self._script.has_faults(asked.turn):
            asked = replace(asked, attempt=self._attempt(texts_in(messages, parameters)))
        self._requests.append(asked)
        reply = reply_to(asked, self._script.turn_for(asked))
        if isinstance(reply, ErrorReply):
            raise _error_of(self._name, reply)
        return reply

    def _attempt(self, texts: Sequence[str]) -> int:
        step = executing_step.get()
        if step is not None:
            return step.context.attempt + _asked_before(step.context, self)
        self._tries[tuple(texts)] += 1
        return self._tries[tuple(texts)]


def _asked_before(step: StepContext, model: Model) -> int:
    """Return how often an attempt of a step has asked this model before.

    It asks again when its provider has sent it away for a while.
    """
    found = _asked_in.get()
    if found is None or found[0] is not step:
        found = (step, Counter[int]())
        _asked_in.set(found)
    found[1][id(model)] += 1
    return found[1][id(model)] - 1


@dataclass
class _ScriptedStream(StreamedResponse):
    """A response token by token."""

    _reply: Reply = field(kw_only=True)
    _name: str = field(kw_only=True)
    _time: datetime = field(kw_only=True)

    @override
    async def _get_event_iterator(self) -> AsyncIterator[ModelResponseStreamEvent]:
        self._usage = RequestUsage(input_tokens=self._reply.input_tokens)
        async for piece in self._reply.pieces():
            match piece:
                case TextPiece(text=text):
                    for event in self._parts_manager.handle_text_delta(
                        vendor_part_id="text", content=text
                    ):
                        yield event
                case CallPiece():
                    for event in self._parts_manager.handle_tool_call_delta_events(
                        vendor_part_id=piece.index,
                        tool_name=piece.name or None,
                        args=piece.arguments or None,
                        tool_call_id=piece.id or None,
                    ):
                        yield event
                case Broken():
                    raise _broken(self._name, piece, in_stream=True)
        self._usage = _usage_of(self._reply)
        self.finish_reason = _FINISHES[self._reply.finish_reason]
        self.provider_details = _details_of(self._reply)

    @override
    async def close_stream(self) -> None:
        """Nothing is open."""

    @property
    @override
    def model_name(self) -> str:
        """The name that the test gave."""
        return self._name

    @property
    @override
    def provider_name(self) -> str:
        """The provider, as telemetry tells it."""
        return _SYSTEM

    @property
    @override
    def provider_url(self) -> None:
        """There is none."""

    @property
    @override
    def timestamp(self) -> datetime:
        """The time of the request."""
        return self._time


_FINISHES: dict[str, FinishReason] = {
    "stop": "stop",
    "tool_call": "tool_call",
    "content_filter": "content_filter",
}


def _parts_of(reply: Reply) -> list[ModelResponsePart]:
    parts: list[ModelResponsePart] = [TextPart(reply.text)] if reply.text else []
    for call in reply.calls:
        parts.append(ToolCallPart(call.name, call.arguments, tool_call_id=call.id))
    return parts


def _usage_of(reply: Reply) -> RequestUsage:
    return RequestUsage(input_tokens=reply.input_tokens, output_tokens=reply.output_tokens)


def _details_of(reply: Reply) -> dict[str, object] | None:
    return {"refusal": reply.refusal} if reply.refusal else None


def _now() -> datetime:
    """Return the time of whoever asks: in a simulation, the simulated one."""
    loop = asyncio.get_running_loop()
    if isinstance(loop, SimLoop):
        return datetime.fromtimestamp(loop.time(), UTC)
    return datetime.now(UTC)


def _broken(name: str, piece: Broken, *, in_stream: bool) -> ModelConnectionError:
    message = f"the connection to {name!r} broke after {piece.tokens} tokens, as the script says"
    return ModelConnectionError(name, message, phase="read", in_stream=in_stream)


def _error_of(name: str, reply: ErrorReply) -> ModelHTTPError:
    return ModelHTTPError.for_category(
        _category_of(reply),
        status_code=reply.status,
        model_name=name,
        body=reply.body,
        headers=reply.headers,
        provider_error_code=reply.code,
        provider_error_type=reply.kind,
        retry_after=reply.retry_after,
    )


def _category_of(
    reply: ErrorReply,
) -> type[
    ModelRateLimitError | ModelUnavailableError | ModelServerError | ModelRequestRejectedError
]:
    if reply.code == "context_length_exceeded":
        return ModelContextWindowExceededError
    match reply.status:
        case 401 | 403:
            return ModelAuthenticationError
        case 404:
            return ModelNotFoundError
        case 429:
            return ModelRateLimitError
        case 502 | 503 | 504 | 529:
            return ModelUnavailableError
        case status if status >= 500:
            return ModelServerError
        case _:
            return ModelRequestRejectedError
