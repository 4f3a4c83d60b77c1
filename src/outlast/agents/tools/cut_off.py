"""Tool calls that were cut off, by a crash, a timeout or a server's end: undone or asked about.

Then they are made again, unless they have happened. The first call runs as an at-most-once step, so
that the run knows that it had begun. Further calls, what undoes one, and the question to a person
have keys of their own under the call's key.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from pydantic_ai.exceptions import SkipToolExecution

from outlast._authoring.workflow import wf
from outlast.agents.programs import CallCutOff
from outlast.agents.tools.asking import detail_of, title_of
from outlast.agents.tools.effects import Effect, ToolCall
from outlast.agents.tools.threads import ToolThreads
from outlast.errors import OutcomeUnknown, StepTimeout

_UNDONE_MAX = 5
"""So often a call is undone and made again before a person is asked. It may be what kills its
process each time, and the engine does not see that this never ends: undoing it is progress."""


@dataclass(frozen=True, slots=True)
class ToolOutcome:
    """What a person says of a tool call that was cut off: the answer to the token in the inbox.

    Attributes:
        happened: whether it had its effect. If not, the tool is called again.
        result: what the model is told that the tool returned, JSON-like data.
    """

    happened: bool
    result: object = None


class Attempt(Protocol):
    """Calls the tool as an at-most-once step under a key."""

    async def __call__(self, key: str) -> object:
        """Return the recorded result. Raises OutcomeUnknown, StepTimeout, CallCutOff."""
        ...


async def completed(
    attempt: Attempt, call: ToolCall, declared: Effect, key: str, threads: ToolThreads | None
) -> object:
    """Return the result of a tool that has its effect at most once, or is undone first.

    A plain function, which runs on `threads`, cannot be stopped: that it has ended is a step.

    Raises:
        SkipToolExecution: a person has said that it happened, and with which result.
    """
    place, number = key, 1
    while True:
        try:
            return await attempt(place)
        except (OutcomeUnknown, StepTimeout, CallCutOff):
            how = "was cut off"
            if threads is not None:
                await wf.step(f"end:{call.name}", threads.ended, key=f"{place}/end")
            if declared.kind == "compensate" and declared.function is not None:
                await _undo(call, declared.function, f"{place}/undo")
                how = f"was cut off and undone {number} times"
            if declared.kind != "compensate" or not number % _UNDONE_MAX:
                outcome = await _asked(call, how, f"{place}/happened")
                if outcome.happened:
                    told = f"{call.name} was completed; what it returned is not known."
                    result = told if outcome.result is None else outcome.result
                    raise SkipToolExecution(result) from None
        number += 1
        place = f"{key}/again{number}"


async def _undo(call: ToolCall, function: Callable[..., object], key: str) -> None:
    async def undo() -> None:
        made = call.pass_to(function)
        if inspect.isawaitable(made):
            undone: Awaitable[object] = made
            await undone

    await wf.step(f"undo:{call.name}", undo, key=key)


async def _asked(call: ToolCall, how: str, key: str) -> ToolOutcome:
    token = wf.token(
        ToolOutcome,
        key=key,
        title=title_of(f"{call.agent}: {call.name} {how}. Did it happen?"),
        detail=detail_of(call.agent, call.name, call.arguments),
    )
    return await token.wait()
