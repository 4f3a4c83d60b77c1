"""The operations of an agent as steps of the run: what each is called, and under which key.

A key is `agent#2/3/tool/call_7`: the second run of this agent in the outlast run, its third model
request, a tool call by the id that the model gave it. Operations without an id of their own are
counted: `agent#2/3/model`, `agent#2/3/model#2`. So the order in which tools end, and the tasks that
pydantic-ai makes of them, are no part of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar, copy_context
from dataclasses import replace
from typing import TypedDict, TypeGuard

from pydantic_ai import RunContext
from pydantic_ai.durable_exec import (
    CapabilityOperationId,
    DurableOperationConfig,
    DurableOperationId,
    EventStreamHandlerId,
    JournalCallableOperationBackend,
    ModelCancelSuspendedResponseId,
    ModelCompactMessagesId,
    ModelRequestId,
    ToolsetCallToolId,
    ToolsetGetInstructionsId,
    ToolsetGetToolsId,
    ToolsetValidateToolArgumentsId,
    record_durable_unit,
)
from pydantic_ai.exceptions import (
    AgentRunError,
    FallbackExceptionGroup,
    ToolRetryError,
    UserError,
)

from outlast._authoring.closures import closure_definition
from outlast._execution.run_context import current_context, has_step, in_run, next_number
from outlast._registry import StepDefinition
from outlast._shapes import is_dict
from outlast.agents.budgets.enforcing import Called, admit, kept, note
from outlast.agents.budgets.scopes import Spending, budgets_here
from outlast.agents.conversations.interruption import ResponseInterrupted
from outlast.agents.internals import threads_in_steps
from outlast.agents.programs import ProgramFailed, may_have_happened
from outlast.agents.providers.asking import RequestPriority, asker, asker_here
from outlast.agents.tools.approvals import decided, due_of, is_always_due
from outlast.agents.tools.cut_off import completed
from outlast.agents.tools.effects import Effect, ToolCall, effect_of
from outlast.agents.tools.threads import threads_of
from outlast.errors import BudgetError, EncodingError
from outlast.limits import NAME_CHARS_MAX
from outlast.types import Duration, Once, Retry, Timeout

_KEY_CHARS = 200
_CALLED_AGAIN = ("pure", "idempotent")
_CALL_PARTS = 4  # name, arguments, context, tool
# They, and what derives from them, come back to the code of the agent as themselves.
_ERRORS = (AgentRunError, FallbackExceptionGroup, ProgramFailed, ToolRetryError, UserError)

agent_run: ContextVar[str] = ContextVar("outlast_agent_run", default="agent")
"""How the agent's run that executes is called in keys."""


agent_place: ContextVar[str | None] = ContextVar("outlast_agent_place", default=None)
"""The line of the workflow that runs the agent, which its records show."""


class StepConfig(TypedDict, total=False):
    """How operations of an agent run as steps, as with `@step`: for all of a kind, or for one tool.

    Of a tool: `@agent.tool(metadata={"outlast": {"retry": Retry(attempts=3)}})`. `priority` is of
    requests to models where their provider has limits: those of actors are "interactive" and come
    first, those of workflows are "batch", unless it says something else.
    """

    retry: Retry
    timeout: Timeout | Duration
    once: Once
    effect: Effect
    priority: RequestPriority


class StepConfigs(TypedDict, total=False):
    """How the operations of an agent run as steps: model requests, tools, calls of MCP servers.

    Without `mcp`, calls of MCP servers run as `tools` say.
    """

    model: StepConfig
    tools: StepConfig
    mcp: StepConfig


