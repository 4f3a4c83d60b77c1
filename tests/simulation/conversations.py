"""What is said in a conversation, as text."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic_ai import ModelRequest, ModelResponse
from pydantic_ai.messages import (
    PartDeltaEvent,
    PartStartEvent,
    TextPart,
    TextPartDelta,
    UserPromptPart,
)

from outlast.agents import Entry
from outlast.agents.events import event_adapter


def said_in(value: object) -> str:
    """Return the text that an event of an agent says."""
    match event_adapter().validate_python(value):
        case PartStartEvent(part=TextPart(content=said)):
            return said
        case PartDeltaEvent(delta=TextPartDelta(content_delta=said)):
            return said
        case _:
            return ""


def texts_in(entries: Sequence[Entry], kind: type[ModelRequest] | type[ModelResponse]) -> list[str]:
    """Return the texts of the messages of one kind, in order."""
    messages = [entry.message for entry in entries if isinstance(entry.message, kind)]
    return [
        f"{part.content}" if isinstance(part.content, str) else f"{part.content[0]}"
        for message in messages
        for part in message.parts
        if isinstance(part, UserPromptPart | TextPart)
    ]
