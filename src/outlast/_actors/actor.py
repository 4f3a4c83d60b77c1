"""`Actor`, `@actor` and `@handler`: state of its own, one message at a time.

@actor
class Notebook(Actor[Notes]):
    @handler
    async def add(self, text: str) -> int:
        self.state.items.append(text)
        return len(self.state.items)
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Generator
from typing import (
    Concatenate,
    Generic,
    ParamSpec,
    Protocol,
    Self,
    TypeGuard,
    TypeVar,
    get_args,
    get_origin,
    overload,
)

from outlast import limits
from outlast._callables import check_function
from outlast._codec import SignatureCodec, adapter_for, check_types
from outlast._engine.actors.volatile import stop_running
from outlast._execution.run_context import ActorContext, context_here, in_run
from outlast._handles.actor_ref import ActorRef, Handler
from outlast._messages.system_messages import Watch
from outlast._registry import (
    ActorDefinition,
    HandlerDefinition,
    default_name,
    default_registry,
    given_name,
)
from outlast._wording.durations import seconds_of
from outlast._wording.names import check_name
from outlast._wording.source_lines import defining_locals
from outlast.errors import NotInRun, RegistrationError, UsageError
from outlast.types import Duration, Overflow, Reentrant, WhileBusy

_STOPPED = "stopped"  # the handler that hears of the end of those that are watched

S = TypeVar("S")
T = TypeVar("T")
A = TypeVar("A")
P = ParamSpec("P")
R = TypeVar("R")


class Actor(Generic[S]):
    """The base of actors: durable state of type S under a key, changed by messages.

    Guarantee: messages are handled one at a time, those of one sender in order. What a handler did
    to `state`, the message's end, and everything it sent are one commit; when it raises, nothing
    of it has happened.

    Attributes:
        state: what is kept.
        key: which actor this is.
        sender: the id of the run or actor that sent the message, empty when it came from outside.
    """

    state: S
    key: str = ""
    sender: str = ""

    @classmethod
    def initial(cls) -> S:
        """Return the state of an actor before its first message; by default the empty one."""
        return _state_type(cls)()  # type: ignore[return-value]  # the S of Actor[S]

    def stop(self) -> None:
        """Stop permanently when this message has ended; further messages are refused."""
        if not in_run() and stop_running():
            return
        running_actor().outbox.stop_reason = "it stopped itself"

    def watch(self, target: ActorRef[A]) -> Done:
        """Send a `Stopped` to this actor's handler `stopped` when another actor stops.

        It holds from the commit of this message on, over crashes, once; an actor that has stopped
        before is told of at once. Watching an actor again changes nothing. It may be awaited.

        Raises:
            UsageError: the class has no handler `stopped` of one argument.
            NotSupported: one of the two has durable=False.
        """
        actor = running_actor()
        told = actor.definition.handlers.get(_STOPPED)
        if told is None or not told.parameter:
            raise UsageError(
                f"{actor.definition.name} watches others and needs a handler for their end: "
                f"@handler async def {_STOPPED}(self, event: Stopped) -> None"
            )
        actor.outbox.watch(target.durable_id("watch"), Watch(told.name, told.parameter))
        return DONE

    def reminder(self, *, every: Duration, name: str = "") -> Reminding[Self]:
        """Return what sends this actor a message again and again: `.tell(Notebook.add, "x")`.

        The first comes `every` after this message, the next in that rhythm, over restarts; what
        came due while nothing ran comes once. Setting it again with the same message and rhythm
        changes nothing, with another replaces it. `name` tells several reminders apart; without
        it the handler's name does.
        """
        seconds = seconds_of(every)
        if seconds < limits.REMINDER_SECONDS_MIN:
            raise UsageError(f"a reminder comes every {limits.REMINDER_SECONDS_MIN:g} s at most")
        return Reminding(seconds, name and check_name("a reminder's name", name))

    def cancel_reminder(self, name: str) -> None:
        """Send no more messages of a reminder; one that is not set is no error."""
        running_actor().outbox.forget_reminder(name)


class Done:
    """What is done already: it may be awaited, and need not be."""

    def __await__(self) -> Generator[None, None, None]:
        """Return at once."""
        yield from ()


DONE = Done()


class Reminding(Generic[A]):
    """A reminder that is being set."""

    def __init__(self, seconds: float, name: str) -> None:
        self._seconds = seconds
        self._name = name

    def tell(self, handler: Handler[A, P, R], *args: P.args, **kwargs: P.kwargs) -> Done:
        """Set it, with the commit of the message that is handled. It may be awaited.

        Raises:
            UsageError: the arguments do not fit, or the handler is not this actor's.
        """
        actor = running_actor()
        found = actor.definition.handlers.get(handler.__name__)
        if found is None:
            raise UsageError(f"{actor.definition.name} has no handler {handler.__name__!r}")
        data = found.signature.encode(found.signature.bind(args, kwargs))
        every = int(self._seconds * 1e6)
        actor.outbox.remind(self._name or found.name, found.name, data, every)
        return DONE


def running_actor() -> ActorContext:
    """Return the actor whose handler is executing.

    Raises:
        NotInRun: none is.
    """
    run = context_here()
    found = None if run is None else run.actor
    if found is None:
        raise NotInRun("this works only in a handler of a durable actor, and not in reading ones")
    return found


class TopicLike(Protocol[T]):
    """A `Topic`, as far as a handler needs it."""

    name: str
    kind: type[T] | Callable[..., T]


class TopicHandlerDecorator(Protocol[T]):
    """What `@handler(topic=...)` gives: for a method of one argument, the topic's type."""

    def __call__(self, fn: Callable[[A, T], Awaitable[R]], /) -> Handler[A, [T], R]:
        """Return the handler."""
        ...


