"""`ActorRef`: how others speak to an actor, the same outside, in workflows and in other actors.

count = await engine.actor(Notebook, "alice").ask(Notebook.add, "hello")
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Concatenate, Generic, ParamSpec, TypeVar, get_args, overload

from outlast import limits
from outlast._codec import register_reference
from outlast._engine.open_engine import EngineCore
from outlast._engine.remote import ASK_STEP, TELL_STEP, ambient
from outlast._execution.bodies.context import step_dedup
from outlast._execution.run_context import context_here, current_context, in_run
from outlast._handles.declarations import Stream
from outlast._handles.streams import stream_events
from outlast._messages.actor_ids import actor_id
from outlast._messages.envelopes import Envelope, policy_of, write_envelope
from outlast._messages.letters import callers_in
from outlast._registry import ActorDefinition, HandlerDefinition, default_registry
from outlast._wording.durations import seconds_of
from outlast._wording.names import check_name
from outlast.errors import CallCycle, NotInRun, NotSupported, UnknownActor, UsageError
from outlast.types import Duration, RunId, StreamEvent, WhileBusy

A = TypeVar("A")
A_contra = TypeVar("A_contra", contravariant=True)
P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
T = TypeVar("T")


class Handler(Generic[A_contra, P, R_co]):
    """A method of an actor that answers messages. On the class it names the message; on an
    instance it is the method itself.
    """

    def __init__(
        self,
        fn: Callable[Concatenate[A_contra, P], Awaitable[R_co]],
        *,
        is_read: bool = False,
        topic: str = "",
        while_busy: WhileBusy | None = None,
    ) -> None:
        self.fn = fn
        self.while_busy: WhileBusy | None = while_busy
        self.topic = topic
        self.is_read = is_read
        self.__name__: str = getattr(fn, "__name__", "handler")
        self.__doc__ = fn.__doc__

    @overload
    def __get__(self, instance: None, owner: type[object]) -> Handler[A_contra, P, R_co]: ...
    @overload
    def __get__(
        self,
        instance: A_contra,
        owner: type[object],
    ) -> Callable[P, Awaitable[R_co]]: ...
    def __get__(self, instance: A_contra | None, owner: type[object]) -> object:
        if instance is None:
            return self
        return self.fn.__get__(instance, owner)

    def __repr__(self) -> str:
        return f"<handler {self.__name__}>"


@dataclass(frozen=True, slots=True)
class _Options:
    timeout: float | None = None
    priority: int = 0
    delay: float = 0.0
    dedup: str = ""
    while_busy: WhileBusy | None = None


class ActorRef(Generic[A]):
    """An actor by its class and key. Making one looks nothing up and creates nothing."""

    __slots__ = ("_core", "_definition", "_key", "_options")

    def __init__(
        self,
        definition: ActorDefinition,
        key: str,
        core: EngineCore | None,
        options: _Options | None = None,
    ) -> None:
        self._definition = definition
        self._key = check_name("an actor's key", key, limits.ID_CHARS_MAX - len(definition.name))
        self._core = core
        self._options = options or _Options()

    @property
    def key(self) -> str:
        """The actor's key."""
        return self._key

    @property
    def id(self) -> str:
        """The actor's id: its type's name and its key."""
        return actor_id(self._definition.name, self._key)

    def durable_id(self, verb: str) -> RunId:
        """Return the id of an actor for what only durable ones can do.

        Raises:
            NotSupported: it is in memory only.
        """
        if not self._definition.is_durable:
            raise NotSupported(f"{verb} of an actor with durable=False")
        return actor_id(self._definition.name, self._key)

    def parameter_of(self, handler: Handler[A, P, R]) -> str:
        """Return the name of a handler's first parameter, empty when it takes none."""
        return self._handler(handler).parameter

    def options(
        self,
        *,
        timeout: Duration | None = None,
        priority: int = 0,
        delay: Duration | None = None,
        dedup: str = "",
        while_busy: WhileBusy | None = None,
    ) -> ActorRef[A]:
        """Return the same actor, written to in another way.

        Args:
            timeout: of an ask; the receiver does not begin what is later than that.
            priority: higher ones are handled first; messages of one priority keep their order.
            delay: handled no earlier.
            dedup: sending again under it changes nothing, and asking gives the first answer.
            while_busy: what becomes of a message that comes while the actor is in the midst of
                another one, for handlers declared with `@handler(while_busy=...)`.
        """
        if type(priority) is not int:
            raise UsageError(f"priority must be a whole number, not {priority!r}")
        if abs(priority) > limits.PRIORITY_MAX:
            raise UsageError(f"priority is at most {limits.PRIORITY_MAX:,} either way")
        if not self._definition.is_durable and (priority or delay is not None or dedup):
            raise NotSupported("priority, delay and dedup of an actor with durable=False")
        if timeout is not None and seconds_of(timeout) <= 0:
            raise UsageError("timeout must be positive")
        if delay is not None and seconds_of(delay) < 0:
            raise UsageError("delay must not be negative")
        if dedup:
            check_name("a dedup key", dedup)
        if while_busy is not None and while_busy not in get_args(WhileBusy):
            raise UsageError(f"while_busy is one of {get_args(WhileBusy)}, not {while_busy!r}")
        seconds = None if timeout is None else seconds_of(timeout)
        options = _Options(
            seconds,
            priority,
            0.0 if delay is None else seconds_of(delay),
            dedup,
            while_busy,
        )
        return ActorRef(self._definition, self._key, self._core, options)

    async def ask(self, handler: Handler[A, P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Send a message and return its answer.

        Raises:
            HandlerFailed: the handler raised; the actor's state is as before.
            ActorBusy: it is in the midst of another message, and this one was not to wait.
            AskTimeout: no answer within `options(timeout=)`; it may still be handled.
            CallCycle: the actor waits for the one that asks.
            MailboxFull: nothing was sent; or, with `is_dead_letter`, the message is a dead letter.
            ActorStopped: nothing was sent.
        """
        if not self._definition.is_durable and not in_run():
            return _answer(handler, await self._ask_volatile(handler, args, kwargs))
        envelope, found = self._envelope(handler, args, dict(kwargs))
        if not in_run():
            data = await self._engine().actors.ask(envelope)
        else:
            run = current_context()
            actor = run.actor
            chain = () if actor is None else actor.chain
            callers = callers_in(chain)
            may_come_back = self._definition.is_reentrant or found.is_read
            if envelope.actor in callers and not may_come_back:
                raise CallCycle(callers, envelope.actor)
            asked = (write_envelope(replace(envelope, chain=chain)),)
            answer = await run.step(ASK_STEP, asked)
            given = answer if isinstance(answer, bytes) else b""
            what = f"the answer of {self.id} to {found.name!r}"
            returns = found.signature.returns
            return _answer(handler, await run.read(what, lambda: returns.decode(given)))
        return _answer(handler, found.signature.returns.decode(data))

    async def tell(self, handler: Handler[A, P, R], *args: P.args, **kwargs: P.kwargs) -> None:
        """Send a message; returns when it is stored in the mailbox.

        In a handler it is sent with the commit that ends the message.

        Raises:
            MailboxFull, ActorStopped: nothing was sent.
        """
        if not self._definition.is_durable and not in_run():
            taken = self._handler(handler)
            bound = taken.signature.bind(args, kwargs)
            volatile = self._engine().volatile
            await volatile.tell(self._definition, self._key, taken, bound.args, bound.kwargs)
            return
        envelope, _ = self._envelope(handler, args, dict(kwargs))
        if not in_run():
            await self._engine().actors.tell(envelope)
            return
        run = current_context()
        actor = run.actor
        if actor is not None and self._definition.is_durable:
            actor.tell(envelope)
            return
        told = (write_envelope(envelope),)
        await run.step(TELL_STEP, told)

    @overload
    def stream(self, name: Stream[T], offset: int = 0) -> AsyncIterator[StreamEvent[T]]: ...
    @overload
    def stream(self, name: str, offset: int = 0) -> AsyncIterator[StreamEvent[object]]: ...
    async def stream(
        self, name: Stream[T] | str, offset: int = 0
    ) -> AsyncIterator[StreamEvent[T] | StreamEvent[object]]:
        """Iterate over a stream of the actor from `offset`, live, until the actor has stopped.

        Its offsets go on from message to message. What a message has written counts when its
        handler ends well: a `retract` event takes back what one has written that failed.

        Raises:
            RunNotFound: the actor has never got a message.
            NotSupported: it has durable=False.
        """
        if in_run():
            raise NotInRun("ActorRef.stream cannot be used in workflow code: call it in a step")
        actor = self.durable_id("stream")
        async for event in stream_events(self._engine().reader, actor, name, offset):
            yield event

    async def _ask_volatile(
        self, handler: Handler[A, P, R], args: tuple[object, ...], kwargs: Mapping[str, object]
    ) -> object:
        taken = self._handler(handler)
        bound = taken.signature.bind(args, kwargs)
        return await self._engine().volatile.ask(
            self._definition,
            self._key,
            taken,
            bound.args,
            bound.kwargs,
            timeout=self._options.timeout,
        )

    def _handler(self, handler: Handler[A, P, R]) -> HandlerDefinition:
        return handler_of(self._definition, handler)

    def _engine(self) -> EngineCore:
        core = self._core if self._core is not None else ambient()
        core.check()
        return core

    def _envelope(
        self, handler: Handler[A, P, R], args: tuple[object, ...], kwargs: dict[str, object]
    ) -> tuple[Envelope, HandlerDefinition]:
        found = self._handler(handler)
        run = context_here()
        actor = None if run is None else run.actor
        envelope = Envelope(
            self._definition,
            self._key,
            found,
            found.signature.encode(found.signature.bind(args, kwargs)),
            sender=run.id if run is not None else "",
            priority=self._options.priority,
            delay=self._options.delay,
            timeout=self._options.timeout,
            dedup=self._options.dedup or (step_dedup() or "" if run is None else ""),
            trace="" if actor is None else actor.trace,
            while_busy=policy_of(self._definition, found, self._options.while_busy),
        )
        return envelope, found

    def __repr__(self) -> str:
        return f"ActorRef({self.id!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ActorRef) and other.id == self.id

    def __hash__(self) -> int:
        return hash(self.id)


def handler_of(definition: ActorDefinition, handler: Handler[A, P, R]) -> HandlerDefinition:
    """Return what is declared of a handler that a message to an actor is named by.

    Raises:
        UsageError: it is none; UnknownActor: the actor's class has another one.
    """
    if not isinstance(handler, Handler):
        raise UsageError(f"a message is named by a handler, as Notebook.add, not by {handler!r}")
    found = definition.handlers.get(handler.__name__)
    if found is not None and found.fn is handler.fn:
        return found
    classes = definition.cls.__mro__
    if found is None or all(vars(c).get(handler.__name__) is not handler for c in classes):
        raise UnknownActor(f"{definition.name} has no handler {handler!r} of this class")
    return found


def _answer(_: Handler[A, P, R], value: object) -> R:
    return value  # type: ignore[return-value]  # decoded by the handler's declared result


def _to_data(ref: object) -> object:
    if not isinstance(ref, ActorRef):
        raise TypeError(f"{ref!r} is no ActorRef")
    return str(ref.id)


def _from_data(data: object) -> object:
    if not isinstance(data, str):
        raise TypeError("expected the id of an actor")
    name, _, key = data.partition("/")
    made: ActorRef[object] = ActorRef(default_registry.actors[name], key, None)
    return made


register_reference(ActorRef, _to_data, _from_data)
