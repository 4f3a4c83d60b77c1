"""Forks of conversations: what was said before a message, under a new key, to go on differently.

The new actor takes the entries over from the stream of the other one, in steps of its own: the
other one is not asked, and may be in the midst of a turn. Nothing of it is said or paid for again.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, replace
from typing import TypeVar

from pydantic_ai import ModelResponse
from pydantic_ai.agent import AbstractAgent
from pydantic_ai.exceptions import UserError
from pydantic_ai.models import ModelResolutionContext, infer_model

from outlast._authoring.workflow import wf
from outlast._engine.remote import ambient
from outlast._handles.streams import stream_events
from outlast._messages.actor_ids import actor_id
from outlast.agents.budgets.usage import reported_tokens
from outlast.agents.conversations.entries import Entry, Log, conversation_entries
from outlast.agents.conversations.window import messages_of, tokens_of
from outlast.errors import UsageError
from outlast.types import RunId

DepsT = TypeVar("DepsT")

_PART_BYTES = 256 * 1024  # that one step reads: it is a record of the journal


@dataclass(frozen=True, slots=True)
class ForkedFrom:
    """Where a conversation was forked.

    Attributes:
        key: of the other conversation of this agent.
        at: the offset of the message there in whose place this one goes on.
        entries: how many entries were taken over: the first of its own has this offset.
    """

    key: str
    at: int
    entries: int


@dataclass(frozen=True, slots=True)
class Taken:
    """What a new conversation begins with."""

    origin: ForkedFrom
    turns: int
    context_tokens: int


@dataclass(frozen=True, slots=True)
class _Part:
    entries: list[tuple[int, Entry]]
    end: int


async def take_over(log: Log, type_name: str, key: str, at: int) -> Taken:
    """Add what the agent was told of another conversation before its entry `at`.

    Raises:
        UsageError: there is no such conversation, or no turn of it begins there.
    """
    run = actor_id(type_name, key)

    async def look() -> _Part:
        return await _part(run, at, at + 1)

    found = (await wf.step("conversation", look, returns=_Part)).entries
    begun = found[0][1] if found else None
    if begun is None or begun.kind != "user" or begun.is_steering:
        raise UsageError(
            f"{run!r} has no turn that begins with entry {at}: at= is the offset of what a user "
            "has said to begin one, as the conversation's stream has it"
        )
    first = begun.history_start
    if first < 0:
        raise UsageError(
            f"{run!r} is a fork itself, and has not all that the agent was told before entry {at}: "
            "fork the conversation that it was made of"
        )
    placed = await _read(run, first, at)
    offsets = [offset for offset, _ in placed]
    for _, entry in placed:
        # Offsets that were taken back are missing there, and here there are no gaps.
        start = entry.history_start
        start = bisect_left(offsets, start) if start >= first else start - first
        log.take(replace(entry, events=0, history_start=start))
    entries = [entry for _, entry in placed]
    kept = await log.entries()
    turns = max((entry.turn for entry in entries), default=0)
    tokens = _context_of(entries) or tokens_of(messages_of(kept))
    return Taken(ForkedFrom(key, at, len(entries)), turns, tokens)


async def _read(run: RunId, first: int, end: int) -> list[tuple[int, Entry]]:
    """Return the entries of another conversation in a range, each with its offset, in steps."""
    found: list[tuple[int, Entry]] = []
    while first < end:

        async def read(offset: int = first) -> _Part:
            return await _part(run, offset, end)

        part = await wf.step("conversation", read, returns=_Part)
        found += part.entries
        if part.end <= first:
            break
        first = part.end
    return found


async def check_model(agent: AbstractAgent[DepsT, object], deps: DepsT, model: str) -> None:
    """Refuse a model that the agent does not know, in a step.

    Raises:
        UsageError: it is neither a key of `Durability(models=)` nor a name that pydantic-ai knows.
    """

    async def find() -> str:
        return await _fault_of(agent, deps, model)

    fault = await wf.step("model", find, returns=str)
    if fault:
        raise UsageError(
            f"{agent.name} knows no model {model!r}: model= is a key of Durability(models=...), or "
            f"a name such as 'openai:gpt-5' ({fault})"
        )


async def _fault_of(agent: AbstractAgent[DepsT, object], deps: DepsT, model: str) -> str:
    context = ModelResolutionContext(agent=agent, deps=deps)
    if await agent.root_capability.resolve_model_id(context, model_id=model) is not None:
        return ""
    try:
        infer_model(model)
    except (UserError, ValueError, ImportError) as error:
        return f"{error}"
    return ""


def _context_of(entries: list[Entry]) -> int:
    """Return the size of the last request and its response, as the model has said."""
    for entry in reversed(entries):
        message = entry.message
        used = reported_tokens(message) if isinstance(message, ModelResponse) else None
        if used is not None and used.input:
            return used.input + used.output
    return 0


async def _part(run: RunId, first: int, until: int) -> _Part:
    """Return entries of a stored conversation from an offset on; never wait for more."""
    core = ambient()
    ends = await core.store.read_stream_ends(run)
    until = min(until, ends.get(conversation_entries.name, 0))
    found: list[tuple[int, Entry]] = []
    size, end = 0, first
    if first >= until:
        return _Part(found, first)
    async for event in stream_events(core.reader, run, conversation_entries, first):
        if event.kind == "data" and event.offset < until and event.value is not None:
            found.append((event.offset, event.value))
            size += len(conversation_entries.adapter.encode(event.value))
        end = event.offset + 1
        if end >= until or size >= _PART_BYTES or event.kind == "end":
            break
    return _Part(found, end)
