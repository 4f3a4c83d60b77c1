"""What an agent says while it runs, as a stream of the run: `run.stream(agent_events)`.

Each value is one of pydantic-ai's `AgentStreamEvent`s as JSON data: parts that begin, deltas of
text, tool calls and their results. They are written in the step that has them, so what a dead
attempt has said is taken back, and a replay says nothing again.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator
from typing import TypeVar

from pydantic import TypeAdapter
from pydantic_ai import AgentStreamEvent, RunContext
from pydantic_ai.agent import EventStreamHandler

from outlast._handles.declarations import Stream

T = TypeVar("T")

agent_events: Stream[object] = Stream("agent_events", object)
"""The events of the agents of a run that were made with `Durability(stream=True)`."""

_event: TypeAdapter[AgentStreamEvent] = TypeAdapter(AgentStreamEvent)


def streaming(handler: EventStreamHandler[T] | None) -> EventStreamHandler[T]:
    """Return a handler of events that writes them to `agent_events`, and gives them to another."""

    async def write(context: RunContext[T], events: AsyncIterable[AgentStreamEvent]) -> None:
        written = _written(events)
        if handler is not None:
            await handler(context, written)
        async for _ in written:
            pass  # what the handler has left

    return write


async def _written(events: AsyncIterable[AgentStreamEvent]) -> AsyncIterator[AgentStreamEvent]:
    async for event in events:
        await agent_events.write(_event.dump_python(event, mode="json"))
        yield event
