"""Agents' events in AG-UI, the protocol of agents and user interfaces.

Each text of an agent is a message. A message of a dead attempt is taken back by a snapshot of an
activity under the message's id: clients put it in the message's place, show it only if they know
its type, and do not send it back. The other snapshot, of all messages, would take away those of
the user, which a run does not know by their ids.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from ag_ui.core import (
    ActivitySnapshotEvent,
    BaseEvent,
    EventType,
    ReasoningEncryptedValueEvent,
    ReasoningEndEvent,
    ReasoningMessageContentEvent,
    ReasoningMessageEndEvent,
    ReasoningMessageStartEvent,
    ReasoningStartEvent,
    RunErrorEvent,
    TextMessageStartEvent,
    ToolCallResultEvent,
)
from ag_ui.encoder import EventEncoder
from pydantic_ai.ui.ag_ui import AGUIEventStream
from typing_extensions import override

from outlast._shapes import is_dict, is_list
from outlast.agents.web.pages import Adapter, Ids, PageEncoder, StreamFailed
from outlast.types import RunId, Status

RETRACTED = "outlast.retracted"
"""The type of the activity that stands for a message that was taken back."""

_Named = (
    ActivitySnapshotEvent
    | ReasoningEndEvent
    | ReasoningMessageContentEvent
    | ReasoningMessageEndEvent
    | ReasoningMessageStartEvent
    | ReasoningStartEvent
    | ToolCallResultEvent
)


class _RunEnded(StreamFailed):
    def __init__(self, error: str, status: Status | None) -> None:
        super().__init__(error)
        self.status = status


@dataclass(kw_only=True)
class _Events(AGUIEventStream[None, object]):
    ids: Ids
    is_whole: bool

    @override
    def new_message_id(self) -> str:
        self.message_id = self.ids.make()
        return self.message_id

    @override
    async def before_stream(self) -> AsyncIterator[BaseEvent]:
        if self.is_whole:
            async for event in super().before_stream():
                yield event

    @override
    async def after_stream(self) -> AsyncIterator[BaseEvent]:
        if self.is_whole:
            async for event in super().after_stream():
                yield event

    @override
    async def on_error(self, error: Exception) -> AsyncIterator[BaseEvent]:
        async for event in super().on_error(error):
            if self.is_whole:
                if isinstance(event, RunErrorEvent) and isinstance(error, _RunEnded):
                    event.code = error.status
                yield event


class AgUiEncoder(PageEncoder[BaseEvent]):
    """Encodes a stream as the events of one run."""

    can_retract = True

    def __init__(self, run: RunId, mark: str) -> None:
        super().__init__(f"{run}-{mark}")
        self._run = run
        self._known: dict[str, str] = {}  # ids that an adapter has drawn by chance -> ours
        self._messages: dict[str, dict[str, None]] = {}  # by writer
        self._encoder = EventEncoder()

    @override
    def adapter(self, *, is_whole: bool) -> Adapter[BaseEvent]:
        return _Events(
            ids=self.ids,
            is_whole=is_whole,
            thread_id=self._run,
            run_id=self._run,
            message_id=self.ids.prefix,
        )

    @override
    def encoded(self, writer: str, event: BaseEvent) -> bytes | None:
        event.timestamp = None  # of the transformation, which may come long after the event
        if isinstance(event, _Named):
            event.message_id = self._ours(event.message_id)
        elif isinstance(event, ReasoningEncryptedValueEvent) and event.subtype == "message":
            event.entity_id = self._ours(event.entity_id)
        if isinstance(
            event,
            TextMessageStartEvent
            | ReasoningMessageStartEvent
            | ToolCallResultEvent
            | ActivitySnapshotEvent,
        ):
            self._messages.setdefault(writer, {})[event.message_id] = None
        if isinstance(event, ActivitySnapshotEvent):
            self._name_messages(event.content.get("messages"))
        return self._encoder.encode(event).encode()

    def _name_messages(self, messages: object) -> None:
        """Give ids of ours to messages that were put into the run: they are in an activity."""
        for message in messages if is_list(messages) else ():
            if is_dict(message) and "id" in message:
                message["id"] = self._ours(f"{message['id']}")

    def _ours(self, id: str) -> str:
        if id.startswith(f"{self.ids.prefix}-"):
            return id
        known = self._known.get(id)
        if known is None:
            known = self._known[id] = self.ids.make()
        return known

    @override
    def retract(self, offset: int, writer: str) -> Sequence[bytes]:
        ended = super().retract(offset, writer)
        messages = self._messages.pop(writer, {})
        taken_back = [
            ActivitySnapshotEvent(
                type=EventType.ACTIVITY_SNAPSHOT,
                message_id=message,
                activity_type=RETRACTED,
                content={},
                replace=True,
            )
            for message in messages
        ]
        return [*ended, *(self._encoder.encode(event).encode() for event in taken_back)]

    @override
    def failure(self, error: str, status: Status | None) -> Exception:
        return _RunEnded(error, status)
