"""Following a conversation: its entries, and what the agent is saying right now."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from typing import Literal, TypeAlias, TypeVar

from pydantic_ai import AgentStreamEvent

from outlast._handles.actor_ref import ActorRef
from outlast.agents.conversations.entries import Entry, conversation_entries
from outlast.agents.events import agent_events, event_adapter
from outlast.types import StreamEvent

A = TypeVar("A")

_Seen: TypeAlias = StreamEvent[Entry] | StreamEvent[object] | None


@dataclass(frozen=True, slots=True)
class Observed:
    """Something that a conversation's reader sees.

    Attributes:
        kind: `entry`: the conversation has one more `entry`, at `offset`. `event`: an agent that
            was made with `Durability(stream=True)` says `event` right now; the entry that comes
            later says it again, in one piece. `retract`: an attempt has died, and what it has said
            since the last entry does not count.
        offset: of the entry; read on from it with `observe(ref, after=offset)`.
    """

    kind: Literal["entry", "event", "retract"]
    offset: int | None = None
    entry: Entry | None = None
    event: AgentStreamEvent | None = None


async def observed(ref: ActorRef[A], first: int, told: int) -> AsyncGenerator[Observed]:
    """Follow the conversation of an actor from entry `first` on.

    The events before `told` belong to entries.
    """
    entries = ref.stream(conversation_entries, first)
    events = ref.stream(agent_events, told)
    next_entry = _next(entries)
    next_event = _next(events)
    try:
        while True:
            waiting: list[asyncio.Future[_Seen]] = [next_entry, next_event]
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if next_entry.done():
                seen = next_entry.result()
                if seen is None:
                    return
                next_entry = _next(entries)
                if isinstance(seen.value, Entry):
                    told = max(told, seen.value.events)
                    yield Observed("entry", seen.offset, seen.value)
            elif (heard := next_event.result()) is None:
                next_event = asyncio.get_running_loop().create_future()  # entries still come
            else:
                next_event = _next(events)
                if heard.kind == "retract":
                    yield Observed("retract")
                elif heard.kind == "data" and heard.offset >= told:
                    yield Observed("event", event=event_adapter().validate_python(heard.value))
    finally:
        for task in (next_entry, next_event):
            task.cancel()
        await asyncio.gather(next_entry, next_event, return_exceptions=True)


def _next(stream: AsyncIterator[_Seen]) -> asyncio.Future[_Seen]:
    async def seen() -> _Seen:
        return await anext(stream, None)

    return asyncio.ensure_future(seen())
