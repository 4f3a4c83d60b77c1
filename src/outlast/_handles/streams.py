"""Reading the streams of a run or of an actor, with their declared types."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TypeVar, overload

from outlast._engine.reading.declared import adapter_json
from outlast._engine.reading.reader import Reader
from outlast._handles.declarations import Stream
from outlast._wording.names import check_name
from outlast.errors import UsageError
from outlast.types import RunId, StreamEvent

T = TypeVar("T")


@overload
def stream_events(
    reader: Reader, run: RunId, name: Stream[T], offset: int
) -> AsyncIterator[StreamEvent[T]]: ...
@overload
def stream_events(
    reader: Reader, run: RunId, name: str, offset: int
) -> AsyncIterator[StreamEvent[object]]: ...
@overload
def stream_events(
    reader: Reader, run: RunId, name: Stream[T] | str, offset: int
) -> AsyncIterator[StreamEvent[T] | StreamEvent[object]]: ...
async def stream_events(
    reader: Reader, run: RunId, name: Stream[T] | str, offset: int
) -> AsyncIterator[StreamEvent[T] | StreamEvent[object]]:
    """Iterate over a stream from `offset`, live, until its `end` event."""
    text = name.name if isinstance(name, Stream) else check_name("a stream's name", name)
    if offset < 0:
        raise UsageError("offset must not be negative")
    async for event in reader.streams.events(run, text, offset):
        if event.kind != "data":
            yield StreamEvent(event.offset, event.kind, event.writer)
        elif isinstance(name, Stream):
            value = name.adapter.decode(event.value)
            yield StreamEvent(event.offset, "data", event.writer, value)
        else:
            data = adapter_json(reader.registry, "stream", text, event.value)
            yield StreamEvent(event.offset, "data", event.writer, data)
