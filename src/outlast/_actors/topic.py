"""`Topic`: durable publish and subscribe between actors.

A topic is itself an actor that keeps who has subscribed. Publishing is a message to it, in the
publisher's commit; what it hands on is one commit of its own. So each subscriber gets each
publication once, and those of one publisher in order.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, field
from typing import Generic, Self, TypeVar

import msgspec

from outlast._actors.actor import Actor, actor, handler, running_actor
from outlast._codec import Adapter, adapter_for
from outlast._engine.open_engine import EngineCore, ambient_core
from outlast._execution.run_context import in_run
from outlast._handles.actor_ref import ActorRef, Handler
from outlast._messages.actor_ids import TOPICS
from outlast._messages.system_messages import Watch
from outlast._registry import NameDefinition, default_registry
from outlast._wording.names import check_name
from outlast.errors import NotInRun, UsageError
from outlast.types import Stopped

T = TypeVar("T")
A = TypeVar("A")
R = TypeVar("R")


@dataclass
class Subscriptions:
    """The subscribers: `actor id` to the pairs (handler, name of its parameter)."""

    by_actor: dict[str, list[tuple[str, str]]] = field(
        default_factory=dict[str, list[tuple[str, str]]]
    )


@actor(name=TOPICS, mailbox=1_000_000)
class TopicActor(Actor[Subscriptions]):
    """One topic: hands on what is published."""

    @handler
    async def subscribe(self, subscriber: str, message: str, parameter: str) -> None:
        """Add a subscription, until its actor stops; adding it again changes nothing."""
        pairs = self.state.by_actor.setdefault(subscriber, [])
        if (message, parameter) not in pairs:
            pairs.append((message, parameter))
            running_actor().outbox.watch(subscriber, Watch("stopped", "event"))

    @handler
    async def stopped(self, event: Stopped) -> None:
        """Forget a subscriber that takes nothing any more."""
        self.state.by_actor.pop(event.actor, None)

    @handler
    async def unsubscribe(self, subscriber: str) -> None:
        """Forget a subscriber."""
        self.state.by_actor.pop(subscriber, None)

    @handler
    async def publish(self, data: bytes) -> None:
        """Publish a value with the commit of this message."""
        topic = running_actor()
        for subscriber, pairs in self.state.by_actor.items():
            for message, parameter in pairs:
                # The value goes on as it was encoded: a topic needs no code of its subscribers.
                args = msgspec.msgpack.encode({parameter: msgspec.Raw(data)})
                topic.forward(subscriber, message, args, sender=self.sender)


class Topic(Generic[T]):
    """What is published under a name, by type. Declare it once, at module level."""

    def __init__(self, name: str, kind: type[T] | Callable[..., T]) -> None:
        self.name: str = check_name("a topic's name", name)
        self.kind = kind
        self.adapter: Adapter = adapter_for(kind)
        self._core: EngineCore | None = None
        default_registry.add_name(default_registry.topics, NameDefinition(name, self.adapter))

    def through(self, core: EngineCore) -> Self:
        """Return this topic for a program that has an engine (used by `engine.publish`)."""
        made = copy(self)
        made._core = core
        return made

    async def publish(self, value: T, *, dedup: str = "") -> None:
        """Publish a value: in a handler with the commit of its message, else at once and safely.

        Works in handlers, workflows and steps; a program uses `engine.publish(topic, value)`. Every
        actor that is subscribed by then gets it once; what one publisher publishes arrives in
        order. With `dedup`, publishing again under the same key changes nothing.

        Raises:
            NotInRun: neither a handler, nor a workflow, nor a step is executing.
            EncodingError: the value is not of the topic's type.
        """
        actor = self._actor("publish(topic, value)").options(dedup=dedup)
        await actor.tell(TopicActor.publish, self.adapter.encode(value))

    async def subscribe(self, subscriber: ActorRef[A], handler: Handler[A, [T], R]) -> None:
        """Subscribe an actor's handler to what is published from now on, until the actor stops.

        `@handler(topic=...)` does that for a whole class. Subscribing again changes nothing. A
        program uses `engine.subscribe(topic, ref, handler)`.

        Raises:
            NotInRun: neither a handler, nor a workflow, nor a step is executing.
            UsageError: the handler does not take one argument.
            NotSupported: the actor has durable=False.
        """
        parameter = subscriber.parameter_of(handler)
        if not parameter:
            raise UsageError(f"{handler!r} takes a topic's publications, and so one argument")
        target = subscriber.durable_id("subscription")
        actor = self._actor("subscribe(topic, ref, handler)")
        await actor.tell(TopicActor.subscribe, target, handler.__name__, parameter)

    async def unsubscribe(self, subscriber: ActorRef[A]) -> None:
        """Unsubscribe an actor; what was published before is still delivered.

        A program uses `engine.unsubscribe(topic, ref)`.
        """
        actor = self._actor("unsubscribe(topic, ref)")
        await actor.tell(TopicActor.unsubscribe, subscriber.id)

    def _actor(self, verb: str) -> ActorRef[TopicActor]:
        if self._core is None and not in_run() and ambient_core.get() is None:
            name = verb.partition("(")[0]
            raise NotInRun(
                f"{self!r}.{name}() works in handlers, workflows and steps, and none is executing "
                f"here: in a program use `await engine.{verb}`"
            )
        return ActorRef(default_registry.find_actor(TopicActor), self.name, self._core)

    def __repr__(self) -> str:
        return f"Topic({self.name!r})"