class StepBackend(JournalCallableOperationBackend[StepConfig]):
    """Runs the operations of one agent as steps of the outlast run whose code executes."""

    def __init__(
        self,
        *,
        agent_name: str,
        default_model_id: str | None,
        config: DurableOperationConfig[StepConfig],
    ) -> None:
        super().__init__(agent_name=agent_name, default_model_id=default_model_id, config=config)
        self._agent = agent_name

    async def execute(
        self,
        *,
        operation_id: DurableOperationId,
        name: str,
        body: Callable[[], Awaitable[object]],
        cache_key: tuple[object, ...],
        config: StepConfig,
    ) -> object:
        """Run one operation as a step, or return what it gave when the run replays.

        Raises:
            SkipToolExecution: a person has said what a tool that was cut off has done; or a budget
                does not allow the call of a tool.
            BudgetError: a budget allows neither this nor a last answer.
        """
        if not in_run():
            return await body()
        call = tool_call_of(self._agent, operation_id, cache_key)
        budgets = budgets_here.get()
        if not budgets:
            return await self._run(operation_id, name, body, cache_key, config, call)
        agent = agent_run.get()
        async with kept(budgets, agent):
            if call is not None:
                await _admitted(budgets, agent, call)
            value = await self._run(operation_id, name, body, cache_key, config, call)
        note(budgets, agent, value)
        return value

    async def _run(
        self,
        operation_id: DurableOperationId,
        name: str,
        body: Callable[[], Awaitable[object]],
        cache_key: tuple[object, ...],
        config: StepConfig,
        call: ToolCall | None,
    ) -> object:
        declared = None if call is None else _effect_in(config, call)
        is_open = call is not None and declared is None and "once" not in config
        may_not_repeat = declared is not None and declared.kind not in _CALLED_AGAIN
        key = _numbered(f"{agent_run.get()}/{_place_of(operation_id, _context_in(cache_key))}")
        threads = None
        if may_not_repeat and call is not None:
            threads = threads_of(call, f"{current_context().id}/{key}")
        has_run = False
        is_due: bool | None = None

        async def work() -> object:
            nonlocal has_run
            has_run = True
            may_have_happened.set(may_not_repeat)  # the step has a context of its own
            if is_open and call is not None and is_due is not True:
                call.warn(options="mcp" if is_mcp(operation_id) else "tools")
            with threads_in_steps(), decided(is_due), threads.used() if threads else nullcontext():
                try:
                    return await body()
                except RuntimeError as error:
                    # FastMCP puts its own error in the place of what went wrong.
                    if isinstance(error.__cause__, ProgramFailed):
                        raise error.__cause__ from None
                    raise

        if isinstance(operation_id, ModelRequestId):
            asker.set(asker_here())

        async def attempt(key: str) -> object:
            step = definition_of(name, work, config)
            with _told_of(name if call is None else call.full_name):
                return await current_context().step(
                    step, (), place=agent_place.get(), key=key, context=copy_context()
                )

        if call is not None and is_mcp(operation_id):
            name = _name_with_tool(name, call.name, key)
        is_due = None if call is None else await _approval_is_due(call, key)
        is_asking = is_due is True  # the tool itself does not run
        if call is None or declared is None or is_asking or not may_not_repeat:
            value = await attempt(key)
        else:
            config = _at_most_once(config)
            value = await completed(attempt, call, declared, key, threads)
        record_durable_unit(executed=has_run)
        return value


async def _admitted(budgets: Sequence[Spending], agent: str, call: ToolCall) -> None:
    """Count a call of a tool in the budgets around it."""
    context = call.context
    turn, made = (0, "") if context is None else (context.run_step, context.tool_call_id or "")
    key = _numbered(f"{agent}/{turn}/budget/{made}")
    called = Called(agent, turn, made, call.name, call.arguments, agent_place.get())
    await admit(budgets, called, key=key)


@contextmanager
def _told_of(what: str) -> Generator[None]:
    """Have an error of what cannot be stored say whose value it is."""
    try:
        yield
    except EncodingError as error:
        error.args = (f"{what}: {error}",)
        raise


def tool_call_of(
    agent: str, operation: DurableOperationId, cache_key: tuple[object, ...]
) -> ToolCall | None:
    """Return the call of a tool that an operation is, if it is one."""
    if not isinstance(operation, ToolsetCallToolId) or len(cache_key) != _CALL_PARTS:
        return None
    name, arguments, _, tool = cache_key
    given = {f"{key}": value for key, value in arguments.items()} if is_dict(arguments) else {}
    return ToolCall(agent, f"{name}", given, _context_in(cache_key), tool)


