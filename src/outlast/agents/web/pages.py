"""What an agent says, as events of a protocol of web pages, by pydantic-ai's own adapters.

An adapter transforms one sequence of events, and keeps to itself what it knows of it: which part
is open, which tools were called. A stream holds the events of all agents of a run, possibly of
several at once, and of attempts that died. So each run of an agent has an adapter of its own here,
a *lane*, and one more adapter begins and ends the whole.

Invariants:
  * the same events give the same bytes: every id is made of the offset of the event that it was
    first needed for, and nothing has a time;
  * no adapter waits for anything but its next event, so it is driven by plain calls.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Coroutine, Generator, Sequence
from functools import partial
from typing import Generic, Protocol, TypeAlias, TypeVar

from pydantic_ai import AgentStreamEvent, PartEndEvent, PartStartEvent
from pydantic_ai.messages import NativeToolCallPart, TextPart, ThinkingPart, ToolCallPart

from outlast._wire.live.protocols import Encode
from outlast.agents.events import event_adapter
from outlast.types import Status

E = TypeVar("E")
E_co = TypeVar("E_co", covariant=True)
_Given: TypeAlias = "AgentStreamEvent | Exception | None"

# `=support#1/3/model:…@1-1`: the second run of an agent, by the keys of `steps.py`. What else
# writes (a tool that runs an agent in its step) is a lane by itself, attempts left aside.
_LANE = re.compile(r"(=.*?#\d+)/\d+/(?:model|event)\b")


class StreamFailed(Exception):
    """Why a stream ends before its agents were done; adapters tell it as an error."""


class Adapter(Protocol[E_co]):
    """What is used of an adapter of pydantic-ai."""

    def transform_stream(self, stream: AsyncIterator[AgentStreamEvent]) -> AsyncIterator[E_co]:
        """Transform events."""
        ...

    def new_message_id(self) -> str:
        """Begin another message."""
        ...


class _Next:
    """Awaited: the next thing that the driver gives."""

    def __await__(self) -> Generator[None, _Given, _Given]:
        return (yield)


class Lane(Generic[E]):
    """One adapter, given one event at a time; what it makes of them is added to `made`."""

    def __init__(self, adapter: Adapter[E], made: list[E]) -> None:
        self.adapter: Adapter[E] = adapter
        self.open: tuple[str, PartEndEvent] | None = None  # the part that has not ended, and whose
        self._made = made
        self._is_over = False
        self._work: Coroutine[None, _Given, None] = self._transform()
        self._work.send(None)  # up to where it wants the first event

    async def _transform(self) -> None:
        async for event in self.adapter.transform_stream(self._given()):
            self._made.append(event)

    async def _given(self) -> AsyncIterator[AgentStreamEvent]:
        while (given := await _Next()) is not None:
            if isinstance(given, Exception):
                raise given
            yield given

    def take(self, writer: str, event: AgentStreamEvent) -> None:
        """Transform an event."""
        if isinstance(event, PartStartEvent):
            part = event.part
            if isinstance(part, TextPart | ThinkingPart | ToolCallPart | NativeToolCallPart):
                self.open = writer, PartEndEvent(index=event.index, part=part)
        elif isinstance(event, PartEndEvent):
            self.open = None
        self._send(event)

    def break_off(self, writer: str) -> None:
        """End the part that a writer has open, as it is, and the message it is in."""
        if self.open is not None and self.open[0] == writer:
            self._send(self.open[1])
            self.open = None
        self.adapter.new_message_id()

    def end(self, error: Exception | None = None) -> None:
        """Transform the end: after an error, what is open is ended first."""
        self._send(error)

    def _send(self, given: _Given) -> None:
        if self._is_over:
            return
        self._is_over = True
        try:
            self._work.send(given)
        except StopIteration:
            if given is None or isinstance(given, Exception):
                return
            raise ValueError("an event comes where none can be") from None
        self._is_over = False


class Ids:
    """The ids of the messages of one stream: a prefix, an offset, and a count."""

    def __init__(self, prefix: str) -> None:
        self.prefix: str = prefix
        self._offset = 0
        self._count = 0

    def move_to(self, offset: int) -> None:
        """Make ids of this offset from now on."""
        self._offset = offset
        self._count = 0

    def make(self) -> str:
        """Return another id."""
        self._count += 1
        return f"{self.prefix}-{self._offset}.{self._count}"


class PageEncoder(ABC, Generic[E]):
    """Encodes one stream in a protocol; what the protocols differ in is left to them."""

    def __init__(self, prefix: str) -> None:
        self.ids: Ids = Ids(prefix)
        self._made: list[E] = []
        self._lanes: dict[str, Lane[E]] = {}
        self._whole: Lane[E] | None = None

    @abstractmethod
    def adapter(self, *, is_whole: bool) -> Adapter[E]:
        """Return an adapter: of one lane, or the one that only begins and ends the whole."""

    @abstractmethod
    def encoded(self, writer: str, event: E) -> bytes | None:
        """Return what an adapter has made as it is sent; None to leave it out."""

    @abstractmethod
    def failure(self, error: str, status: Status | None) -> Exception:
        """Return a failure as what an adapter is given."""

    def parse(self, value: bytes) -> Encode:
        """Return what encodes a stored event."""
        return partial(self._encode, event_adapter().validate_json(value))

    def begin(self) -> Sequence[bytes]:
        """Return the beginning of the protocol."""
        self._whole = Lane(self.adapter(is_whole=True), self._made)
        return self._taken("")

    def _encode(self, event: AgentStreamEvent, offset: int, writer: str) -> Sequence[bytes]:
        self.ids.move_to(offset)
        self._lane_of(writer).take(writer, event)
        return self._taken(writer)

    def retract(self, offset: int, writer: str) -> Sequence[bytes]:
        """End what the writer has open; the protocol adds how its words are taken back."""
        self.ids.move_to(offset)
        self._lane_of(writer).break_off(writer)
        return self._taken(writer)

    def end(self, error: str, status: Status | None) -> Sequence[bytes]:
        """Return the end of the protocol."""
        failure = self.failure(error, status) if error else None
        for lane in self._lanes.values():
            lane.end(failure or (None if lane.open is None else StreamFailed("not completed")))
        if self._whole is not None:
            self._whole.end(failure)
        return self._taken("")

    def close(self) -> None:
        """Let every adapter run to its end: what is left of one would be ended by the loop."""
        for lane in (*self._lanes.values(), self._whole):
            if lane is not None:
                lane.end()
        self._made.clear()

    def _lane_of(self, writer: str) -> Lane[E]:
        found = _LANE.match(writer)
        name = writer.rpartition("@")[0] if found is None else found.group(1)
        lane = self._lanes.get(name)
        if lane is None:
            lane = self._lanes[name] = Lane(self.adapter(is_whole=False), self._made)
        return lane

    def _taken(self, writer: str) -> list[bytes]:
        encoded = [self.encoded(writer, event) for event in self._made]
        self._made.clear()
        return [data for data in encoded if data is not None]
