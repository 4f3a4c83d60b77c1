"""The operations of agents in a journal: read by the keys that `outlast.agents` gives its steps."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeGuard

from outlast._engine.reading.records import Record
from outlast._handles.run import Run
from outlast._shapes import is_dict, is_list
from outlast.errors import UsageError

# `=support#1/2/tool/call_7:support__...`: the second request of the first run of the agent.
_KEY = re.compile(
    r"=(?P<run>[^:]+#\d+)/(?P<request>\d+)/(?P<what>model|tool/[^:]*?)"
    r"(?:#(?P<number>\d+))?(?::.*)?",
    re.DOTALL,
)
# `=support#1/event/deferred_tool_calls#1/token:token`, and `.../ask:...`: what a run asks people.
_ASKED = re.compile(r"=(?P<run>[^:]+#\d+)/event/[^:]*/(?:token|ask)(?::.*)?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Place:
    """Where in an agent's run a step is.

    Attributes:
        run: the agent's run in the outlast run, such as `support#1`.
        request: which request of that run, from 1 on.
        call: the id of a tool call, "" for a model request.
        number: which of the steps that are alike in all this, from 1 on.
    """

    run: str
    request: int
    call: str
    number: int


@dataclass(frozen=True, slots=True)
class AgentStep:
    """How a model request or a tool call of an agent ended, or how an attempt did."""

    place: Place
    record: Record


def place_of(key: str) -> Place | None:
    """Return where a step with this key is; None when it is none of an agent's."""
    match = _KEY.fullmatch(key)
    if match is None:
        return None
    what = _plain(match["what"])
    call, number = what.partition("/")[2], int(match["number"] or 1)
    return Place(_plain(match["run"]), int(match["request"]), call, number)


def agent_steps(journal: Iterable[Record]) -> list[AgentStep]:
    """Return the ends and failed attempts of agents' model requests and tool calls, in order."""
    found: list[AgentStep] = []
    for record in journal:
        place = place_of(record.key) if record.kind in ("step_done", "attempt_failed") else None
        if place is not None:
            found.append(AgentStep(place, record))
    return found


def unanswered_calls(journal: Iterable[Record]) -> set[tuple[str, str]]:
    """Return the agent's run and the id of each call that a person was asked about in vain."""
    asked: set[tuple[str, str]] = set()
    answered: set[tuple[str, str]] = set()
    for record in journal:
        match = _ASKED.fullmatch(record.key)
        value = record.value
        if match is None or not _is_data(value):
            continue
        run = _plain(match["run"])
        if record.kind == "token_opened":
            detail: object = value.get("detail")
            calls = detail if is_list(detail) else []
            asked.update((run, f"{call.get('id')}") for call in calls if _is_data(call))
            continue
        # The function that asks may have the answer at once: it is the value of its step then.
        results: object = value.get("value") if record.kind == "token_answered" else value
        given: object = results.get("calls") if _is_data(results) else None
        answered.update((run, call) for call in (given if _is_data(given) else {}))
    return asked - answered


async def journal_of(run: Run[object] | Iterable[Record]) -> Sequence[Record]:
    """Return the records of a run that is given by a handle, or by them.

    Raises:
        UsageError: it is neither.
    """
    if isinstance(run, Run):
        return [record async for record in run.journal()]
    given = list(run) if isinstance(run, Iterable) else None
    if given is None or not all(map(_is_record, given)):
        raise UsageError(
            f"a run is given by its handle, such as engine.get(id), or by the list of its records, "
            f"[record async for record in run.journal()], not by {run!r}"
        )
    return given


def _is_record(value: object) -> bool:
    return isinstance(value, Record)


def response_in(step: AgentStep) -> dict[str, object]:
    """Return the response that a model request gave, as JSON data.

    Raises:
        UsageError: the record has another shape.
    """
    value = step.record.value
    if not _is_data(value) or value.get("kind") != "response":
        raise UsageError(
            f"record {step.record.seq}, of {step.place.run}, has no response of a model: {value!r}"
        )
    return value


def calls_in(response: dict[str, object]) -> list[tuple[str, str]]:
    """Return the id and the name of each tool that a response calls."""
    parts: object = response.get("parts")
    found: list[tuple[str, str]] = []
    for part in parts if is_list(parts) else []:
        if _is_data(part) and part.get("part_kind") == "tool-call":
            found.append((f"{part.get('tool_call_id')}", f"{part.get('tool_name')}"))
    return found


def result_in(step: AgentStep) -> object:
    """Return what a tool gave, as JSON data; None when it asked for another try."""
    value = step.record.value
    return value.get("result") if _is_data(value) else None


def _is_data(value: object) -> TypeGuard[dict[str, object]]:
    return is_dict(value)


def _plain(text: str) -> str:
    return text.replace("%3A", ":").replace("%25", "%")
