"""`AgentActor`: an agent that one can talk to, with a mailbox and a conversation per key.

class Support(AgentActor[None, str]):
    agent = Agent("openai:gpt-5", name="support", capabilities=[Durability(stream=True)])

await engine.actor(Support, "user-42").ask(Support.chat, "Where is my parcel?")
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AbstractContextManager, aclosing, nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar, Generic, Self, TypeGuard, TypeVar, get_args, get_origin

from pydantic_ai.agent import AbstractAgent

from outlast import limits
from outlast._actors.actor import Actor, actor, handler, running_actor
from outlast._authoring.workflow import wf
from outlast._execution.run_context import KeptError, NotNow
from outlast._handles.actor_ref import ActorRef, Handler
from outlast._messages.actor_ids import actor_id
from outlast.agents.budgets.scopes import budgets_here
from outlast.agents.conversations.compaction import Compaction, Conversation
from outlast.agents.conversations.entries import Attachment, Log, TurnUsage
from outlast.agents.conversations.forking import ForkedFrom, check_model, take_over
from outlast.agents.conversations.observing import Observed, observed
from outlast.agents.conversations.prompts import prompt_of
from outlast.agents.conversations.turn import Turn
from outlast.agents.conversations.window import messages_of, tokens_of
from outlast.agents.durability import durability_of
from outlast.errors import ActorParked, RegistrationError, UsageError
from outlast.types import Duration, WhileBusy

_CHAT = "chat"

DepsT = TypeVar("DepsT")
OutT = TypeVar("OutT")


@dataclass
class ConversationState:
    """What is known of a conversation beside its entries.

    `context_tokens` is the size of the last request and its response, as the model has said.
    `entries` and `events` are the ends of the streams `conversation` and `agent_events` when the
    last turn ended. `usage` is that of its own turns, without those that a fork has taken over.
    `model` is what it was forked with, empty for the agent's own. `budgets` are the ledgers that
    the last turn was charged to (`budget_info`).
    """

    turns: int = 0
    usage: TurnUsage = field(default_factory=TurnUsage)
    context_tokens: int = 0
    last_at: datetime | None = None
    entries: int = 0
    events: int = 0
    model: str = ""
    forked_from: ForkedFrom | None = None
    budgets: list[str] = field(default_factory=list[str])


class AgentActor(Actor[ConversationState], Generic[DepsT, OutT]):
    """The base of agents that one can talk to: `DepsT` and `OutT` are those of the agent.

    Class attributes:
        agent: the agent, with a name and the capability `Durability`. With
            `Durability(stream=True)`, what it says is in the stream `agent_events` as it says it.
        conversation: how much of the conversation the agent is told.
        while_busy: what becomes of a message that comes during a turn, unless its sender says
            otherwise with `options(while_busy=)`. "queue": it waits for its turn. "steer": the
            model is told before its next request, and the answer of the turn answers both.
            "interrupt": the turn ends; what was said so far stays, and the new message is next.
            "reject": it is refused (`ActorBusy`).

    Guarantee: what was said is said once, in the order of the stream `conversation`, over crashes.
    A turn that fails is part of the conversation, with its error.
    """

    agent: AbstractAgent[DepsT, OutT]
    conversation: Conversation = Conversation()
    while_busy: WhileBusy = "queue"

    not_declared: ClassVar[str] = "it has no agent; set `agent = Agent(...)` in the class"
    _compaction: ClassVar[Compaction]
    _turn: Turn[DepsT, OutT] | None = None

    def __init_subclass__(
        cls,
        *,
        name: str | None = None,
        mailbox: int = limits.ACTOR_MAILBOX,
        idle: Duration = "10m",
    ) -> None:
        """Register the class as an actor; `name`, `mailbox` and `idle` are those of `@actor`."""
        super().__init_subclass__()
        given: object = getattr(cls, "agent", None)
        if given is None:
            return  # a base of others
        agent = _checked(cls, given)
        cls._compaction = Compaction(cls.conversation, agent)
        # Its annotations are those of this class, so that answers are stored as what they are.
        chat = _chat_of(cls.__name__, _output_of(cls), cls.while_busy)
        cls.chat = chat  # type: ignore[method-assign, assignment]  # the same, with its types
        actor(name=name, mailbox=mailbox, idle=idle)(cls)

    async def deps(self) -> DepsT:
        """Return the dependencies of a turn; by default None.

        It is code of the actor, which runs again after a crash: what it reads from outside belongs
        in a step.
        """
        return None  # type: ignore[return-value]  # a class with other deps overrides it

    def budget(self) -> AbstractContextManager[object]:
        """Return what limits a turn, as `outlast.agents.budget(...)` does; by default nothing.

        It is code of the actor. A named budget, such as `scope=f"user:{self.key}"`, lasts over
        turns; any other one is of a single turn.
        """
        return nullcontext()

    @handler(while_busy="queue")
    async def chat(self, text: str, attachments: list[Attachment] | None = None) -> OutT:
        """Say something to the agent, and return its answer.

        Raises:
            HandlerFailed: the turn has failed, or another message has interrupted it
                (`TurnInterrupted`). What was said stays.
            ActorBusy: it was not to wait.
        """
        return await _talk(self, text, attachments)

    @handler(while_busy="steer")
    async def hear(self, text: str) -> None:
        """Tell the agent something that needs no answer, such as the end of a background tool.

        It wakes the agent, or steers the turn that runs.
        """
        await _talk(self, text, None)

    @handler(while_busy="interrupt")
    async def interrupt(self) -> bool:
        """End the turn that runs, and return whether there was one; what was said stays."""
        if self._turn is None:
            return False
        self._turn.interrupt()
        return True

    @handler
    async def fork(
        self, of: str, at: int, text: str | None = None, model: str | None = None
    ) -> ForkedFrom:
        """Begin this conversation with what was said in another one before a message of it.

        It returns when that is taken over; `text` is then said to the agent, in a turn of its own.
        What was said before is not paid for again. The other conversation is not changed, and may
        be in the midst of a turn.

        Args:
            of: the key of the other conversation.
            at: the offset there of what a user has said to begin a turn.
            text: what is said in its place; without it, `chat` goes on.
            model: serves this turn and all later ones in place of the agent's own model: a key of
                `Durability(models=)`, or a name that pydantic-ai knows.

        Raises:
            HandlerFailed: this conversation has begun already, the other one has no such turn, or
                the model is not known (`UsageError`). Nothing was said.
        """
        return await _fork(self, of, at, text, model)

    @classmethod
    async def observe(cls, ref: ActorRef[Self], after: int = -1) -> AsyncGenerator[Observed]:
        """Follow a conversation from behind an entry on, live, until its actor stops.

        Any number of readers may. Each entry comes once, in order. Events come between them, each
        before the entry that it belongs to, and never after it.

        Raises:
            RunNotFound: this agent has never been sent a message.
        """
        if after < -1:
            raise UsageError(f"after= is the offset of an entry, or -1 for all, not {after}")
        try:
            told = (await ref.ask(cls.about)).events
        except ActorParked:
            told = 0  # its conversation can be read all the same
        async with aclosing(observed(ref, after + 1, told)) as seen:
            async for one in seen:
                yield one

    @handler(read=True)
    async def about(self) -> ConversationState:
        """Return what is known of the conversation, without its entries."""
        return self.state


async def _talk(
    self: AgentActor[DepsT, OutT], text: str, attachments: list[Attachment] | None
) -> OutT:
    here = running_actor()
    running = self._turn
    if here.while_busy is None or running is None:
        if here.while_busy is not None:
            raise NotNow
        return await _take_turn(self, text, attachments)
    if here.while_busy == "steer":
        return await running.join(text, attachments, self.sender)
    running.interrupt()
    raise NotNow


async def _take_turn(
    self: AgentActor[DepsT, OutT], text: str, attachments: list[Attachment] | None
) -> OutT:
    log, state, kind = Log(running_actor()), self.state, type(self)
    number = state.turns + 1
    turn: Turn[DepsT, OutT] = Turn(log, number)
    before = await log.entries()
    log.add(
        "user",
        number,
        text=text,
        attachments=attachments,
        sender=self.sender,
        history_start=log.start,
    )
    prompt = prompt_of(text, attachments)
    returns = running_actor().definition.handlers[_CHAT].signature.returns

    async def run() -> OutT:
        with self.budget():
            turn.budgets = [spending.scope.ledger for spending in budgets_here.get()]
            kept, used = await kind._compaction.compact(
                log, before, turn=number, context_tokens=state.context_tokens
            )
            turn.usage += used
            deps = await self.deps()
            output = await turn.drive(
                self.agent, prompt, messages_of(kept), deps, model=state.model
            )
        returns.encode(output)  # what cannot be stored fails the turn, and not its message
        return output

    self._turn = turn
    try:
        output = await turn.answer(prompt, run)
    except KeptError:
        await _note_end(self, turn, log)
        raise
    else:
        await _note_end(self, turn, log)
        return output
    finally:
        self._turn = None


async def _fork(
    self: AgentActor[DepsT, OutT], of: str, at: int, text: str | None, model: str | None
) -> ForkedFrom:
    actor, state = running_actor(), self.state
    log = Log(actor)
    if state.turns or log.ends()[0]:
        raise UsageError(
            f"{actor.definition.name}/{self.key} has a conversation already: fork {of!r} under a "
            "key that has none"
        )
    if model is not None:
        await check_model(self.agent, await self.deps(), model)
    taken = await take_over(log, actor.definition.name, of, at)
    state.forked_from, state.turns = taken.origin, taken.turns
    state.context_tokens, state.model = taken.context_tokens, model or ""
    state.last_at = wf.now()
    state.entries, state.events = log.ends()
    if text is not None:
        chat = actor.definition.handlers[_CHAT].signature
        said = chat.encode(chat.bind((text,), {}))
        target = actor_id(actor.definition.name, self.key)
        actor.forward(target, _CHAT, said, sender=self.sender)
    return taken.origin


async def _note_end(self: AgentActor[DepsT, OutT], turn: Turn[DepsT, OutT], log: Log) -> None:
    state = self.state
    state.turns = turn.number
    state.usage += turn.usage
    # Models that do not tell their usage are estimated.
    state.context_tokens = turn.context_tokens or tokens_of(messages_of(await log.entries()))
    state.last_at = wf.now()
    state.budgets = turn.budgets
    state.entries, state.events = log.ends()


def _chat_of(
    name: str, output: object, while_busy: WhileBusy
) -> Handler[AgentActor[object, object], ..., object]:
    """Return the handler `chat` of a class, which answers with its type of output."""

    async def chat(
        self: AgentActor[object, object], text: str, attachments: list[Attachment] | None = None
    ) -> object:
        return await _talk(self, text, attachments)

    chat.__doc__ = AgentActor[object, object].chat.__doc__
    chat.__qualname__ = f"{name}.{_CHAT}"  # as messages about wrong arguments name it
    chat.__annotations__ = {
        "text": str,
        "attachments": list[Attachment] | None,
        "return": output,
    }
    return Handler(chat, while_busy=while_busy)


def _output_of(cls: type[AgentActor[DepsT, OutT]]) -> object:
    for kind in cls.__mro__:
        for base in vars(kind).get("__orig_bases__", ()):
            if get_origin(base) is AgentActor:
                found: object = get_args(base)[1]
                return found
    raise RegistrationError(
        f"{cls.__name__} must name its dependencies and its output: "
        f"class {cls.__name__}(AgentActor[None, str])"
    )


def _checked(cls: type[AgentActor[DepsT, OutT]], agent: object) -> AbstractAgent[object, object]:
    """Return the agent of a class; refuse what would fail with the first message."""
    if not _is_agent(agent) or not agent.name:
        raise RegistrationError(f"{cls.__name__}.agent is an agent of pydantic-ai with a name")
    if durability_of(agent) is None:
        raise RegistrationError(
            f"{cls.__name__}.agent must be durable: Agent(..., capabilities=[Durability()])"
        )
    if _CHAT in vars(cls):
        raise RegistrationError(
            f"{cls.__name__}.chat is made of the agent: give a handler of your own another name"
        )
    if not isinstance(cls.conversation, Conversation):
        raise RegistrationError(f"{cls.__name__}.conversation is a Conversation(...)")
    if cls.while_busy not in get_args(WhileBusy):
        raise RegistrationError(
            f"{cls.__name__}.while_busy is one of {get_args(WhileBusy)}, not {cls.while_busy!r}"
        )
    return agent


def _is_agent(agent: object) -> TypeGuard[AbstractAgent[object, object]]:
    return isinstance(agent, AbstractAgent)
