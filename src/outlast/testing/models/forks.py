"""`fork`: a run again from one request of an agent on, with another model or another prompt."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Generic, Self, TypeVar

from pydantic_ai import ModelMessage, ModelRequest, ModelResponse, RunContext, UserPromptPart
from pydantic_ai.messages import InstructionPart, SystemPromptPart
from pydantic_ai.models import Model, ModelRequestParameters, StreamedResponse
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.settings import ModelSettings
from typing_extensions import override

from outlast._engine.reading.records import Record
from outlast._engine.verbs.forks import ForkRequest
from outlast._execution.bodies.context import executing_step
from outlast._handles.run import Run
from outlast.agents.substitutes import substitute
from outlast.errors import UsageError
from outlast.testing.models.journals import Place, agent_steps, journal_of, place_of
from outlast.testing.models.outcomes import AgentOutcome, outcome_of
from outlast.types import ForkKeys, RunId

R_co = TypeVar("R_co", covariant=True)


@dataclass(frozen=True, slots=True)
class AgentDiff:
    """What an agent did in the original run, and in its fork."""

    original: AgentOutcome
    fork: AgentOutcome

    @property
    def differs(self) -> bool:
        """Whether the agent called other tools, or gave another answer."""
        a, b = self.original, self.fork
        return (a.tools, a.answer) != (b.tools, b.answer)

    def __str__(self) -> str:
        a, b = self.original, self.fork
        rows = [
            ("requests", f"{a.requests}", f"{b.requests}"),
            ("input tokens", f"{a.input_tokens}", f"{b.input_tokens}"),
            ("output tokens", f"{a.output_tokens}", f"{b.output_tokens}"),
            ("tools", ", ".join(a.tools) or "none", ", ".join(b.tools) or "none"),
            ("answer", a.answer, b.answer),
        ]
        return "\n".join(
            f"{what}: {old}" if old == new else f"{what}: {old} -> {new}" for what, old, new in rows
        )


@dataclass(frozen=True, slots=True)
class ForkedRun(Generic[R_co]):
    """A fork of a run.

    Attributes:
        run: the new run; `await forked.run.result()`.
        original: the run that it was made of.
        agent_run: the run of the agent that was forked in, such as `support#1`.
    """

    run: Run[R_co]
    original: Run[R_co]
    agent_run: str

    async def diff(self) -> AgentDiff:
        """Return what the agent has done in both runs so far: wait for their results before."""
        original = outcome_of(await journal_of(self.original), self.agent_run)
        return AgentDiff(original, outcome_of(await journal_of(self.run), self.agent_run))


async def fork(
    run: Run[R_co],
    *,
    at: int,
    model: Model | None = None,
    prompt: str | None = None,
    instructions: str | None = None,
    agent: str = "",
    input: Mapping[str, object] | None = None,
    keys: ForkKeys = "same",
) -> ForkedRun[R_co]:
    """Start a new run from one request of an agent in this run's history, and return it.

    The responses and results of tools before that request come from the journal. From there on
    the workflow's code runs as it is, and its agent gets what is given here. This run is unchanged.

    Args:
        at: the request of the agent's run, from 1 on.
        model: serves the agent's requests instead of its own model. It is not entered or closed.
        prompt: what the agent's run is told instead of the last text of the user.
        instructions: what the model is told instead of the agent's instructions and system prompts.
        agent: the agent's name, or one of its runs, such as `support#2`; needed where the run has
            several agents, and otherwise the first run of its only one.
        input: other arguments of the workflow, by name.
        keys: whose idempotency keys the steps have that run again; see `Run.fork`.

    The model and the texts are known to this process alone: the fork must end before the process
    does. They are not given to child runs.

    Raises:
        UsageError: the run has no such agent or request, or several agents and none was named; or
            an argument is none of those above.
        RunNotFound; DecodingError, EncodingError: `input` does not fit.
    """
    _check(run, at, model)
    journal = await journal_of(run)
    place, seq = _begun_at(journal, agent, at)
    core = run._engine()
    core.check()
    made = RunId(core.scheduler.world.new_id())
    given = _Given(place.run, model, prompt, instructions)
    # Before the fork exists: its code may ask the model before this task runs again.
    substitute(made, place.run.rpartition("#")[0], given.serving)
    await core.forks.fork(ForkRequest(RunId(run.id), seq, input, keys, id=made))
    return ForkedRun(Run(made, core=core, returns=run._returns, created=True), run, place.run)


def _check(run: object, at: object, model: object) -> None:
    if not isinstance(run, Run):
        raise UsageError(f"fork takes the handle of a run, such as engine.get(id), not {run!r}")
    if type(at) is not int:
        raise UsageError(f"at= is the number of a request, from 1 on, not {at!r}")
    if model is not None and not isinstance(model, Model):
        raise UsageError(
            f"model= takes an instance of pydantic-ai's Model, not {model!r}: make it with "
            f"infer_model('openai:gpt-5') or its class"
        )


def _begun_at(journal: Sequence[Record], agent: str, request: int) -> tuple[Place, int]:
    """Return a request of an agent, and the first record that it has left."""
    asked = [step.place for step in agent_steps(journal) if not step.place.call]
    runs = list(dict.fromkeys(place.run for place in asked))
    named = [run for run in runs if agent in ("", run, run.rpartition("#")[0])]
    known = ", ".join(runs) or "none"
    if not named:
        raise UsageError(f"the run has no requests of an agent {agent!r}: it has {known}")
    if len({run.rpartition("#")[0] for run in named}) > 1:
        raise UsageError(f"agent= says in which agent to fork: one of {known}")
    place = Place(named[0], request, "", 1)
    if place not in asked:
        count = max(place.request for place in asked if place.run == named[0])
        raise UsageError(f"{named[0]} has no request {request}: it has made {count}")
    return place, next(record.seq for record in journal if place_of(record.key) == place)


@dataclass(frozen=True, slots=True)
class _Given:
    """What a fork gives an agent."""

    agent_run: str
    model: Model | None
    prompt: str | None
    instructions: str | None

    def serving(self, model: Model) -> Model:
        """Return the model that serves a request instead of the agent's own."""
        return _OtherModel(self.model or model, self)


