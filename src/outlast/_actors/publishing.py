"""The engine's verbs for topics: what a program publishes, and whom it subscribes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TypeVar

from outlast._actors.topic import Topic
from outlast._engine.open_engine import EngineCore
from outlast._handles.actor_ref import ActorRef, Handler

T = TypeVar("T")
A = TypeVar("A")
R = TypeVar("R")


class TopicVerbs(ABC):
    """What an open engine does with topics."""

    @property
    @abstractmethod
    def _core(self) -> EngineCore:
        """The engine; StoreReadOnly when the store is open for reading only."""

    async def publish(self, topic: Topic[T], value: T, *, dedup: str = "") -> None:
        """Publish a value; returns when it is safe. Every actor subscribed by then gets it once.

        Publications of one program arrive in the order in which `publish` returned. With `dedup`,
        publishing again under the same key changes nothing.

        Raises:
            EncodingError: the value is not of the topic's type; nothing was published.
            SignalConflict: the dedup key was used with another value.
        """
        await topic.through(self._core).publish(value, dedup=dedup)

    async def subscribe(
        self, topic: Topic[T], subscriber: ActorRef[A], handler: Handler[A, [T], R]
    ) -> None:
        """Let an actor's handler take what is published from now on; see `Topic.subscribe`."""
        await topic.through(self._core).subscribe(subscriber, handler)

    async def unsubscribe(self, topic: Topic[T], subscriber: ActorRef[A]) -> None:
        """Unsubscribe an actor; what was published before is still delivered."""
        await topic.through(self._core).unsubscribe(subscriber)
