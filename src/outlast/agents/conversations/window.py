"""What of a conversation the model is told, and where that may be cut.

Invariant: it is cut only where no tool call is open, so that each call is followed by its result.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from pydantic_ai import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    SystemPromptPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.messages import ModelMessagesTypeAdapter, ModelResponsePart

from outlast.agents.conversations.entries import Entry

Placed: TypeAlias = tuple[int, Entry]

_BYTES_OF_TOKEN = 4  # of English and JSON; other scripts have less, and are counted too small
_SUMMARISED = "Summary of the conversation so far:\n\n"
INTERRUPTED = "The call was interrupted before it had a result: it may have had its effect or not."
UNMADE = "The call was not made: the turn ended before it was approved."
FAILED = "The turn failed before this call had a result ({}): it may have had its effect or not."


def messages_of(entries: Sequence[Placed]) -> list[ModelMessage]:
    """Return what the model is told of a conversation: its last summary, then word for word.

    A summary stands for what is before the first of the entries, though it was added later.
    """
    head: list[ModelMessage] = []
    told: list[ModelMessage] = []
    for _, entry in entries:
        if entry.kind == "summary":
            parts = [*entry.message.parts] if isinstance(entry.message, ModelRequest) else []
            prompt = UserPromptPart(_SUMMARISED + entry.text, timestamp=entry.at)
            head = [ModelRequest(parts=[*parts, prompt], timestamp=entry.at)]
        elif entry.message is not None:
            told.append(entry.message)
    return [*head, *told]


def tokens_of(messages: Sequence[ModelMessage]) -> int:
    """Return about how many tokens messages have: their JSON text at four bytes each."""
    return len(ModelMessagesTypeAdapter.dump_json([*messages])) // _BYTES_OF_TOKEN


def system_of(messages: Sequence[ModelMessage]) -> ModelRequest | None:
    """Return the system prompt that a conversation begins with, which a summary goes on with."""
    first = messages[0] if messages else None
    if not isinstance(first, ModelRequest):
        return None
    parts = [part for part in first.parts if isinstance(part, SystemPromptPart)]
    return ModelRequest(parts=parts) if parts else None


@dataclass(frozen=True, slots=True)
class Cut:
    """A conversation in two: what a summary stands for, and what is kept word for word."""

    before: list[Placed]
    kept: list[Placed]


def cut_of(entries: Sequence[Placed], keep_tokens: int) -> Cut | None:
    """Divide a conversation so that what is kept has few tokens; None if it cannot be.

    Where a user speaks comes first, then any other place at which no tool call is open.
    """
    places = _places(entries)
    fitting = [at for at in places if _size(entries[at:]) <= keep_tokens]
    by_user = [at for at in fitting if entries[at][1].kind == "user"]
    chosen = min(by_user or fitting, default=places[-1] if places else None)
    if chosen is None:
        return None
    return Cut([*entries[:chosen]], [*entries[chosen:]])


def _places(entries: Sequence[Placed]) -> list[int]:
    """Return where a conversation may be cut: before which entries."""
    found: list[int] = []
    open_calls: set[str] = set()
    for at, (_, entry) in enumerate(entries):
        if at and not open_calls and entry.kind in ("user", "message"):
            found.append(at)
        _follow(open_calls, entry.message)
    return found


def _follow(open_calls: set[str], message: ModelMessage | None) -> None:
    if isinstance(message, ModelResponse):
        open_calls |= {call.tool_call_id for call in message.tool_calls}
    elif isinstance(message, ModelRequest):
        open_calls -= _answered_in(message)


def _answered_in(message: ModelRequest) -> set[str]:
    # Results, and requests to call again, whose class has another name in each version.
    found: list[object] = [getattr(part, "tool_call_id", None) for part in message.parts]
    return {call for call in found if isinstance(call, str)}


def _size(entries: Sequence[Placed]) -> int:
    return tokens_of([entry.message for _, entry in entries if entry.message is not None])


def closed(
    messages: Sequence[ModelMessage], *, because: str = "", unmade: Collection[str] = ()
) -> list[ModelMessage]:
    """Return messages in which no tool call is open: a call without a result gets one.

    Of a response that was interrupted only what it has said remains: its calls were never made.
    `because` is the error with which the turn has failed; `unmade` are the ids of calls that were
    never made, since they waited for an approval.
    """
    told: list[ModelMessage] = []
    for message in messages:
        if isinstance(message, ModelResponse) and message.state == "interrupted":
            said: list[ModelResponsePart] = [
                part for part in message.parts if not isinstance(part, ToolCallPart)
            ]
            if said:
                told.append(replace(message, parts=said))
        elif message.parts:
            told.append(message)
    open_calls: dict[str, ToolCallPart] = {}
    for message in told:
        if isinstance(message, ModelResponse):
            open_calls.update((call.tool_call_id, call) for call in message.tool_calls)
        else:
            for call in _answered_in(message):
                open_calls.pop(call, None)
    if open_calls:
        results = [_unanswered(call, because, unmade) for call in open_calls.values()]
        told.append(ModelRequest(parts=results))
    return told


def _unanswered(call: ToolCallPart, because: str, unmade: Collection[str]) -> ToolReturnPart:
    said = FAILED.format(because) if because else INTERRUPTED
    return ToolReturnPart(
        tool_name=call.tool_name,
        content=UNMADE if call.tool_call_id in unmade else said,
        tool_call_id=call.tool_call_id,
        outcome="interrupted",
    )
