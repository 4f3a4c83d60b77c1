"""Keeping what a model is told of a conversation small: a summary stands for what is cut.

Nothing is deleted. The summary is an entry of the conversation, made by a model in a step, and the
entries before the cut stay in the stream.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic_ai import (
    Agent,
    ModelMessage,
    ModelRequest,
    ModelResponse,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.agent import AbstractAgent
from pydantic_ai.models import KnownModelName, Model

from outlast._execution.run_context import raise_refusal
from outlast.agents.conversations.entries import Log, TurnUsage, usage_of
from outlast.agents.conversations.window import Placed, cut_of, messages_of, system_of
from outlast.agents.durability import Durability, durability_of
from outlast.errors import RegistrationError

log: logging.Logger = logging.getLogger("outlast.actor")

_INSTRUCTIONS = (
    "Summarise the conversation for an assistant who goes on with it and has nothing else of it. "
    "Keep names, numbers, decisions, promises, open questions and results of tools exactly. Do "
    "not answer the conversation, and add nothing. Write at most about {tokens} tokens."
)
_RESULT_CHARS = 4_000  # of a tool's result, for the summary


@dataclass(frozen=True, slots=True)
class Summarise:
    """Have a model summarise what is cut from a conversation.

    Args:
        to: how many tokens a summary has at most.
        model: which model makes it; by default the agent's own.
    """

    to: int = 2_000
    model: Model | KnownModelName | str | None = None

    def __post_init__(self) -> None:
        if type(self.to) is not int or self.to < 1:
            raise RegistrationError(f"Summarise: to= is a whole number of tokens, not {self.to!r}")


@dataclass(frozen=True, slots=True)
class Conversation:
    """How much of its conversation an agent is told, and what becomes of the rest.

    Args:
        window_tokens: when the last request and its response had more tokens than this, the
            conversation is cut before the next turn, so that about half as many are kept word for
            word. A single turn can be longer than the window: it is not cut while it runs.
        compact: what stands for the part that is cut: a summary, or None for nothing.
    """

    window_tokens: int = 24_000
    compact: Summarise | None = Summarise()

    def __post_init__(self) -> None:
        if type(self.window_tokens) is not int or self.window_tokens < 1:
            raise RegistrationError(
                "Conversation: window_tokens= is a whole number of tokens, not "
                f"{self.window_tokens!r}"
            )
        if self.compact is not None and not isinstance(self.compact, Summarise):
            raise RegistrationError(
                f"Conversation: compact= is Summarise(...) or None, not {self.compact!r}"
            )
        if self.compact is not None and self.compact.to >= self.window_tokens:
            raise RegistrationError(
                f"Conversation: a summary of {self.compact.to} tokens does not fit into a window "
                f"of {self.window_tokens}: give Summarise(to=) fewer"
            )


class Compaction:
    """Cuts the conversations of one agent."""

    def __init__(self, options: Conversation, agent: AbstractAgent[object, object]) -> None:
        self._options = options
        self._summariser: Agent[None, str] | None = None
        if options.compact is not None:
            name = f"{agent.name}-summary"
            durable = durability_of(agent)
            is_own = options.compact.model is None
            # Of the agent's own model it shares the limits.
            provider = durable.provider if is_own and durable is not None else None
            self._summariser = Agent(
                options.compact.model or agent.model,
                name=name,
                instructions=_INSTRUCTIONS.format(tokens=options.compact.to),
                capabilities=[Durability(provider=provider)],
                model_settings={"max_tokens": options.compact.to},
            )

    async def compact(
        self, conversation: Log, entries: list[Placed], *, turn: int, context_tokens: int
    ) -> tuple[list[Placed], TurnUsage]:
        """Cut a conversation if it is longer than its window; return what is left, and the usage.

        If the model that summarises fails, nothing is cut this time.
        """
        if context_tokens <= self._options.window_tokens:
            return entries, TurnUsage()
        cut = cut_of(entries, self._options.window_tokens // 2)
        if cut is None:
            return entries, TurnUsage()
        used = TurnUsage()
        if self._summariser is not None:
            told = messages_of([*_summaries(entries), *cut.before])
            summary = await self._summary(_as_text(told))
            if summary is None:
                return entries, TurnUsage()
            text, used = summary
            conversation.add("summary", turn, text=text, message=system_of(told))
        conversation.cut(cut.kept[0][0])
        return await conversation.entries(), used

    async def _summary(self, text: str) -> tuple[str, TurnUsage] | None:
        if self._summariser is None:
            return None
        try:
            result = await self._summariser.run(text)
        except Exception as error:  # noqa: BLE001  # whatever it is, the turn goes on
            raise_refusal(error)
            log.warning("%s failed, the conversation is not cut: %s", self._summariser.name, error)
            return None
        used = TurnUsage()
        for message in result.new_messages():
            if isinstance(message, ModelResponse):
                used += usage_of(message)
        return result.output, used


def _summaries(entries: Sequence[Placed]) -> list[Placed]:
    return [placed for placed in entries if placed[1].kind == "summary"]


def _as_text(messages: Sequence[ModelMessage]) -> str:
    """Return messages as the text of a conversation, for the model that summarises it."""
    lines: list[str] = []
    for message in messages:
        if isinstance(message, ModelRequest | ModelResponse):
            lines += [_line(part) for part in message.parts]
    return "\n".join(line for line in lines if line)


def _line(part: object) -> str:
    match part:
        case UserPromptPart(content=content):
            texts = [content] if isinstance(content, str) else [f"{item}" for item in content]
            return f"User: {' '.join(texts)}"
        case ToolReturnPart(tool_name=name):
            return f"Result of {name}: {part.model_response_str()[:_RESULT_CHARS]}"
        case ToolCallPart(tool_name=name):
            return f"Assistant calls {name}: {part.args_as_json_str()}"
        case TextPart(content=content):
            return f"Assistant: {content}"
        case _:
            return ""
