"""`replay_model`: a model that answers with what was recorded, to whoever asks the same."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

from pydantic import TypeAdapter
from pydantic_ai import (
    ModelMessage,
    ModelResponse,
    ModelResponsePart,
    RunContext,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
)
from pydantic_ai.models import (
    CompletedStreamedResponse,
    Model,
    ModelRequestParameters,
    StreamedResponse,
)
from pydantic_ai.profiles import ModelProfile
from pydantic_ai.settings import ModelSettings
from pydantic_core import to_jsonable_python
from typing_extensions import override

from outlast._execution.bodies.context import executing_step
from outlast.errors import UsageError
from outlast.testing.models.journals import place_of
from outlast.testing.models.recordings import RecordedResponse, Recording

_response: TypeAdapter[ModelResponse] = TypeAdapter(ModelResponse)
_SHOWN_CHARS = 120


def replay_model(recording: Recording, *, agent: str = "", after: int = 0) -> Model[None]:
    """Return a model that answers with what was recorded.

    In a step of a run, the key of the step says which response is due, so one model serves all
    agents of a workflow, and several runs of each. Elsewhere the number of responses in the history
    does.

    Args:
        agent: the name of the agent whose responses are wanted, or one of its runs, such as
            `support#2`. Needed outside of runs, where the recording has several.
        after: how many responses the history has already at the first request of a run that is
            made outside of steps.

    The model raises `UsageError` when it is asked for a response that the recording does not have,
    and when the conversation differs from what was recorded: other responses before, or other
    results of tools. The error names the request and the first difference. What the user said is
    not recorded and not compared.

    Raises:
        UsageError: it is no recording, or has no such agent.
    """
    given: object = recording
    if not isinstance(given, Recording):
        raise UsageError(
            f"replay_model takes a Recording, not {given!r}: `await record(run)` makes one, and "
            f"Recording.load(path) reads one from a file"
        )
    return _RecordedModel(recording, agent=agent, after=after)


class _RecordedModel(Model[None]):
    """Answers from a recording."""

    def __init__(self, recording: Recording, *, agent: str, after: int) -> None:
        able = ModelProfile(supports_json_schema_output=True, supports_json_object_output=True)
        super().__init__(profile=able)
        self._runs: dict[str, list[RecordedResponse]] = {}
        for said in recording.responses:
            if agent in ("", said.agent_run, said.agent_run.rpartition("#")[0]):
                self._runs.setdefault(said.agent_run, []).append(said)
        known = recording.agent_runs
        if not self._runs:
            raise UsageError(f"the recording has no agent {agent!r}: it has {_listed(known)}")
        names = dict.fromkeys(run.rpartition("#")[0] for run in self._runs)
        self._name = ",".join(names)
        self._after = after

    @property
    @override
    def model_name(self) -> str:
        """The names of the agents whose models it stands for."""
        return f"recorded:{self._name}"

    @property
    @override
    def system(self) -> str:
        """The provider, as telemetry tells it."""
        return "outlast"

    @override
    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        """Return the response that was recorded for this request."""
        self.prepare_request(model_settings, model_request_parameters)
        return self._due(messages)

    @override
    @asynccontextmanager
    async def request_stream(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        run_context: RunContext[object] | None = None,
    ) -> AsyncGenerator[StreamedResponse]:
        """Give the recorded response, each of its parts at once."""
        _, parameters = self.prepare_request(model_settings, model_request_parameters)
        yield CompletedStreamedResponse(
            self._due(messages), model_request_parameters=parameters, replay_events=True
        )

    def _due(self, messages: Sequence[ModelMessage]) -> ModelResponse:
        run, index = self._place(messages)
        chain = self._runs[run]
        if index < len(chain):
            _check(run, chain[:index], messages)
            return _response.validate_python(dict(chain[index].response))
        _check(run, chain, messages)
        raise UsageError(
            f"the recording has no response for request {index + 1} of {run}: it has {len(chain)}"
            f"{_asked_with(messages)}"
        )

    def _place(self, messages: Sequence[ModelMessage]) -> tuple[str, int]:
        """Return the run of the agent that asks, and how many responses it has had."""
        step = executing_step.get()
        if step is not None:
            key = step.context.key
            place = place_of(key[key.find("/=") + 1 :])
            if place is not None and not place.call:
                if place.run not in self._runs:
                    raise UsageError(
                        f"the recording has no run {place.run} of the agent: it has "
                        f"{_listed(tuple(self._runs))}. Names of agents are those of Durability"
                    )
                before = sum(x.request < place.request for x in self._runs[place.run])
                return place.run, before + place.number - 1
        if len(self._runs) > 1:
            runs = _listed(tuple(self._runs))
            raise UsageError(f"outside of a run, agent= says which run is meant: one of {runs}")
        count = sum(isinstance(message, ModelResponse) for message in messages)
        if count < self._after:
            raise UsageError(
                f"the history has {count} responses, and after= says that it begins with "
                f"{self._after}"
            )
        return next(iter(self._runs)), count - self._after


def _check(run: str, chain: Sequence[RecordedResponse], messages: Sequence[ModelMessage]) -> None:
    """Compare what a model was told before with what was recorded.

    Raises:
        UsageError: it differs.
    """
    responses = [message for message in messages if isinstance(message, ModelResponse)]
    given = {
        part.tool_call_id: part
        for message in messages
        if not isinstance(message, ModelResponse)
        for part in message.parts
        if isinstance(part, ToolReturnPart)
    }
    told = responses[max(0, len(responses) - len(chain)) :]
    for number, recorded in enumerate(chain, start=1):
        expected = _said(_response.validate_python(dict(recorded.response)).parts)
        actual = _said(told[number - 1].parts) if number <= len(told) else "nothing"
        if expected != actual:
            raise _differs(run, len(chain) + 1, f"response {number}", expected, actual)
        for call, result in recorded.results.items():
            part = given.get(call)
            if part is None or result is None:
                continue
            actual_result = _shown(to_jsonable_python(part.content))
            if _shown(result) != actual_result:
                what = f"the result of {part.tool_name} ({call}) before response {number + 1}"
                raise _differs(run, len(chain) + 1, what, _shown(result), actual_result)


def _differs(run: str, request: int, what: str, expected: str, actual: str) -> UsageError:
    return UsageError(
        f"request {request} of {run} is not the recorded one: {what} was {_short(expected)} in the "
        f"recording, and is {_short(actual)}. Record again, or find out what changed"
    )


def _said(parts: Sequence[ModelResponsePart]) -> str:
    """Return what parts say, without what providers add to them."""
    found: list[str] = []
    for part in parts:
        match part:
            case TextPart(content=content):
                found.append(repr(content))
            case ToolCallPart():
                found.append(f"{part.tool_name}({part.args_as_json_str()}) as {part.tool_call_id}")
            case _:
                found.append(part.part_kind)
    return ", ".join(found) or "nothing"


def _asked_with(messages: Sequence[ModelMessage]) -> str:
    told: list[str] = []
    for part in messages[-1].parts if messages else ():
        if isinstance(part, ToolReturnPart):
            told.append(f"{part.tool_name} gave {_shown(part.content)}")
    return f"; it was asked after {_short(', '.join(told))}" if told else ""


def _shown(value: object) -> str:
    return json.dumps(to_jsonable_python(value), sort_keys=True, ensure_ascii=False)


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}…"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"
