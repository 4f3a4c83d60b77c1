"""What an agent says while it runs, as a stream of the run: `run.stream(agent_events)`.

Each value is one of pydantic-ai's `AgentStreamEvent`s as JSON data: parts that begin, deltas of
text, tool calls and their results. They are written in the step that has them, so what a dead
attempt has said is taken back, and a replay says nothing again.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator
from functools import lru_cache
from typing import TypeVar

from pydantic import TypeAdapter
from pydantic_ai import AgentStreamEvent, RunContext
from pydantic_ai.agent import EventStreamHandler
from pydantic_ai.messages import CAPABILITY_EVENT_TYPES, CUSTOM_EVENT_TYPES

from outlast._execution.bodies.context import in_step
from outlast._handles.declarations import Stream

T = TypeVar("T")

agent_events: Stream[object] = Stream("agent_events", object)
"""The events of the agents of a run that were made with `Durability(stream=True)`."""


def event_adapter() -> TypeAdapter[AgentStreamEvent]:
    """Return what reads and writes events, those of classes that the program declares too."""
    return _adapter_of(len(CUSTOM_EVENT_TYPES), len(CAPABILITY_EVENT_TYPES))


@lru_cache(maxsize=1)
def _adapter_of(*known: int) -> TypeAdapter[AgentStreamEvent]:
    """Make an adapter; it knows the classes that there are when it is made, and no later ones."""
    del known
    return TypeAdapter(AgentStreamEvent)


event_adapter()  # takes a tenth of a second: now, rather than when an agent speaks


def streaming(handler: EventStreamHandler[T] | None) -> EventStreamHandler[T]:
    """Return a handler of events that writes them to `agent_events`, and gives them to another."""

    async def write(context: RunContext[T], events: AsyncIterable[AgentStreamEvent]) -> None:
        written = _written(events) if in_step() else aiter(events)
        if handler is not None:
            await handler(context, written)
        async for _ in written:
            pass  # what the handler has left

    return write


async def _written(events: AsyncIterable[AgentStreamEvent]) -> AsyncIterator[AgentStreamEvent]:
    async for event in events:
        # Without warnings: as in the journal, what a tool returns may fit no type at once.
        told: object = event_adapter().dump_python(event, mode="json", warnings=False)
        await agent_events.write(told)
        yield event
