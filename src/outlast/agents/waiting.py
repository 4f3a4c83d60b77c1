"""Waiting for people and other systems inside an agent's run: their answers come by tokens."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial

from pydantic import JsonValue, TypeAdapter
from pydantic_ai import DeferredToolRequests, DeferredToolResults
from pydantic_ai.durable_exec import ExternalEventError, ExternalEventWaiter

from outlast._authoring.workflow import wf
from outlast._execution.run_context import next_number
from outlast.agents.conversations.questions import note_answered, note_asked
from outlast.agents.steps import agent_run
from outlast.agents.tools.asking import detail_of, title_of
from outlast.errors import WaitTimeout

log: logging.Logger = logging.getLogger("outlast.workflow")

_results: TypeAdapter[DeferredToolResults] = TypeAdapter(DeferredToolResults)


class TokenWaiter(ExternalEventWaiter):
    """Waits by a token of the run, which may leave memory meanwhile.

    Whoever is asked gets the token's id; `engine.answer(id, value)` answers, or the inbox does.
    An answer to deferred calls of tools is checked when it is given; one that does not answer
    exactly the pending calls is not taken, and the question is asked again.
    """

    async def wait(
        self,
        name: str,
        *,
        ask: Callable[[str], Awaitable[JsonValue]],
        timeout: timedelta | None,
    ) -> JsonValue:
        """Ask until there is an answer that fits, and return it.

        Raises:
            ExternalEventError: there was no answer in time.
        """
        requests = _requests_in(ask)
        deadline = None if timeout is None else wf.now() + timeout
        title = title_of(name)
        while True:
            left = None if deadline is None else max(deadline - wf.now(), timedelta())
            answer = await _answer(name, ask, requests, left, title)
            if requests is None or not isinstance(answer, DeferredToolResults):
                said: JsonValue = answer  # type: ignore[assignment]  # JSON-like
                return said
            fault = _misfit(answer, requests)
            if not fault:
                told: JsonValue = _results.dump_python(answer, mode="json")
                return told
            log.warning("%s is asked again: %s", title_of(name), fault)
            title = title_of(f"{name} (asked again: {fault})")


async def _answer(
    name: str,
    ask: Callable[[str], Awaitable[JsonValue]],
    requests: DeferredToolRequests | None,
    timeout: timedelta | None,
    title: str,
) -> object:
    place = f"{agent_run.get()}/event/{name}"
    key = f"{place}#{next_number(place)}"
    token = wf.token(
        object if requests is None else DeferredToolResults,
        timeout=timeout,
        key=f"{key}/token",
        title=title,
        detail=None if requests is None else _shown(requests),
    )

    async def asks() -> object:
        return await ask(token.id)

    answer = await wf.step(f"ask:{name}", asks, key=f"{key}/ask", returns=object)
    if answer is not None:
        return answer
    calls, unmade = _calls_in(requests)
    note_asked(title, token.id, calls, unmade=unmade)
    try:
        said = await token.wait()
    except WaitTimeout as error:
        note_answered(token.id, calls, reason="not answered in time")
        raise ExternalEventError(f"{error}") from error
    note_answered(token.id, calls)
    return said


def _calls_in(requests: DeferredToolRequests | None) -> tuple[list[str], list[str]]:
    """Return the calls that a question is about, and those that are made only after its answer."""
    if requests is None:
        return [], []
    unmade = [call.tool_call_id for call in requests.approvals]
    return [*unmade, *(call.tool_call_id for call in requests.calls)], unmade


def _requests_in(ask: Callable[[str], Awaitable[JsonValue]]) -> DeferredToolRequests | None:
    """Return the calls that `RequestInput` asks about, where it is what asks.

    They are given to its function, which pydantic-ai's `ask` closes over. Where they are not found
    the answer is checked when the run reads it.
    """
    inner: object = inspect.getclosurevars(ask).nonlocals.get("ask", ask)
    given: tuple[object, ...] = inner.args if isinstance(inner, partial) else ()
    return next((item for item in given if isinstance(item, DeferredToolRequests)), None)


def _shown(requests: DeferredToolRequests) -> list[dict[str, object]]:
    agent = agent_run.get().partition("#")[0]
    return [
        {"id": call.tool_call_id, **detail_of(agent, call.tool_name, call.args_as_dict())}
        for call in (*requests.approvals, *requests.calls)
    ]


def _misfit(results: DeferredToolResults, requests: DeferredToolRequests) -> str:
    """Tell what is wrong with an answer; empty if each call has one of its kind, nothing else."""
    approvals = {call.tool_call_id for call in requests.approvals}
    calls = {call.tool_call_id for call in requests.calls}
    answered = {*results.approvals, *results.calls}
    about = {*answered, *results.metadata, *results.answered_by}
    if unknown := sorted(about - approvals - calls):
        return f"the answer is about {unknown[0]!r}, which is not pending"
    if missing := sorted((approvals | calls) - answered):
        return f"the answer leaves out {missing[0]!r}"
    if wrong := approvals - results.approvals.keys():
        return f"{sorted(wrong)[0]!r} is to be approved or denied, and was given a result"
    if wrong := calls - results.calls.keys():
        return f"{sorted(wrong)[0]!r} waits for its result, and was approved or denied"
    return ""
