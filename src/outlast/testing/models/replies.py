"""A turn as it goes to whoever asked: pieces in time, or an error; the same for both of its ways.

Usage is counted in words, so that it is the same wherever and whenever the script runs.
"""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Literal, TypeAlias, assert_never

import msgspec

from outlast.errors import UsageError
from outlast.testing.models.turns import (
    Answer,
    Asked,
    Calls,
    ContextOverflow,
    Cut,
    Fails,
    Fault,
    Malformed,
    Refuses,
    Says,
    ToolCall,
)

FinishReason: TypeAlias = Literal["stop", "tool_call", "content_filter"]


@dataclass(frozen=True, slots=True)
class WrittenCall:
    """A call of a tool, with its arguments as the model wrote them."""

    name: str
    arguments: str
    id: str


@dataclass(frozen=True, slots=True)
class TextPiece:
    """One token of the text."""

    text: str


@dataclass(frozen=True, slots=True)
class CallPiece:
    """One token of a call's arguments; the first, which is empty, brings its name and id."""

    index: int
    arguments: str
    name: str = ""
    id: str = ""


@dataclass(frozen=True, slots=True)
class Broken:
    """The connection breaks here."""

    tokens: int


Piece: TypeAlias = TextPiece | CallPiece | Broken


@dataclass(frozen=True, slots=True)
class Reply:
    """A response; `cut_after` says behind how many tokens its connection breaks."""

    input_tokens: int
    output_tokens: int
    text: str = ""
    calls: tuple[WrittenCall, ...] = ()
    finish_reason: FinishReason = "stop"
    refusal: str = ""
    tokens_per_second: float | None = None
    delay: float = 0.0
    cut_after: int | None = None

    @property
    def seconds(self) -> float:
        """How long the whole of it takes."""
        if self.tokens_per_second is None:
            return self.delay
        count = sum(_weighs(piece) for piece in self._pieces())
        return self.delay + count / self.tokens_per_second

    async def pieces(self) -> AsyncGenerator[Piece]:
        """Iterate over it as it comes."""
        if self.delay:
            await asyncio.sleep(self.delay)
        for piece in self._pieces():
            if self.tokens_per_second is not None and _weighs(piece):
                await asyncio.sleep(1 / self.tokens_per_second)
            yield piece

    def _pieces(self) -> list[Piece]:
        found: list[Piece] = [TextPiece(token) for token in tokens_of(self.text)]
        for index, call in enumerate(self.calls):
            found.append(CallPiece(index, "", call.name, call.id))
            found += [CallPiece(index, token) for token in tokens_of(call.arguments)]
        if self.cut_after is not None:
            return [*found[: self.cut_after], Broken(min(self.cut_after, len(found)))]
        return found


@dataclass(frozen=True, slots=True)
class ErrorReply:
    """An HTTP error."""

    status: int
    message: str
    kind: str
    code: str | None
    retry_after: float | None = None

    @property
    def body(self) -> dict[str, object]:
        """What stands under `error` in the body."""
        return {"message": self.message, "type": self.kind, "param": None, "code": self.code}

    @property
    def headers(self) -> dict[str, str]:
        """The headers that an OpenAI-compatible server adds.

        `retry-after` is in whole seconds; the exact time is in `retry-after-ms`.
        """
        if self.retry_after is None:
            return {}
        exact = f"{self.retry_after * 1000:g}"
        return {"retry-after": f"{math.ceil(self.retry_after)}", "retry-after-ms": exact}


def reply_to(asked: Asked, turn: Answer | Fault) -> Reply | ErrorReply:
    """Return a turn as it goes to whoever asked."""
    match turn:
        case Fails():
            message = turn.message or f"status {turn.status}, as the script says"
            kind = _KINDS.get(turn.status, _kind_of(turn.status))
            return ErrorReply(turn.status, message, kind, turn.code or None, turn.retry_after)
        case ContextOverflow(tokens_max=tokens_max):
            message = (
                f"the request has {asked.input_tokens} tokens as the script counts them, and does "
                f"not fit a context of {tokens_max} tokens"
            )
            return ErrorReply(400, message, "invalid_request_error", "context_length_exceeded")
        case Cut(after_tokens=after, text=text):
            pace = turn.tokens_per_second
            return Reply(asked.input_tokens, after, text, tokens_per_second=pace, cut_after=after)
        case Refuses(reason=reason):
            count = len(tokens_of(reason))
            return Reply(asked.input_tokens, count, refusal=reason, finish_reason="content_filter")
        case Malformed(tool=tool, arguments=arguments, id=given):
            call = WrittenCall(tool, arguments, given or f"call_{asked.turn}_1")
            return Reply(
                asked.input_tokens, _weight((call,)), calls=(call,), finish_reason="tool_call"
            )
        case Says() | Calls():
            return _said(asked, turn)
        case _:
            assert_never(turn)


def tokens_of(text: str) -> list[str]:
    """Return a text cut into words, each with the space in front of it."""
    return re.findall(r"\s*\S+|\s+$", text)


def _said(asked: Asked, turn: Says | Calls) -> Reply:
    given = turn.calls if isinstance(turn, Calls) else ()
    calls = tuple(_written(asked, place, call) for place, call in enumerate(given, start=1))
    counted = len(tokens_of(turn.text)) + _weight(calls)
    return Reply(
        input_tokens=asked.input_tokens if turn.input_tokens is None else turn.input_tokens,
        output_tokens=counted if turn.output_tokens is None else turn.output_tokens,
        text=turn.text,
        calls=calls,
        finish_reason="tool_call" if calls else "stop",
        tokens_per_second=turn.tokens_per_second,
        delay=turn.delay,
    )


def _written(asked: Asked, place: int, call: ToolCall) -> WrittenCall:
    try:
        arguments = msgspec.json.encode(dict(call.arguments)).decode()
    except TypeError as error:
        raise UsageError(
            f"the arguments of {call.name!r} in the script are not JSON-like data: {error}"
        ) from error
    return WrittenCall(call.name, arguments, call.id or f"call_{asked.turn}_{place}")


def _weight(calls: tuple[WrittenCall, ...]) -> int:
    return sum(1 + len(tokens_of(call.arguments)) for call in calls)


def _weighs(piece: Piece) -> bool:
    return not isinstance(piece, Broken)


_KINDS = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}


def _kind_of(status: int) -> str:
    return "server_error" if status >= 500 else "invalid_request_error"