class _OtherModel(WrapperModel):
    """Asks a model what a fork wants it to be asked."""

    def __init__(self, model: Model, given: _Given) -> None:
        super().__init__(model)
        self._given = given

    @override
    async def __aenter__(self) -> Self:
        return self  # whoever has made the model opens and closes it

    @override
    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        pass

    @override
    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        told, parameters = self._instead(messages, model_request_parameters)
        return await super().request(told, model_settings, parameters)

    @override
    @asynccontextmanager
    async def request_stream(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        run_context: RunContext[object] | None = None,
    ) -> AsyncGenerator[StreamedResponse]:
        told, parameters = self._instead(messages, model_request_parameters)
        async with super().request_stream(told, model_settings, parameters, run_context) as stream:
            yield stream

    def _instead(
        self, messages: list[ModelMessage], parameters: ModelRequestParameters
    ) -> tuple[list[ModelMessage], ModelRequestParameters]:
        given, told = self._given, messages
        if given.instructions is not None:
            part = InstructionPart(content=given.instructions)
            parameters = replace(parameters, instruction_parts=[part])
            told = [_without_system_prompts(m, given.instructions) for m in told]
        step = executing_step.get()
        place = None if step is None else place_of(_key_in_run(step.context.key))
        if given.prompt is not None and place is not None and place.run == given.agent_run:
            told = _with_prompt(told, given.prompt)
        return told, parameters


def _key_in_run(key: str) -> str:
    """Return the key of a step in its run, of its idempotency key."""
    return key[key.find("/=") + 1 :]


def _without_system_prompts(message: ModelMessage, instructions: str) -> ModelMessage:
    if not isinstance(message, ModelRequest):
        return message
    parts = [part for part in message.parts if not isinstance(part, SystemPromptPart)]
    return replace(message, parts=parts, instructions=instructions)


def _with_prompt(messages: Sequence[ModelMessage], prompt: str) -> list[ModelMessage]:
    """Return the messages with another text in the place of the user's last one."""
    found = list(messages)
    for index in reversed(range(len(found))):
        message = found[index]
        places = [i for i, part in enumerate(message.parts) if isinstance(part, UserPromptPart)]
        if isinstance(message, ModelRequest) and places:
            parts = list(message.parts)
            parts[places[-1]] = UserPromptPart(prompt)
            found[index] = replace(message, parts=parts)
            break
    return found
