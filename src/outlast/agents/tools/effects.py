"""What tools do to the outside world: how a call that was cut off by a crash is completed.

@support.tool
@effect(idempotent=lambda ctx, order, cents: f"refund:{order}")
async def refund(ctx: RunContext[Deps], order: str, cents: int) -> Receipt:
    return await bank.refund(order, cents, idempotency_key=idempotency_key())

A tool that was running when the process died may or may not have had its effect. Its declaration
says what the run does then: call it again, call it again under the same key, undo what it may have
done and call it again, or ask a person.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal, TypeAlias, TypeGuard, TypeVar, overload

from pydantic_ai import RunContext
from pydantic_ai.exceptions import UserError
from pydantic_ai.tools import Tool, ToolDefinition
from pydantic_ai.toolsets import FunctionToolset, ToolsetTool
from pydantic_ai.toolsets.function import FunctionToolsetTool

from outlast._authoring.step import this_step
from outlast._shapes import as_object, is_dict
from outlast.agents.tools.wrapping import naming, wrapped

F = TypeVar("F", bound=Callable[..., object])

EffectKind: TypeAlias = Literal["pure", "idempotent", "compensate", "at_most_once"]

_MARK = "__outlast_effect__"
_key: ContextVar[str | None] = ContextVar("outlast_idempotency_key", default=None)
warned_of: set[tuple[str, str]] = set()
"""Agents and their tools whose effects were found to be undeclared in this process."""

_logger = logging.getLogger("outlast.agents")


@dataclass(frozen=True, slots=True)
class Effect:
    """What `effect` returns: decorates a tool's function, or stands in `steps=` and metadata."""

    kind: EffectKind
    function: Callable[..., object] | None = None

    def __call__(self, tool: F) -> F:
        """Declare the effect of a tool's function.

        Raises:
            UserError: it is no function, or has another effect already.
        """
        if hasattr(tool, _MARK):
            raise UserError(f"the tool {tool!r} has two effects: declare one")
        declared = _with_key(tool, self.function) if self.kind == "idempotent" else tool
        try:
            setattr(declared, _MARK, self)
        except (AttributeError, TypeError):
            raise UserError(f"@effect decorates a function, not {tool!r}") from None
        return declared


@overload
def effect(kind: Literal["pure", "at_most_once"], /) -> Effect: ...
@overload
def effect(*, idempotent: Callable[..., str]) -> Effect: ...
@overload
def effect(*, compensate: Callable[..., object]) -> Effect: ...
def effect(
    kind: Literal["pure", "at_most_once"] | None = None,
    /,
    *,
    idempotent: Callable[..., str] | None = None,
    compensate: Callable[..., object] | None = None,
) -> Effect:
    """Declare what a tool does to the outside world, and so what happens after a crash in it.

    Args:
        kind: "pure": it changes nothing outside; it is called again. "at_most_once": it is not
            called again before a person has said, in the inbox, that it did not happen.
        idempotent: a function of the tool's arguments that returns the key under which the outside
            world has the effect only once. The tool is called again, and passes on what
            `idempotency_key()` returns. Only as a decorator. A fork's calls have that key too,
            whatever its `keys=`, unless the function adds `this_step().key`.
        compensate: a function of the tool's arguments, async or not, that undoes the effect or
            finds that there was none. It runs as a step; then the tool is called again.

    Raises:
        UserError: it is not exactly one of these.
    """
    given = [item for item in (kind, idempotent, compensate) if item is not None]
    if len(given) != 1 or kind not in (None, "pure", "at_most_once"):
        raise UserError(
            'effect() takes "pure", "at_most_once", idempotent=function or compensate=function'
        )
    if kind is not None:
        return Effect(kind)
    function = idempotent or compensate
    if not callable(function):
        raise UserError(f"effect() takes a function of the tool's arguments, not {function!r}")
    if idempotent is not None and inspect.iscoroutinefunction(idempotent):
        raise UserError("effect(idempotent=...) takes a plain function, not a coroutine function")
    return Effect("idempotent" if idempotent is not None else "compensate", function)


