"""`Durability`: the capability by which an agent of pydantic-ai runs durably inside of a run.

Each model request, tool call, MCP call, discovery of tools and operation of a capability is a step
of the run under a stable key. On replay its result comes from the journal. Outside of a run the
agent is what it was without the capability.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import ClassVar, Literal, TypeGuard

from pydantic_ai import AgentRunResult
from pydantic_ai.agent import AbstractAgent, EventStreamHandler
from pydantic_ai.capabilities.abstract import AbstractCapability, WrapRunHandler
from pydantic_ai.durable_exec import (
    BaseDurabilityCapability,
    DurabilityEngineSpec,
    DurableOperationId,
    RoleBasedOperationConfig,
    ToolsetGetInstructionsId,
    conversation_id_from_run_id,
    external_event_scope,
    replay_scope,
)
from pydantic_ai.exceptions import UserError
from pydantic_ai.models import Model
from pydantic_ai.tools import (
    AgentDepsT,
    DeferredToolRequests,
    DeferredToolResults,
    RunContext,
)
from pydantic_ai.toolsets import ToolsetTool
from typing_extensions import override

from outlast._authoring.workflow import wf
from outlast._execution.bodies.context import in_step
from outlast._execution.run_context import asking_place, in_run, message_here, next_number
from outlast._shapes import is_dict, is_mapping
from outlast._wording.names import check_name
from outlast.agents.budgets.costs import PricedModel
from outlast.agents.budgets.requests import BudgetedModel
from outlast.agents.budgets.scopes import budgets_here, inherited, must_answer
from outlast.agents.conversations.interruption import InterruptibleModel, interruption
from outlast.agents.events import streaming
from outlast.agents.internals import LIBRARIES, JournalCodec, no_threads
from outlast.agents.overriding import refuse_overrides_of
from outlast.agents.providers.queued import queued
from outlast.agents.steps import (
    StepBackend,
    StepConfig,
    StepConfigs,
    agent_place,
    agent_run,
    definition_of,
    is_mcp,
)
from outlast.agents.substitutes import serving_model
from outlast.agents.tools.approvals import decisions
from outlast.agents.tools.background import is_background_tool
from outlast.agents.tools.effects import Effect
from outlast.agents.waiting import TokenWaiter
from outlast.errors import EncodingError, UsageError

_OPTIONS = frozenset(StepConfig.__annotations__)


class Durability(BaseDurabilityCapability[AgentDepsT]):
    """Make an agent's runs durable where they are part of an outlast run.

    Args:
        models: model instances that a run may choose by their key, beside the agent's own.
        event_stream_handler: gets the events of a run live, inside of the steps that have them; not
            again on replay.
        name: what the agent is called in keys and names of steps; by default the agent's name. It
            is stored data: a run that is under way is found again only under the same name.
        stream: whether events are written to the run's stream `agent_events`. Model requests are
            streamed then.
        steps: how model requests, tools and calls of MCP servers run as steps: their retries and
            timeouts, as with `@step`. The metadata `outlast` of one tool comes before it.
        provider: at which provider's limits its requests wait (`engine.limits.provider`); by
            default those of its model ("openai:gpt-5"), else those of the model's provider
            ("openai"), if they are declared.

    Raises:
        UserError: an argument is none of those above, or options contradict each other.

    Guarantee: the result of a step is recorded once. A step that was under way when the process
    died runs again, so a tool may have its effect twice, unless its `effect` says otherwise.
    """

    engine_spec: ClassVar[DurabilityEngineSpec] = DurabilityEngineSpec(
        engine_name="outlast",
        durable_unit_noun="step",
        durable_container_noun="workflow",
        codec=JournalCodec(),
        serialization_failure=lambda error: EncodingError(
            "$", f"{error}. Tools return JSON-like data, dataclasses or models of pydantic"
        ),
        # A connection to an MCP server belongs to the loop that has opened it, which is that of
        # the steps: opened around a whole run, it would be closed on the run's own loop.
        toolset_lifecycles={
            "function": "enter-always",
            "mcp": "enter-never",
            "dynamic": "enter-never",
        },
        tool_config_key="outlast",
    )

    def __init__(
        self,
        *,
        models: Mapping[str, Model] | None = None,
        event_stream_handler: EventStreamHandler[AgentDepsT] | None = None,
        name: str | None = None,
        stream: bool = False,
        steps: StepConfigs | None = None,
        provider: str | None = None,
    ) -> None:
        _check_models(models)
        _check_steps({} if steps is None else steps)
        if event_stream_handler is not None and not callable(event_stream_handler):
            raise UserError(
                "Durability: event_stream_handler= takes an async function of the run's context "
                f"and its events, not {event_stream_handler!r}"
            )
        if name is not None and (not isinstance(name, str) or not name):
            raise UserError(f"Durability: name= is a text that is not empty, not {name!r}")
        handler = streaming(event_stream_handler) if stream else event_stream_handler
        super().__init__(models=models, event_stream_handler=handler, name=name)
        if provider is not None:
            try:
                check_name("Durability: provider=", provider)
            except UsageError as error:
                raise UserError(f"{error}") from None
        self._steps: StepConfigs = steps or {}
        self.provider: str | None = provider

    @property
    @override
    def in_durable_context(self) -> bool:
        return in_run()

    @override
    def for_agent(self, agent: AbstractAgent[AgentDepsT, object]) -> AbstractCapability[AgentDepsT]:
        refuse_overrides_of(agent)
        return super().for_agent(agent)

    @override
    def get_durable_operation_backend(self) -> StepBackend:
        return StepBackend(
            agent_name=self.name,
            default_model_id=self.default_model_id,
            config=RoleBasedOperationConfig[StepConfig](
                model=self._steps.get("model", {}),
                event={},
                capability={},
                tool=self._steps.get("tools", {}),
                resolve_tool=self._config_of_tool,
            ),
        )

    def _config_of_tool(
        self, operation: DurableOperationId, tool: object, name: str
    ) -> StepConfig | Literal[False]:
        """Return how a tool runs as a step; False: as a part of the workflow, without one."""
        of_tools = self._steps.get("tools", {})
        is_of_server = is_mcp(operation) or isinstance(operation, ToolsetGetInstructionsId)
        config = self._steps.get("mcp", of_tools) if is_of_server else of_tools
        goes_on = is_background_tool(tool)
        given = tool.tool_def.metadata if isinstance(tool, ToolsetTool) else None
        own: object = (given or {}).get("outlast", {})
        if own is False or goes_on:
            return False
        if not _is_config(own):
            raise UserError(
                f"the metadata 'outlast' of tool {name!r} is False, for a tool that runs as part "
                f"of the workflow, or a dict with some of {sorted(_OPTIONS)}, not {own!r}"
            )
        return {**config, **own}

    @override
    def get_wrapper_model(self, model: Model) -> Model | None:
        served, stopping = serving_model(self.name, model), interruption.get()
        if not in_step():  # the run's code sends no requests
            return served
        if budgets := budgets_here.get():
            is_last = must_answer(budgets, agent_run.get())
            served = BudgetedModel(served or model, budgets, must_answer=is_last)
        priced = PricedModel(served or model, self.name)
        priority = self._steps.get("model", {}).get("priority")
        # Around the budget: what only waits for its turn has nothing reserved.
        served = (
            queued(priced, agent=self.name, provider=self.provider, priority=priority) or priced
        )
        # Around both: it also ends these waits.
        return served if stopping is None else InterruptibleModel(served, stopping)

    # ----------------------------------------------------------- what replay gives again
    @override
    def get_default_run_id(self) -> str | None:
        if not in_run():
            return None
        number = next_number(f"id {self.name}")
        return "/".join(filter(None, (wf.run_id, message_here(), f"{self.name}#{number}")))

    @override
    def get_default_conversation_id(self, run_id: str) -> str | None:
        return conversation_id_from_run_id(run_id) if in_run() else None

    @override
    async def get_run_start_time(self, run_id: str) -> datetime | None:
        return wf.now() if in_run() else None

    @override
    def get_run_clock(self) -> Callable[[], datetime] | None:
        if not in_run():
            return None
        # pydantic-ai asks for it once, on its caller's stack; the rest is done in tasks of its own.
        agent_place.set(asking_place(beyond=LIBRARIES))
        return wf.now

    @override
    async def handle_deferred_tool_calls(
        self, ctx: RunContext[AgentDepsT], *, requests: DeferredToolRequests
    ) -> DeferredToolResults | None:
        if not in_run():
            return None
        place = f"{agent_run.get()}/{ctx.run_step}"
        found = await decisions(self.name or "agent", place, requests)
        return DeferredToolResults(approvals={**found}) if found else None

    @override
    async def wrap_run(
        self, ctx: RunContext[AgentDepsT], *, handler: WrapRunHandler
    ) -> AgentRunResult[object]:
        if not in_run():
            return await handler()
        token = agent_run.set(f"{self.name}#{next_number(f'run {self.name}')}")
        around = budgets_here.set(inherited())
        try:
            with no_threads(), replay_scope(), external_event_scope(TokenWaiter()):
                return await super().wrap_run(ctx, handler=handler)
        finally:
            budgets_here.reset(around)
            agent_run.reset(token)


def durability_of(agent: AbstractAgent[AgentDepsT, object]) -> Durability[AgentDepsT] | None:
    """Return the capability by which an agent is durable, None without."""
    found: list[Durability[AgentDepsT]] = []

    def look(capability: AbstractCapability[AgentDepsT]) -> None:
        if isinstance(capability, Durability):
            found.append(capability)

    agent.root_capability.apply(look)
    return found[0] if found else None


def _is_config(value: object) -> TypeGuard[StepConfig]:
    if not is_dict(value) or not _OPTIONS.issuperset(value):
        return False
    declared = value.get("effect")
    if isinstance(declared, Effect) and declared.kind == "idempotent":
        raise UserError("effect(idempotent=...) decorates the function that passes the key on")
    return declared is None or isinstance(declared, Effect)


def _check_models(models: object) -> None:
    if models is None:
        return
    if not is_mapping(models):
        raise UserError(
            "Durability: models= takes a dict of model instances by the keys under which runs "
            f"choose them, not {models!r}"
        )
    for key, model in models.items():
        if not isinstance(key, str) or not isinstance(model, Model):
            raise UserError(
                f"Durability: models= takes instances of pydantic-ai's Model by text, not "
                f"{model!r} under {key!r}: make it with infer_model('openai:gpt-5') or its class"
            )


def _check_steps(steps: object) -> None:
    """Refuse what a type checker would have seen."""
    kinds = sorted(StepConfigs.__annotations__)
    if not is_dict(steps):
        raise UserError(f"Durability: steps= takes a dict with some of {kinds}, not {steps!r}")
    for kind, config in steps.items():
        if kind not in kinds or not _is_config(config):
            raise UserError(
                f"Durability: steps= takes dicts with some of {sorted(_OPTIONS)} under some of "
                f"{kinds}, not {config!r} under {kind!r}"
            )
        if kind != "model" and "priority" in config:
            raise UserError(
                f"Durability: steps={{{kind!r}: ...}} takes no priority: only requests to models "
                "wait at a provider"
            )
        if config.get("priority", "batch") not in ("interactive", "batch"):
            raise UserError(
                "Durability: the priority of requests to models is 'interactive' or 'batch', not "
                f"{config.get('priority')!r}"
            )
        if kind == "model" and "effect" in config:
            raise UserError(
                "Durability: steps={'model': ...} takes no effect: a request to a model is made "
                "again after a crash. Effects are declared of 'tools' and 'mcp'"
            )
        try:
            definition_of(f"{kind}", _nothing, config)
        except UsageError as error:
            said = f"{error}".removeprefix(f"step '{kind}': ")
            raise UserError(f"Durability: steps={{'{kind}': ...}}: {said}") from None


async def _nothing() -> None:
    """Stands for the work of a step whose options are checked."""
