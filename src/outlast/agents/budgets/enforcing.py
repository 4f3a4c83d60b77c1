"""What budgets check in the run's own code: calls of tools, repeated calls, the deadline.

All of it is deterministic: it depends on recorded values and on logical time alone.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from pydantic_ai.exceptions import SkipToolExecution

from outlast._authoring.closures import closure_definition
from outlast._execution.bodies.context import current_step
from outlast._execution.run_context import current_context
from outlast._wording.plurals import counted
from outlast.agents.budgets.ledgers import Counted, count_call
from outlast.agents.budgets.requests import charge_in
from outlast.agents.budgets.scopes import Spending
from outlast.errors import Looped, OverBudget


@dataclass(frozen=True, slots=True)
class Called:
    """A call of a tool that is about to be made: in which run of which agent, in which turn."""

    agent: str
    turn: int
    id: str
    tool: str
    arguments: Mapping[str, object]
    place: str | None


async def admit(budgets: Sequence[Spending], call: Called, *, key: str) -> None:
    """Count a call of a tool, in a step under `key` if a budget limits them.

    A call that is made again, since a person has approved it, is counted once.

    Raises:
        Looped: it is the same call once too often.
        SkipToolExecution: there are too many calls; the model is told to answer.
        OverBudget: the model had been told so, and calls tools all the same.
    """
    _refuse_after_answer(budgets, call)
    made = (call.agent, call.turn, call.id)
    fresh = [spending for spending in budgets if made not in spending.counted]
    for spending in fresh:
        spending.counted.add(made)
        _check_repeated(spending, call)
    limited = [s for s in fresh if s.scope.limits.tool_calls is not None]
    if limited:
        found = await _counted(limited, call, key=key)
        for spending in limited:
            spending.totals = found.totals.get(spending.scope.ledger, spending.totals)
        if found.refused_by:
            _refuse(limited, found.refused_by)
    for spending in fresh:
        spending.own_calls += 1


def _refuse(limited: Sequence[Spending], ledger: str) -> None:
    refusing = next(s for s in limited if s.scope.ledger == ledger)
    refusing.has_calls_left = False
    refusing.stopped = refusing.stopped or "tool_calls"
    allowed = refusing.scope.limits.tool_calls or 0
    raise SkipToolExecution(
        f"Not called: the budget allows {counted(allowed, 'tool call')} and no more. "
        "Answer with what you know."
    )


def _refuse_after_answer(budgets: Sequence[Spending], call: Called) -> None:
    for spending in budgets:
        if call.agent in spending.answered:
            raise OverBudget(
                f"budget {spending.scope.ledger!r}: the model was told to answer without tools, "
                f"and called {call.tool!r} all the same; the tool was not called",
                reason=spending.stopped or "budget",
                scope=spending.scope.ledger,
            )


def _check_repeated(spending: Spending, call: Called) -> None:
    most = spending.scope.same_call
    if most is None:
        return
    what = (call.agent, call.tool, json.dumps(call.arguments, sort_keys=True, default=repr))
    spending.same[what] += 1
    if spending.same[what] >= most:
        spending.stopped = "same_call"
        raise Looped(
            f"{call.agent} called tool {call.tool!r} with the same arguments "
            f"{spending.same[what]} times, and same_call= of its budget is {most}; "
            "the last call was not made",
            tool=call.tool,
            times=spending.same[what],
        )


async def _counted(limited: Sequence[Spending], call: Called, *, key: str) -> Counted:
    scopes = [spending.scope for spending in limited]

    async def count() -> Counted:
        return await count_call(scopes, key=current_step().key)

    step = closure_definition(f"budget:{call.tool}", count, returns=Counted)
    found = await current_context().step(step, (), place=call.place, key=key)
    if not isinstance(found, Counted):
        raise TypeError(f"a step that counts a call gave {found!r}")
    return found


@asynccontextmanager
async def kept(budgets: Sequence[Spending], agent: str) -> AsyncGenerator[None]:
    """Keep to the deadlines of budgets, and note why an agent was stopped.

    Raises:
        OverBudget: the deadline has passed; what was under way is cancelled.
    """
    deadlines = [s for s in budgets if s.scope.deadline is not None]
    first = min(deadlines, key=lambda s: s.scope.deadline or 0.0, default=None)
    try:
        if first is None or first.scope.deadline is None:
            yield
            return
        left = first.scope.deadline - current_context().now
        if left <= 0:
            raise _late(first, agent)
        timeout = asyncio.timeout(left)
        try:
            async with timeout:
                yield
        except TimeoutError:
            if timeout.expired():
                raise _late(first, agent) from None
            raise
    except OverBudget as error:
        for spending in budgets:
            if spending.scope.ledger == error.scope and error.reason != "wall":
                spending.stopped = spending.stopped or "budget"
        raise


def _late(spending: Spending, agent: str) -> OverBudget:
    spending.stopped = "wall"
    return OverBudget(
        f"the time of budget {spending.scope.ledger!r} is over, so {agent} was stopped. Raise "
        "wall= in the code, then start the run or send the message again",
        reason="wall",
        scope=spending.scope.ledger,
    )


def note(budgets: Sequence[Spending], agent: str, value: object) -> None:
    """Take note of what a response has cost, as it is recorded."""
    charge = charge_in(value)
    if charge is None:
        return
    for spending in budgets:
        spending.totals = charge.totals.get(spending.scope.ledger, spending.totals)
        if charge.is_last_turn:
            spending.answered.add(agent)
        if spending.scope.ledger in charge.stopped_by:
            spending.stopped = spending.stopped or "budget"