def idempotency_key() -> str:
    """Return, inside a tool, the key under which the outside world may have its effect only once.

    It is that of `@effect(idempotent=...)`, else `this_step().key`, which contains the run's id.

    Raises:
        NotInRun: no step is executing.
    """
    return _key.get() or this_step().key


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call of a tool: its arguments, as the model gave them and the tool's schema read them."""

    agent: str
    name: str
    arguments: Mapping[str, object]
    context: RunContext[object] | None
    tool: object

    @property
    def full_name(self) -> str:
        """The tool and its agent, as messages name them."""
        return f"tool {self.name!r} of agent {self.agent!r}"

    @property
    def is_read_only(self) -> bool:
        """Whether an MCP server says that the tool changes nothing."""
        definition = self.tool.tool_def if _is_tool(self.tool) else as_object(self.tool)
        metadata = definition.metadata if isinstance(definition, ToolDefinition) else None
        annotations: object = (metadata or {}).get("annotations")
        return is_dict(annotations) and annotations.get("readOnlyHint") is True

    def pass_to(self, function: Callable[..., object]) -> object:
        """Call a function with the arguments of the tool, and what its context is if it has one."""
        source = _source_of(self.tool)
        if source is not None and source.takes_ctx:
            return function(self.context, **self.arguments)
        return function(**self.arguments)

    def warn(self, *, options: str) -> None:
        """Log, once for each tool in a process, that its effect is not declared.

        `options` names the entry of `steps=` that holds for the tool.
        """
        if (self.agent, self.name) in warned_of:
            return
        warned_of.add((self.agent, self.name))
        advice = "Decorate it with @effect(...) of outlast.agents"
        if function_of(self.tool) is None:
            advice = (
                f"It is no function that @effect could decorate: give Durability(steps="
                f'{{"{options}": {{"effect": effect("at_most_once")}}}}), or effect("pure") if it '
                f"changes nothing"
            )
        _logger.warning(
            "%s does not declare its effect: it is called again if the process dies in it, and "
            "may have its effect twice. %s",
            self.full_name,
            advice,
        )


def function_of(tool: object) -> object:
    """Return the function of a tool; None if it is of an MCP server, or is not known."""
    return getattr(_source_of(tool), "function", None)


def effect_of(tool: object) -> Effect | None:
    """Return the effect that the function of a tool declares."""
    return effect_of_function(function_of(tool))


def effect_of_function(function: object) -> Effect | None:
    """Return the effect that a function declares."""
    declared: object = getattr(function, _MARK, None)
    return declared if isinstance(declared, Effect) else None


def _with_key(tool: F, key_of: Callable[..., object] | None) -> F:
    """Return the function with its key at hand while it is called."""
    name: object = getattr(tool, "__name__", "?")

    @contextmanager
    def keyed(args: tuple[object, ...], kwargs: dict[str, object]) -> Generator[None]:
        with naming(f"the key function, effect(idempotent=...), of tool {name!r}"):
            key = None if key_of is None else key_of(*args, **kwargs)
        if not isinstance(key, str) or not key:
            raise UserError(
                f"effect(idempotent=...) of tool {name!r} returned {key!r}: a key is text, and not "
                f"empty"
            )
        token = _key.set(key)
        try:
            yield
        finally:
            _key.reset(token)

    return wrapped(tool, keyed)


def _source_of(tool: object) -> Tool[object] | None:
    """Return what a toolset of functions holds under the name of a tool."""
    if not _is_of_function(tool):
        return None
    toolset: object = tool.toolset
    if not _is_of_functions(toolset):
        return None
    return toolset.tools.get(tool.original_name or tool.tool_def.name)


def _is_of_function(tool: object) -> TypeGuard[FunctionToolsetTool[object]]:
    return isinstance(tool, FunctionToolsetTool)


def _is_of_functions(toolset: object) -> TypeGuard[FunctionToolset[object]]:
    return isinstance(toolset, FunctionToolset)


def _is_tool(tool: object) -> TypeGuard[ToolsetTool[object]]:
    return isinstance(tool, ToolsetTool)
