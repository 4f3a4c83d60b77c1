"""What is stored of a conversation: a stream of entries that only grows.

A turn is the entries from what a user says to `ended`; between them are the messages of the model
and the results of its tools, as pydantic-ai has them. A `summary` stands for what is before it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Literal

from pydantic_ai import ModelMessage, ModelResponse

from outlast._authoring.workflow import wf
from outlast._execution.run_context import ActorContext, current_context
from outlast._handles.declarations import Stream
from outlast.agents.budgets.amounts import dollars
from outlast.agents.budgets.costs import cost_in
from outlast.agents.budgets.usage import Tokens, reported_tokens
from outlast.agents.events import agent_events

EntryKind = Literal["user", "message", "summary", "asked", "answered", "ended"]
Outcome = Literal["completed", "interrupted", "failed"]


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file that a message refers to: it is stored as its address, and the model gets that."""

    url: str
    media_type: str = ""


@dataclass(frozen=True, slots=True)
class TurnUsage:
    """What a turn has used, or all turns of a conversation.

    `usd` is what the requests have cost, as recorded with each; of only `priced` of the `requests`
    the price is known.
    """

    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    tool_calls: int = 0
    usd: Decimal = Decimal(0)
    priced: int = 0

    def __add__(self, other: TurnUsage) -> TurnUsage:
        return TurnUsage(
            self.requests + other.requests,
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.tool_calls + other.tool_calls,
            self.usd + other.usd,
            self.priced + other.priced,
        )


def usage_of(response: ModelResponse) -> TurnUsage:
    """Return what one response has used, with the price that was recorded with it."""
    used, cost = reported_tokens(response) or Tokens(0, 0), cost_in(response)
    usd = None if cost is None else cost.usd
    return TurnUsage(
        requests=1,
        input_tokens=used.input,
        output_tokens=used.output,
        tool_calls=len(response.tool_calls),
        usd=dollars(usd or 0),
        priced=int(usd is not None),
    )


@dataclass(frozen=True, slots=True)
class Question:
    """What people are asked in a turn, and what was answered.

    Attributes:
        token: the id under which it is answered: `engine.approve(token)`.
        calls: the ids of the calls of tools that it is about.
        approved: what was answered; None of a question that is open or is no approval.
        by: the name under which it was answered; empty while it is open, or when it has expired.
    """

    token: str
    calls: list[str]
    approved: bool | None = None
    by: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a conversation.

    Attributes:
        kind: `user`: somebody has said `text`, which began the turn, or steered it
            (`is_steering`). `message`: a request to the model, or its response, in `message`.
            `summary`: `text` stands for what is before, for the model. `asked`: people are asked
            the `question`, whose title is `text`. `answered`: so it was, and `text` is why.
            `ended`: the turn is over.
        turn: which turn it belongs to, from 1 on.
        at: when it was added, by the clock of the actor.
        events: the offset of the stream `agent_events` up to which its events belong to this
            entry and those before.
        sender: the id of the run or actor that sent what a user says, empty from outside.
        outcome: how the turn ended; `text` is the error of one that has failed.
        model: which model has answered last in the turn that has ended.
        history_start: of what has begun a turn: the offset of the first entry that the agent went
            on from. It is negative in a fork that has not all of them.
    """

    kind: EntryKind
    turn: int
    at: datetime
    events: int = 0
    text: str = ""
    attachments: list[Attachment] | None = None
    sender: str = ""
    is_steering: bool = False
    message: ModelMessage | None = None
    outcome: Outcome | None = None
    usage: TurnUsage | None = None
    model: str = ""
    question: Question | None = None
    history_start: int = 0


conversation_entries: Stream[Entry] = Stream("conversation", Entry)
"""The entries of an agent's conversation: `ref.stream(conversation_entries)`."""


class Log:
    """The conversation of the actor whose handler executes: from its cut to its end."""

    def __init__(self, actor: ActorContext) -> None:
        self._actor = actor
        self._history = actor.history(conversation_entries.name)
        self._read: dict[int, Entry] = {}

    async def entries(self) -> list[tuple[int, Entry]]:
        """Return the entries that the agent goes on from, each with its offset.

        The run is parked if one of them does not fit its type here.
        """
        return await current_context().read("the conversation", self._entries)

    def _entries(self) -> list[tuple[int, Entry]]:
        stored = self._history.entries
        self._read = {offset: self._read.get(offset) or _entry_in(data) for offset, data in stored}
        return [*self._read.items()]

    def add(
        self,
        kind: EntryKind,
        turn: int,
        *,
        text: str = "",
        attachments: list[Attachment] | None = None,
        sender: str = "",
        is_steering: bool = False,
        message: ModelMessage | None = None,
        outcome: Outcome | None = None,
        usage: TurnUsage | None = None,
        model: str = "",
        question: Question | None = None,
        history_start: int = 0,
    ) -> int:
        """Add an entry, and return its offset."""
        entry = Entry(
            kind,
            turn,
            wf.now(),
            self._actor.stream_end(agent_events.name),
            text,
            attachments,
            sender,
            is_steering,
            message,
            outcome,
            usage,
            model,
            question,
            history_start,
        )
        return self.take(entry)

    def take(self, entry: Entry) -> int:
        """Add an entry as it is, and return its offset."""
        data = conversation_entries.adapter.encode(entry)
        offset = current_context().outputs.write(conversation_entries.name, data)
        self._history.append(offset, data)
        self._read[offset] = entry
        return offset

    @property
    def start(self) -> int:
        """The offset of the first entry that the agent goes on from."""
        return self._history.start

    def ends(self) -> tuple[int, int]:
        """Return the next offsets of the conversation and of the events."""
        return self._history.end, self._actor.stream_end(agent_events.name)

    def cut(self, offset: int) -> None:
        """Go on from an entry; those before it stay in the stream."""
        self._history.cut(offset)


def _entry_in(data: bytes) -> Entry:
    value: object = conversation_entries.adapter.decode(data)
    if not isinstance(value, Entry):
        raise TypeError(f"{value!r} is no entry of a conversation")
    return value
