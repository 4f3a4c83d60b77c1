"""Tools that people must approve before they run, by the inbox of the engine.

@support.tool
@requires_approval(unless=lambda ctx, order, cents: cents < 2_000, by="manager", expires="3d")
async def refund(ctx: RunContext[Deps], order: str, cents: int) -> Receipt: ...

The function raises pydantic-ai's `ApprovalRequired` until its call is approved. In a run of outlast
`Durability` asks for the approval and waits, out of memory if need be; the approval holds for
exactly the arguments that were shown. Elsewhere the agent's own handling of approvals applies.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Literal, TypeVar

from pydantic_ai import ApprovalRequired, DeferredToolRequests, RunContext, ToolApproved, ToolDenied
from pydantic_ai.exceptions import UserError
from pydantic_ai.messages import ToolCallPart

from outlast._execution.run_context import next_number
from outlast._handles.tokens import open_approval
from outlast._shapes import is_dict
from outlast._wording.durations import seconds_of
from outlast.agents.conversations.questions import note_answered, note_asked
from outlast.agents.tools.asking import detail_of, title_of
from outlast.agents.tools.effects import ToolCall, function_of
from outlast.agents.tools.wrapping import naming, wrapped
from outlast.errors import WaitTimeout
from outlast.types import Duration

F = TypeVar("F", bound=Callable[..., object])

_MARK = "outlast_approval"
_DUE = "__outlast_approval_due__"
_ALWAYS = "__outlast_approval_always__"
_decided: ContextVar[bool | None] = ContextVar("outlast_approval_decided", default=None)


def requires_approval(
    misplaced: None = None,
    /,
    *,
    unless: Callable[..., bool] | None = None,
    by: str | None = None,
    expires: Duration | None = None,
    on_expire: Literal["deny", "fail"] = "deny",
) -> Callable[[F], F]:
    """Have each call of a tool approved by a person before it runs.

    Args:
        unless: a function of the tool's arguments; calls for which it is true need no approval.
        by: the only name under which it can be approved: under another one, approving raises
            `WrongApprover` and the question stays open. Anybody can reject.
        expires: how long to wait for an answer; without it, as long as it takes.
        on_expire: "deny" tells the model that the call was denied, "fail" raises `WaitTimeout`.

    Raises:
        UserError: the function has no `RunContext` as its first parameter, or a value is none of
            those above.
    """
    _check(misplaced, unless, by)
    seconds = None if expires is None else seconds_of(expires)
    if on_expire not in ("deny", "fail"):
        raise UserError(f"on_expire is 'deny' or 'fail', not {on_expire!r}")
    asked = {_MARK: {"by": by, "seconds": seconds, "on_expire": on_expire}}

    def is_due(args: tuple[object, ...], kwargs: Mapping[str, object]) -> bool:
        tool: object = getattr(args[0], "tool_name", None)
        with naming(f"the function of requires_approval(unless=...) of tool {tool!r}"):
            return not (unless and unless(*args, **kwargs))

    @contextmanager
    def approved(args: tuple[object, ...], kwargs: dict[str, object]) -> Generator[None]:
        context = args[0] if args else None
        if not isinstance(context, RunContext):
            raise UserError("a tool that requires approval is called with its RunContext first")
        if not context.tool_call_approved:
            decided = _decided.get()
            if decided or (decided is None and is_due(args, kwargs)):
                raise ApprovalRequired(metadata=asked)
        yield

    def decorate(tool: F) -> F:
        _check_takes_context(tool)
        guarded = wrapped(tool, approved)
        setattr(guarded, _DUE, is_due)
        setattr(guarded, _ALWAYS, unless is None)
        return guarded

    return decorate


def _check(misplaced: object, unless: object, by: object) -> None:
    if misplaced is not None:
        raise UserError(
            f"requires_approval() takes its options by name, not {misplaced!r}: write "
            f"@requires_approval() above the function"
        )
    if unless is not None and not callable(unless):
        raise UserError(
            f"requires_approval(unless=...) takes a function of the tool's arguments, not "
            f"{unless!r}"
        )
    if inspect.iscoroutinefunction(unless):
        # What it returns is never false, so no call would be asked about.
        raise UserError(
            "requires_approval(unless=...) takes a plain function, not a coroutine function"
        )
    if by is not None and (not isinstance(by, str) or not by.strip()):
        raise UserError(
            f"requires_approval(by=...) is the name of who approves, not {by!r}: leave it out if "
            f"anybody may"
        )


def _check_takes_context(tool: Callable[..., object]) -> None:
    first = next(iter(inspect.signature(tool).parameters.values()), None)
    if first is None or "RunContext" not in f"{first.annotation}":
        raise UserError(
            f"{tool!r} cannot require approval: give it a RunContext as its first parameter, and "
            f"add it with @agent.tool"
        )


def due_of(call: ToolCall) -> Callable[[], bool] | None:
    """Return a check whether an unapproved call needs an approval; None if none is declared."""
    due: Callable[[tuple[object, ...], Mapping[str, object]], bool] | None
    due = getattr(function_of(call.tool), _DUE, None)
    if due is None or call.context is None or call.context.tool_call_approved:
        return None
    return partial(due, (call.context,), call.arguments)


def is_always_due(call: ToolCall) -> bool:
    """Whether all calls of the tool need an approval: there is no `unless` to decide by."""
    return getattr(function_of(call.tool), _ALWAYS, False) is True


@contextmanager
def decided(is_due: bool | None) -> Generator[None]:
    """Have the tool that is called here ask for an approval, or not, as was decided before."""
    token = _decided.set(is_due)
    try:
        yield
    finally:
        _decided.reset(token)


async def decisions(
    agent: str, place: str, requests: DeferredToolRequests
) -> dict[str, ToolApproved | ToolDenied]:
    """Ask for the approvals that `requires_approval` is the reason of, all at once.

    Returns what was decided, by the ids of the calls.

    Raises:
        WaitTimeout: one that should fail was not answered in time.
    """
    asked = [
        (call, declared)
        for call in requests.approvals
        if is_dict(declared := requests.metadata.get(call.tool_call_id, {}).get(_MARK))
    ]
    answers: list[Awaitable[ToolApproved | ToolDenied]] = [
        _decision(agent, f"{place}/approval/{call.tool_call_id}", call, declared)
        for call, declared in asked
    ]
    found = await asyncio.gather(*answers)
    return {call.tool_call_id: answer for (call, _), answer in zip(asked, found, strict=True)}


async def _decision(
    agent: str, place: str, call: ToolCallPart, declared: Mapping[object, object]
) -> ToolApproved | ToolDenied:
    by, seconds = declared.get("by"), declared.get("seconds")
    needed = f" (by {by})" if by else ""
    title, calls = title_of(f"{agent}: {call.tool_name}{needed}"), [call.tool_call_id]
    while True:
        asked = open_approval(
            title,
            detail=detail_of(agent, call.tool_name, call.args_as_dict()),
            timeout=seconds if isinstance(seconds, (int, float)) else None,
            key=f"{place}#{next_number(place)}",
            by=f"{by}" if by else None,
        )
        note_asked(title, asked.id, calls, unmade=calls)
        answer = await asked.decided()
        note_answered(
            asked.id,
            calls,
            approved=answer.approved,
            by=answer.by or "",
            reason=answer.reason or "",
        )
        if answer.by is None:
            if declared.get("on_expire") == "fail":
                raise WaitTimeout(f"{call.tool_name} was not approved within {seconds} s")
            return ToolDenied("The tool call was denied: it was not approved in time.")
        if not answer.approved:
            return ToolDenied(f"The tool call was denied. {answer.reason}".strip())
        if by is None or answer.by == by:  # an older outlast took approvals of any name
            return ToolApproved()
