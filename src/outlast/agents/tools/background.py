"""Tools that go on while the agent does something else, and tell it when they have ended.

`@background` makes a tool return at once. Its work is a run of its own; when that ends, it sends
the agent's actor a message, which wakes the agent, or steers the turn that runs.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable
from typing import TypeGuard, TypeVar

from pydantic import TypeAdapter, validate_call
from pydantic_ai.exceptions import UserError

from outlast._authoring.workflow import wf, workflow
from outlast._engine.remote import TELL_STEP
from outlast._execution.run_context import context_here, current_context, in_run
from outlast._messages.actor_ids import key_in
from outlast._messages.envelopes import Envelope, write_envelope
from outlast._registry import default_registry
from outlast.agents.tools.effects import effect_of_function, function_of
from outlast.errors import UsageError
from outlast.types import RunId

F = TypeVar("F", bound=Callable[..., object])

HEAR = "hear"
"""The handler of an agent's actor that takes what has ended in the background."""

_MARK = "_outlast_background"
_values: TypeAdapter[dict[str, object]] = TypeAdapter(dict[str, object])
_tools: dict[str, Callable[..., object]] = {}


def background(tool: F) -> F:
    """Have a tool of an `AgentActor`'s agent return at once, and wake the agent when it has ended.

    The work runs as a step of a run of its own, which outlasts the turn: interrupting the turn does
    not end it. Its arguments and its result are JSON data. In an agent that runs in a workflow, not
    in an actor, the tool is waited for.

        @support.tool_plain
        @background
        async def research(topic: str) -> str: ...

    Raises:
        UserError: the function declares an effect, or is not one that has a name of its module.
    """
    name: object = getattr(tool, "__qualname__", None)
    if not callable(tool) or not isinstance(name, str):
        raise UserError(f"@background decorates a function, not {tool!r}")
    if effect_of_function(tool) is not None:
        raise UserError(
            f"@background and @effect of tool {name!r} exclude each other: the work is a step of a "
            "run of its own, which is called again after a crash"
        )
    full_name = f"{tool.__module__}.{name}"
    _tools[full_name] = validate_call(tool)
    signature = inspect.signature(tool)

    @functools.wraps(tool)
    async def begin(*args: object, **kwargs: object) -> object:
        if not in_run():
            return await _value_of(tool(*args, **kwargs))
        given = signature.bind(*args, **kwargs).arguments
        arguments: dict[str, object] = _values.dump_python(given, mode="json")
        here = context_here()
        is_heard = here is not None and here.actor is not None and _hears(here.id)
        if not is_heard or here is None:
            return await in_background(full_name, arguments)
        run = wf.start(
            in_background(full_name, arguments, actor=here.id), on_parent_close="abandon"
        )
        return f"It runs in the background as {run.id}. You will be told when it has ended."

    setattr(begin, _MARK, True)
    return begin  # type: ignore[return-value]  # called as the tool is


def is_background_tool(tool: object) -> bool:
    """Whether the function of a tool goes on in the background."""
    return getattr(function_of(tool), _MARK, False) is True


@workflow(name="outlast.agents.background")
async def in_background(tool: str, arguments: dict[str, object], actor: str = "") -> object:
    """Do the work of a tool, and tell the agent what came of it."""
    found = _tools.get(tool)
    if found is None:
        raise UsageError(f"the code here has no tool {tool!r} with @background")
    function = found

    async def work() -> object:
        return await _value_of(function(**arguments))

    name = tool.rpartition(".")[2]
    if not actor:
        return await wf.step(name, work, returns=object)
    try:
        result = await wf.step(name, work, returns=object)
    except Exception as error:
        await _tell(actor, f"The background call of {name} has failed: {error}")
        raise
    await _tell(actor, f"The background call of {name} has ended. Its result: {_shown(result)}")
    return result


async def _value_of(called: object) -> object:
    return await called if _is_awaitable(called) else called


def _is_awaitable(value: object) -> TypeGuard[Awaitable[object]]:
    return isinstance(value, Awaitable)


def _shown(result: object) -> str:
    if isinstance(result, str):
        return result
    return TypeAdapter(object).dump_json(result).decode()


def _hears(actor: str) -> bool:
    definition = default_registry.actors.get(actor.partition("/")[0])
    return definition is not None and HEAR in definition.handlers


async def _tell(actor: str, text: str) -> None:
    definition = default_registry.actors[actor.partition("/")[0]]
    handler = definition.handlers[HEAR]
    data = handler.signature.encode(handler.signature.bind((text,), {}))
    key = key_in(RunId(actor), definition.name)
    envelope = Envelope(definition, key, handler, data, sender=current_context().id)
    await current_context().step(TELL_STEP, (write_envelope(envelope),))
