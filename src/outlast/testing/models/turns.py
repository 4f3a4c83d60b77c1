"""What a scripted model says: one frozen value for each of its turns, and what it is asked.

Nothing here knows pydantic-ai or HTTP: the same turns are given by `ScriptedModel` and by the
server that it serves.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from outlast._shapes import is_mapping, is_tuple
from outlast.errors import UsageError


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call of a tool. Without an `id` it is `call_<turn>_<place>`, both from 1 on."""

    name: str
    arguments: Mapping[str, object]
    id: str = ""

    def __post_init__(self) -> None:
        _check_call(self.name, self.arguments)
        _check_text("ToolCall: id", self.id)


@dataclass(frozen=True, slots=True)
class Says:
    """A text.

    Args:
        tokens_per_second: how fast it comes; by default at once. A token is a word with the space
            in front of it.
        delay: seconds before the first token.
        input_tokens, output_tokens: the usage that is reported instead of the counted one.
    """

    text: str
    tokens_per_second: float | None = None
    delay: float = 0.0
    input_tokens: int | None = None
    output_tokens: int | None = None

    def __post_init__(self) -> None:
        _check_text("Says: text", self.text)
        _check_pace("Says", self.tokens_per_second, self.delay)


@dataclass(frozen=True, slots=True, init=False)
class Calls:
    """Calls of tools, in parallel where there are several.

    Each is a `ToolCall`, or the tool's name and its arguments: `Calls(("refund", {"order": "A"}))`.
    To give a structured output, call the agent's output tool, which is named `final_result` unless
    the agent says otherwise. The other arguments are those of `Says`; `text` is said before.
    """

    calls: tuple[ToolCall, ...]
    text: str
    tokens_per_second: float | None
    delay: float
    input_tokens: int | None
    output_tokens: int | None

    def __init__(
        self,
        *calls: ToolCall | tuple[str, Mapping[str, object]],
        text: str = "",
        tokens_per_second: float | None = None,
        delay: float = 0.0,
        input_tokens: int | None = None,
        output_tokens: int | None = None,
    ) -> None:
        if not calls:
            raise UsageError("Calls needs at least one call: Calls(('refund', {'order': 'A'}))")
        _check_text("Calls: text", text)
        _check_pace("Calls", tokens_per_second, delay)
        made = tuple(map(_call_of, calls))
        for name, value in (
            ("calls", made),
            ("text", text),
            ("tokens_per_second", tokens_per_second),
            ("delay", delay),
            ("input_tokens", input_tokens),
            ("output_tokens", output_tokens),
        ):
            object.__setattr__(self, name, value)


@dataclass(frozen=True, slots=True)
class Malformed:
    """A call of a tool whose arguments are this text, such as `'{"order": '`, and no JSON."""

    tool: str
    arguments: str
    id: str = ""

    def __post_init__(self) -> None:
        _check_text("Malformed: tool", self.tool)
        _check_text("Malformed: arguments", self.arguments)
        _check_text("Malformed: id", self.id)


@dataclass(frozen=True, slots=True)
class Refuses:
    """A refusal: the response ends with the reason `content_filter`, and has no other content."""

    reason: str

    def __post_init__(self) -> None:
        _check_text("Refuses: reason", self.reason)


@dataclass(frozen=True, slots=True)
class Fails:
    """An HTTP error in the place of a response, `times` times.

    Args:
        status: 429, 500 and others from 400 on.
        retry_after: seconds; the header `Retry-After`.
        message, code: of the error, in the body.
    """

    status: int
    retry_after: float | None = None
    message: str = ""
    code: str = ""
    times: int = 1

    def __post_init__(self) -> None:
        if not 400 <= self.status <= 599:
            raise UsageError(f"Fails takes a status from 400 to 599, not {self.status}")
        if self.retry_after is not None and not 0 <= self.retry_after < math.inf:
            raise UsageError(f"Fails: retry_after is in seconds, and not {self.retry_after}")
        _check_times("Fails", self.times)


@dataclass(frozen=True, slots=True)
class ContextOverflow:
    """The request is longer than the model's context: HTTP 400, code `context_length_exceeded`."""

    tokens_max: int = 8_192
    times: int = 1

    def __post_init__(self) -> None:
        _check_times("ContextOverflow", self.times)


@dataclass(frozen=True, slots=True)
class Cut:
    """A response whose connection breaks after so many tokens of `text`, `times` times.

    A request that is not streamed fails without having got any of it.
    """

    after_tokens: int
    text: str
    tokens_per_second: float | None = None
    times: int = 1

    def __post_init__(self) -> None:
        if type(self.after_tokens) is not int or self.after_tokens < 0:
            raise UsageError(
                f"Cut: after_tokens is a whole number from 0 on, not {self.after_tokens!r}"
            )
        _check_text("Cut: text", self.text)
        _check_pace("Cut", self.tokens_per_second, 0.0)
        _check_times("Cut", self.times)


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a tool gave, as the model is told."""

    name: str
    id: str
    content: str


@dataclass(frozen=True, slots=True)
class Asked:
    """One request to a scripted model.

    Attributes:
        turn: which response of the conversation it asks for, from 1 on.
        attempt: how often this turn was asked for, this time included.
        prompt: the last text of the user.
        results: what tools gave since the last response.
        tools: the names of the tools that are offered, output tools included.
        instructions: system prompts and instructions.
        input_tokens: the tokens of the whole conversation, counted in words.
        is_streamed: whether the response is wanted as a stream.
    """

    turn: int
    attempt: int
    prompt: str
    results: tuple[ToolResult, ...]
    tools: tuple[str, ...]
    instructions: str
    input_tokens: int
    is_streamed: bool


Answer: TypeAlias = Says | Calls | Malformed | Refuses
"""A turn that is a response: the conversation goes on behind it."""

Fault: TypeAlias = Fails | ContextOverflow | Cut
"""A turn that is no response: the same request, made again, gets what follows in the script."""

TurnFunction: TypeAlias = Callable[[Asked], "Answer | Fault | str"]
"""Decides a turn when it is asked for; of what it is asked alone, so that replay sees the same."""

Turn: TypeAlias = Answer | Fault | TurnFunction | str
"""One entry of a script; a text stands for `Says(text)`."""


def _call_of(call: ToolCall | tuple[str, Mapping[str, object]]) -> ToolCall:
    if isinstance(call, ToolCall):
        return call
    given: object = call
    if not is_tuple(given) or len(given) != 2:
        raise UsageError(
            f"Calls takes the name of a tool and its arguments, such as "
            f"('refund', {{'order': 'A'}}), or a ToolCall, not {given!r}"
        )
    return ToolCall(*call)


def _check_call(name: object, arguments: object) -> None:
    if not isinstance(name, str) or not is_mapping(arguments):
        raise UsageError(
            f"a call is the name of a tool and a dict of its arguments, not {name!r} and "
            f"{arguments!r}; Malformed stands for arguments that are none"
        )


def _check_text(what: str, value: object) -> None:
    if not isinstance(value, str):
        raise UsageError(f"{what} is a text, not {value!r}")


def _check_pace(kind: str, tokens_per_second: float | None, delay: float) -> None:
    if tokens_per_second is not None and tokens_per_second <= 0:
        raise UsageError(f"{kind}: tokens_per_second must be positive, not {tokens_per_second}")
    if delay < 0:
        raise UsageError(f"{kind}: delay must not be negative, not {delay}")


def _check_times(kind: str, times: int) -> None:
    if times < 1:
        raise UsageError(f"{kind}: times must be at least 1, not {times}")