class HandlerDecorator(Protocol):
    """What `@handler(...)` with options gives."""

    def __call__(self, fn: Callable[Concatenate[A, P], Awaitable[R]], /) -> Handler[A, P, R]:
        """Return the handler."""
        ...


@overload
def handler(fn: Callable[Concatenate[A, P], Awaitable[R]], /) -> Handler[A, P, R]: ...
@overload
def handler(*, read: bool = False, while_busy: WhileBusy | None = None) -> HandlerDecorator: ...
@overload
def handler(*, topic: TopicLike[T]) -> TopicHandlerDecorator[T]: ...
def handler(
    fn: Callable[..., Awaitable[object]] | None = None,
    /,
    *,
    read: bool = False,
    topic: TopicLike[T] | None = None,
    while_busy: WhileBusy | None = None,
) -> object:
    """Declare a method that answers messages of its name.

    Args:
        read: it looks at a copy of the last committed state, beside whatever goes on, and may
            not change it.
        topic: it takes what is published there. An actor is subscribed from its first message on.
        while_busy: what becomes of its messages while the actor is in the midst of another one:
            None lets them wait their turn. "queue" does too, unless the sender says otherwise with
            `options(while_busy=)`. "steer" and "interrupt" handle them at once, on the same state,
            beside the handler that waits; what they do is committed with that message, and one that
            raises after it has waited keeps its changes. The two differ in what the handler makes
            of them. "reject" refuses them (`ActorBusy`).
    """

    def decorate(function: Callable[..., Awaitable[object]]) -> object:
        check_function("@handler", function, is_method=True)
        if not inspect.iscoroutinefunction(function):
            raise RegistrationError(f"@handler needs an `async def` method, got {function!r}")
        if while_busy is not None and (read or while_busy not in get_args(WhileBusy)):
            raise RegistrationError(
                f"while_busy is one of {get_args(WhileBusy)}, for a handler without read=True"
            )
        topic_name = "" if topic is None else topic.name
        return Handler(function, is_read=read, topic=topic_name, while_busy=while_busy)

    return decorate if fn is None else decorate(fn)


class ActorDecorator(Protocol):
    """What `@actor(...)` with options gives."""

    def __call__(self, cls: type[A], /) -> type[A]:
        """Return the class, registered."""
        ...


