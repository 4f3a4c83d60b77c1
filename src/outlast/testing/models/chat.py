"""Chat completions as OpenAI-compatible servers speak them: requests decoded, replies encoded.

Ids and times are the same whenever a script runs: completions are numbered, `created` is 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias, assert_never

import msgspec

from outlast.testing.models.replies import (
    Broken,
    CallPiece,
    Piece,
    Reply,
    TextPiece,
    WrittenCall,
    tokens_of,
)
from outlast.testing.models.turns import Asked, ToolResult


class _Text(msgspec.Struct):
    """One part of a content; those that are no text have none."""

    text: str = ""


class _Function(msgspec.Struct):
    name: str
    arguments: str = ""


class _Call(msgspec.Struct):
    id: str
    function: _Function


class _Message(msgspec.Struct):
    role: str
    content: str | list[_Text] | None = None
    tool_calls: list[_Call] = []
    tool_call_id: str = ""

    @property
    def text(self) -> str:
        """The text of its content."""
        if isinstance(self.content, list):
            return " ".join(part.text for part in self.content)
        return self.content or ""


class _Tool(msgspec.Struct):
    function: _Function


class _StreamOptions(msgspec.Struct):
    include_usage: bool = False


class ChatRequest(msgspec.Struct):
    """The body of a request, as far as a script looks at it."""

    messages: list[_Message]
    tools: list[_Tool] = []
    tool_choice: object = None
    stream: bool = False
    stream_options: _StreamOptions | None = None

    def texts(self) -> tuple[str, ...]:
        """Return all that it says."""
        found: list[str] = []
        for message in self.messages:
            found.append(message.text)
            for call in message.tool_calls:
                found += [call.function.name, call.function.arguments]
        return tuple(found)

    def asked(self, attempt: int) -> Asked:
        """Return it as the script sees it."""
        prompts = [message.text for message in self.messages if message.role == "user"]
        systems = [m.text for m in self.messages if m.role in ("system", "developer")]
        return Asked(
            turn=1 + sum(message.role == "assistant" for message in self.messages),
            attempt=attempt,
            prompt=prompts[-1] if prompts else "",
            results=tuple(self._results()),
            tools=() if self.tool_choice == "none" else tuple(t.function.name for t in self.tools),
            instructions="\n\n".join(systems),
            input_tokens=sum(len(tokens_of(text)) for text in self.texts()),
            is_streamed=self.stream,
        )

    def _results(self) -> list[ToolResult]:
        names = {call.id: call.function.name for m in self.messages for call in m.tool_calls}
        found: list[ToolResult] = []
        for message in self.messages:
            if message.role == "assistant":
                found = []
            elif message.role == "tool":
                name = names.get(message.tool_call_id, "")
                found.append(ToolResult(name, message.tool_call_id, message.text))
        return found


def chat_request(body: bytes) -> ChatRequest:
    """Decode the body of a request.

    Raises:
        msgspec.ValidationError, msgspec.DecodeError: it is none.
    """
    return msgspec.json.decode(body, type=ChatRequest)


Data: TypeAlias = dict[str, object]
_Finish = Literal["stop", "tool_calls"]


def completion(reply: Reply, *, number: int, model: str) -> Data:
    """Return a whole response."""
    message: Data = {"role": "assistant", "content": reply.text or None}
    message["refusal"] = reply.refusal or None
    if reply.calls:
        message["tool_calls"] = [_call_data(call) for call in reply.calls]
    choice: Data = {"index": 0, "message": message, "finish_reason": _finish(reply)}
    head = _head("chat.completion", number, model)
    return {**head, "choices": [choice], "usage": _usage(reply)}


def chunks_of(piece: Piece, *, number: int, model: str) -> Data:
    """Return one piece of a response that is streamed."""
    match piece:
        case TextPiece(text=text):
            delta: Data = {"role": "assistant", "content": text}
        case CallPiece(name="") as call:
            delta = {"tool_calls": [_call_delta(call)]}
        case CallPiece() as call:
            named = {**_call_delta(call), "id": call.id, "type": "function"}
            delta = {"role": "assistant", "tool_calls": [named]}
        case Broken():
            delta = {}
        case _:
            assert_never(piece)
    return _chunk(delta, None, number=number, model=model)


def last_chunks(reply: Reply, *, number: int, model: str, with_usage: bool) -> Sequence[Data]:
    """Return what ends a response that is streamed."""
    delta: Data = {"refusal": reply.refusal} if reply.refusal else {}
    found = [_chunk(delta, _finish(reply), number=number, model=model)]
    if with_usage:
        head = _head("chat.completion.chunk", number, model)
        found.append({**head, "choices": [], "usage": _usage(reply)})
    return found


def _head(kind: str, number: int, model: str) -> Data:
    return {"id": f"chatcmpl-{number}", "object": kind, "created": 0, "model": model}


def _chunk(delta: Data, finish: _Finish | None, *, number: int, model: str) -> Data:
    choice: Data = {"index": 0, "delta": delta, "finish_reason": finish}
    return {**_head("chat.completion.chunk", number, model), "choices": [choice]}


def _finish(reply: Reply) -> _Finish:
    return "tool_calls" if reply.calls else "stop"


def _usage(reply: Reply) -> Data:
    given, said = reply.input_tokens, reply.output_tokens
    return {"prompt_tokens": given, "completion_tokens": said, "total_tokens": given + said}


def _call_data(call: WrittenCall) -> Data:
    function = {"name": call.name, "arguments": call.arguments}
    return {"id": call.id, "type": "function", "function": function}


def _call_delta(piece: CallPiece) -> Data:
    function: Data = {"arguments": piece.arguments}
    if piece.name:
        function["name"] = piece.name
    return {"index": piece.index, "function": function}