def is_mcp(operation: object) -> bool:
    """Whether an operation is one of a toolset that is an MCP server."""
    return getattr(operation, "toolset_kind", "") == "mcp"


def _name_with_tool(name: str, tool: str, key: str) -> str:
    """Name the tool of an MCP server, which pydantic-ai does for functions only."""
    full = f"{name}:{tool}"
    is_name = len(full) <= NAME_CHARS_MAX and full.isprintable()  # servers are free in it
    return full if is_name and not has_step(key, name) else name  # older versions left it out


async def _approval_is_due(call: ToolCall, key: str) -> bool | None:
    """Return whether a call must be approved first; None: as far as the agent's options say.

    It is decided in a step of its own: a crash in it is none in the tool.
    """
    due = due_of(call)
    if due is None:
        return None

    name, place = f"{call.name} needs approval", f"{key}/due"
    if is_always_due(call) and not has_step(place, name):  # older versions made a step of it
        return True

    async def decide() -> object:
        return due()

    step = closure_definition(name, decide, raises=_ERRORS, returns=bool)
    answer = await current_context().step(step, (), place=agent_place.get(), key=place)
    return answer is True


def _effect_in(config: StepConfig, call: ToolCall) -> Effect | None:
    """Return the effect of a tool: of its function, of its MCP server, then of its options."""
    declared = effect_of(call.tool)
    return declared or (Effect("pure") if call.is_read_only else config.get("effect"))


def _at_most_once(config: StepConfig) -> StepConfig:
    once: StepConfig = {**config, "once": "at_most"}
    once.pop("retry", None)  # an attempt that has failed may have had its effect
    return once


def definition_of(
    name: str, work: Callable[[], Awaitable[object]], config: StepConfig
) -> StepDefinition:
    """Return an operation as a step.

    Raises:
        UsageError: the options make no sense.
    """
    return closure_definition(
        name,
        work,
        retry=_without_refusals(config.get("retry")),
        timeout=config.get("timeout"),
        once=config.get("once", "at_least"),
        raises=_ERRORS,
        returns=object,
    )


def _without_refusals(retry: Retry | None) -> Retry | None:
    """Return retries that do not try again what a budget has refused."""
    if not isinstance(retry, Retry):
        return retry  # what is none is refused with the other options
    return replace(retry, never_on=(*retry.never_on, BudgetError, ResponseInterrupted))


def _numbered(key: str) -> str:
    if len(key) > _KEY_CHARS or not key.isprintable():
        key = f"{ascii(key)[: _KEY_CHARS // 2]}~{hashlib.sha256(key.encode()).hexdigest()[:32]}"
    number = next_number(key)
    return key if number == 1 else f"{key}#{number}"


def _context_in(cache_key: tuple[object, ...]) -> RunContext[object] | None:
    return next((item for item in cache_key if _is_context(item)), None)


def _is_context(item: object) -> TypeGuard[RunContext[object]]:
    return isinstance(item, RunContext)


def _place_of(operation: object, context: RunContext[object] | None) -> str:
    step = 0 if context is None else context.run_step
    call = "" if context is None else f"/{context.tool_call_id or ''}"
    match operation:
        case ModelRequestId():
            what = "model"
        case ModelCompactMessagesId():
            what = "compact"
        case ModelCancelSuspendedResponseId():
            what = "withdraw"
        case EventStreamHandlerId():
            what = "event"
        case ToolsetGetToolsId(toolset_id=toolset):
            what = f"tools/{toolset}"
        case ToolsetGetInstructionsId(toolset_id=toolset):
            what = f"instructions/{toolset}"
        case ToolsetValidateToolArgumentsId():
            what = f"arguments{call}"
        case ToolsetCallToolId():
            what = f"tool{call}"
        case CapabilityOperationId(capability_id=capability, operation=name):
            what = f"{capability}.{name}"
        case _:
            what = type(operation).__name__
    return f"{step}/{what}"