@overload
def actor(cls: type[A], /) -> type[A]: ...
@overload
def actor(
    *,
    mailbox: int = limits.ACTOR_MAILBOX,
    overflow: Overflow = "reject",
    idle: Duration = "10m",
    durable: bool = True,
    attempts: int = limits.ACTOR_ATTEMPTS,
    reentrant: Reentrant = "never",
    name: str | None = None,
) -> ActorDecorator: ...
def actor(
    cls: type[object] | None = None,
    /,
    *,
    mailbox: int = limits.ACTOR_MAILBOX,
    overflow: Overflow = "reject",
    idle: Duration = "10m",
    durable: bool = True,
    attempts: int = limits.ACTOR_ATTEMPTS,
    reentrant: Reentrant = "never",
    name: str | None = None,
) -> object:
    """Declare a class of actors.

    Args:
        mailbox: how many messages may wait for one actor.
        durable: False keeps state and mailbox in memory only, for the hot path: they are gone
            with the engine, arguments and answers are handed over uncopied, and a handler that
            raises leaves the state as it is then.
        overflow: what becomes of one more: "reject" it, "block" its sender until there is room,
            "drop_oldest" for it, or make it a "dead_letter".
        idle: an actor with nothing to do is a row in memory at most; after this time it is one
            in the store only, and its next message takes a reading more.
        attempts: how often a told message is tried before it becomes a dead letter.
        reentrant: what becomes of an ask that comes back, from an actor that this one has asked and
            waits for: "never" refuses it (`CallCycle`), "chain" handles it in the midst, as part of
            the message that waits. What it does to the state is committed with that.
        name: instead of `module.qualname`.

    Raises:
        RegistrationError: it cannot be declared like this.
    """
    if reentrant not in ("never", "chain") or (reentrant == "chain" and not durable):
        raise RegistrationError('reentrant is "never", or, for a durable actor, "chain"')
    if overflow not in ("reject", "block", "drop_oldest", "dead_letter"):
        raise RegistrationError(f"overflow={overflow!r} is no policy of a mailbox")
    if type(mailbox) is not int or mailbox < 1 or type(attempts) is not int or attempts < 1:
        raise RegistrationError("mailbox and attempts are whole numbers from 1")

    def decorate(kind: object) -> object:
        if not _is_actor_class(kind):
            raise RegistrationError(f"@actor needs a class of Actor[...], got {kind!r}")
        full_name = given_name("an actor's name", name) or default_name(kind)
        if "/" in full_name:
            raise RegistrationError(f"an actor's name cannot have a slash: {full_name!r}")
        handlers = _handlers_of(kind)
        comes_in = any(found.while_busy for found in handlers.values())
        definition = ActorDefinition(
            name=full_name,
            cls=kind,
            state=adapter_for(_state_type(kind)),
            initial=kind.initial,
            make=lambda state, key: _made(kind, state, key),
            enter=_enter,
            state_of=_state_of,
            restore=_restore,
            handlers=handlers,
            mailbox=mailbox,
            overflow=overflow,
            idle_seconds=seconds_of(idle),
            attempts=attempts,
            is_durable=durable,
            is_reentrant=reentrant == "chain",
            lets_in=reentrant == "chain" or comes_in,
        )
        default_registry.add_actor(definition)
        return kind

    return decorate if cls is None else decorate(cls)


def _state_type(kind: type[object]) -> Callable[[], object]:
    for cls in kind.__mro__:
        for base in vars(cls).get("__orig_bases__", ()):
            if get_origin(base) is Actor:
                found: Callable[[], object] = get_args(base)[0]
                return found
    raise RegistrationError(f"{kind.__name__} must name its state: class {kind.__name__}(Actor[T])")


def _handlers_of(kind: type[object]) -> dict[str, HandlerDefinition]:
    found: dict[str, HandlerDefinition] = {}
    for name in dir(kind):
        value: object = inspect.getattr_static(kind, name)
        if _is_handler(value):
            signature = SignatureCodec(
                value.fn,
                is_method=True,
                stores_defaults=True,
                localns=defining_locals(value.fn),
            )
            check_types(signature)
            parameter = next(iter(signature.signature.parameters), "")
            if value.topic and not parameter:
                raise RegistrationError(f"{kind.__name__}.{name} takes a topic, and no argument")
            found[name] = HandlerDefinition(
                name,
                value.fn,
                signature,
                value.is_read,
                value.topic,
                parameter,
                value.while_busy,
            )
    return found


def _is_handler(value: object) -> TypeGuard[Handler[object, ..., object]]:
    return isinstance(value, Handler)


def _is_actor(value: object) -> TypeGuard[Actor[object]]:
    return isinstance(value, Actor)


def _is_actor_class(kind: object) -> TypeGuard[type[Actor[object]]]:
    return isinstance(kind, type) and issubclass(kind, Actor)


def _made(kind: type[Actor[object]], state: object, key: str) -> object:
    made = kind()
    made.state = state
    made.key = key
    return made


def _enter(instance: object, sender: str) -> None:
    if _is_actor(instance):
        instance.sender = sender


def _restore(instance: object, state: object) -> None:
    if _is_actor(instance):
        instance.state = state


def _state_of(instance: object) -> object:
    return instance.state if _is_actor(instance) else None
