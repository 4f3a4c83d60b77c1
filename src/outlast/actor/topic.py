"""`Topic`: durable publish and subscribe between actors.

A topic is itself an actor that keeps who has subscribed. Publishing is a message to it, in the
publisher's commit; what it hands on is one commit of its own. So each subscriber gets each
publication once, and those of one publisher in order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import msgspec

from outlast._codec import Adapter, adapter_for
from outlast._execution.bonds import Watch
from outlast._execution.letters import TOPICS, Letter, encode_letter
from outlast._execution.starting import check_name
from outlast._registry import default_registry
from outlast._store.contract import Message
from outlast.actor.actor import Actor, actor, handler, running_actor
from outlast.errors import UsageError
from outlast.ref import ActorRef, Handler
from outlast.types import RunId, Stopped

T = TypeVar("T")
A = TypeVar("A")
R = TypeVar("R")


@dataclass
class Subscriptions:
    """Who is subscribed: `actor id` to the pairs (handler, name of its parameter)."""

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
            running_actor().wishes.watch(subscriber, Watch("stopped", "event"))

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
        """Send a value to all who are subscribed, with the commit of this message."""
        run = running_actor()
        for subscriber, pairs in self.state.by_actor.items():
            for message, parameter in pairs:
                # The value goes on as it was encoded: a topic needs no code of its subscribers.
                args = msgspec.msgpack.encode({parameter: msgspec.Raw(data)})
                letter = Letter(args=args, sender=self.sender)
                run.wishes.send(
                    Message(
                        run=RunId(subscriber),
                        kind="tell",
                        name=message,
                        body=encode_letter(letter),
                        at=run.journal.last_at,
                    )
                )


class Topic(Generic[T]):
    """What is published under a name, by type. Declare it once, at module level."""

    def __init__(self, name: str, kind: type[T] | Callable[..., T]) -> None:
        self.name: str = check_name("a topic's name", name)
        self.kind = kind
        self.adapter: Adapter = adapter_for(kind)

    async def publish(self, value: T) -> None:
        """Publish a value: in a handler with the commit of its message, else at once and safely.

        Works in handlers, workflows and steps. Every actor that is subscribed by then gets it
        once; what one publisher publishes arrives in order.

        Raises:
            EncodingError: the value is not of the topic's type.
        """
        await self._actor().tell(TopicActor.publish, self.adapter.encode(value))

    async def subscribe(self, subscriber: ActorRef[A], handler: Handler[A, [T], R]) -> None:
        """Let an actor's handler have what is published from now on, until the actor stops.

        `@handler(topic=...)` does that for a whole class. Subscribing again changes nothing.

        Raises:
            UsageError: the handler does not take one argument.
            NotSupported: the actor has durable=False.
        """
        parameter = subscriber.parameter_of(handler)
        if not parameter:
            raise UsageError(f"{handler!r} takes a topic's publications, and so one argument")
        target = subscriber.durable_id("subscription")
        await self._actor().tell(TopicActor.subscribe, target, handler.__name__, parameter)

    async def unsubscribe(self, subscriber: ActorRef[A]) -> None:
        """Let an actor get nothing more; what was published before still comes."""
        await self._actor().tell(TopicActor.unsubscribe, subscriber.id)

    def _actor(self) -> ActorRef[TopicActor]:
        return ActorRef(default_registry.find_actor(TopicActor), self.name, None)

    def __repr__(self) -> str:
        return f"Topic({self.name!r})"
