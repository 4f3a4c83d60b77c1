"""Actors, teams and dead letters, over HTTP."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from typing import Generic, Literal, ParamSpec, TypeVar, overload

import msgspec
from typing_extensions import override

from outlast import limits
from outlast._actors.topic import Topic
from outlast._handles.actor_ref import Handler, handler_of
from outlast._messages.actor_ids import actor_id
from outlast._registry import ActorDefinition, default_registry
from outlast._wording.durations import seconds_of
from outlast._wording.names import check_name
from outlast.client.asking import Asking, query_of, quoted
from outlast.errors import UsageError
from outlast.types import (
    ActorInfo,
    DeadLetterInfo,
    Duration,
    ProviderInfo,
    TeamInfo,
    WhileBusy,
)

A = TypeVar("A")
P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

_ASK_SECONDS = 60.0


class ActorVerbs(Asking):
    """An engine's verbs for actors."""

    @overload
    def actor(self, kind: type[A], key: str) -> RemoteActor[A]: ...
    @overload
    def actor(self, kind: str, key: str) -> RemoteActor[object]: ...
    def actor(self, kind: type[A] | str, key: str) -> RemoteActor[A] | RemoteActor[object]:
        """Return the actor of a class, or of a type's name, under a key; looks nothing up.

        Raises:
            UnknownActor: the class is not declared with `@actor`.
        """
        definition = None if isinstance(kind, str) else default_registry.find_actor(kind)
        made: RemoteActor[A] = RemoteActor(self, _name_of(kind), key, definition)
        return made

    async def actors(
        self, kind: type[object] | str | None = None
    ) -> AsyncGenerator[ActorInfo, None]:
        """Iterate over actors that exist, newest first: of a class, of a type's name, or all."""
        name = "" if kind is None else _name_of(kind)
        async for info in self.items("/v1/actors", "actors", ActorInfo, type=name):
            yield info

    async def actor_info(self, kind: type[object] | str, key: str) -> ActorInfo:
        """Return what is known of one actor, by its class or by its type's name."""
        found = await self.ask("GET", f"/v1/actors/{quoted(_name_of(kind))}/{quoted(key)}")
        return msgspec.convert(found, ActorInfo)

    async def ask_actor(
        self,
        kind: str,
        key: str,
        handler: str,
        arguments: Mapping[str, object],
        *,
        mode: Literal["ask", "tell"] = "ask",
        timeout: Duration | None = None,
        dedup: str = "",
        while_busy: WhileBusy | None = None,
    ) -> object:
        """Return an actor's answer to a message as JSON data; None for what is only told.

        Without a timeout the server waits for a minute, and tells at once of a parked actor.
        """
        seconds = _ASK_SECONDS if timeout is None else seconds_of(timeout)
        given = {} if timeout is None else {"timeout": f"{seconds:g}"}
        query = query_of({"mode": mode, **given, "dedup": dedup, "while_busy": while_busy or ""})
        path = f"/v1/actors/{quoted(kind)}/{quoted(key)}/{quoted(handler)}?{query}"
        found = await self.ask("POST", path, dict(arguments), wait=seconds)
        return msgspec.convert(found, dict[str, object]).get("result")

    async def publish(self, topic: Topic[T] | str, value: T, *, dedup: str = "") -> None:
        """Publish a value to a topic: typed, or JSON by the topic's name.

        Raises:
            UnknownTopic: the server's code declares no topic of this name.
        """
        name: object = topic
        data: object = value
        if isinstance(topic, Topic):
            name, data = topic.name, topic.adapter.to_json(topic.adapter.roundtrip(value)[1])
        body = {"value": data, "dedup": dedup}
        await self.ask("POST", f"/v1/topics/{quoted(f'{name}')}", body)

    async def teams(self) -> AsyncGenerator[TeamInfo, None]:
        """Iterate over teams with their members."""
        found = msgspec.convert(await self.ask("GET", "/v1/teams"), dict[str, list[TeamInfo]])
        for team in found["teams"]:
            yield team

    async def providers(self) -> list[ProviderInfo]:
        """Return the limits of providers of models: what is used of them, and how many wait."""
        found = await self.ask("GET", "/v1/providers")
        return msgspec.convert(found, dict[str, list[ProviderInfo]])["providers"]

    async def dead_letters(self) -> AsyncGenerator[DeadLetterInfo, None]:
        """Iterate over dead letters, messages that could not be delivered, oldest first."""
        async for letter in self.items("/v1/dead-letters", "dead_letters", DeadLetterInfo):
            yield letter

    async def redrive(self, number: int) -> None:
        """Redeliver a dead letter."""
        await self.ask("POST", f"/v1/dead-letters/{number}/redrive")

    async def discard_dead_letter(self, number: int, *, reason: str = "") -> None:
        """Delete a dead letter. Its message cannot be redelivered afterwards.

        Raises:
            DeadLetterNotFound: there is no dead letter of this number.
        """
        await self.ask("POST", f"/v1/dead-letters/{number}/discard", {"reason": reason})


class RemoteActor(Generic[A]):
    """An actor on a server: the verbs of `ActorRef`."""

    __slots__ = ("_dedup", "_definition", "_key", "_kind", "_seconds", "_verbs", "_while_busy")

    def __init__(
        self, verbs: ActorVerbs, kind: str, key: str, definition: ActorDefinition | None
    ) -> None:
        self._verbs = verbs
        self._kind = check_name("the type of an actor", kind)
        self._key = check_name("an actor's key", key, limits.ID_CHARS_MAX)
        self._definition = definition
        self._seconds: float | None = None
        self._dedup = ""
        self._while_busy: WhileBusy | None = None

    @property
    def key(self) -> str:
        """The actor's key."""
        return self._key

    @property
    def id(self) -> str:
        """The actor's id: its type's name and its key."""
        return actor_id(self._kind, self._key)

    def options(
        self,
        *,
        timeout: Duration | None = None,
        dedup: str = "",
        while_busy: WhileBusy | None = None,
    ) -> RemoteActor[A]:
        """Return the same actor, written to in another way; see `ActorRef.options`."""
        made: RemoteActor[A] = RemoteActor(self._verbs, self._kind, self._key, self._definition)
        made._seconds = self._seconds if timeout is None else seconds_of(timeout)
        made._dedup = dedup
        made._while_busy = while_busy
        if made._seconds is not None and made._seconds <= 0:
            raise UsageError("timeout must be positive")
        return made

    @overload
    async def ask(self, handler: Handler[A, P, R], *args: P.args, **kwargs: P.kwargs) -> R: ...
    @overload
    async def ask(self, handler: str, **arguments: object) -> object: ...
    async def ask(self, handler: Handler[A, P, R] | str, *args: object, **kwargs: object) -> object:
        """Send a message and return its answer; by a handler's name, JSON data in and out.

        Raises:
            HandlerFailed, AskTimeout, ActorBusy, CallCycle, MailboxFull, ActorStopped: see
                `ActorRef.ask`.
        """
        answer = await self._write(handler, args, kwargs, "ask")
        if isinstance(handler, str) or self._definition is None:
            return answer
        return handler_of(self._definition, handler).signature.returns.from_json(answer)

    @overload
    async def tell(self, handler: Handler[A, P, R], *args: P.args, **kwargs: P.kwargs) -> None: ...
    @overload
    async def tell(self, handler: str, **arguments: object) -> None: ...
    async def tell(self, handler: Handler[A, P, R] | str, *args: object, **kwargs: object) -> None:
        """Send a message; returns when it is stored in the mailbox.

        Raises:
            MailboxFull, ActorStopped: nothing was sent.
        """
        await self._write(handler, args, kwargs, "tell")

    async def _write(
        self,
        handler: Handler[A, P, R] | str,
        args: tuple[object, ...],
        kwargs: Mapping[str, object],
        mode: Literal["ask", "tell"],
    ) -> object:
        name, data = self._message(handler, args, kwargs)
        return await self._verbs.ask_actor(
            self._kind,
            self._key,
            name,
            data,
            mode=mode,
            timeout=self._seconds,
            dedup=self._dedup,
            while_busy=self._while_busy,
        )

    def _message(
        self,
        handler: Handler[A, P, R] | str,
        args: tuple[object, ...],
        kwargs: Mapping[str, object],
    ) -> tuple[str, Mapping[str, object]]:
        if isinstance(handler, str):
            if args:
                raise UsageError("arguments to a handler's name are given by name: ask('add', x=1)")
            return handler, kwargs
        if self._definition is None:
            raise UsageError(
                f"{self._kind!r} was given by its name: give the class to `actor` to send "
                f"{handler!r}, or name the handler too"
            )
        signature = handler_of(self._definition, handler).signature
        return handler.__name__, signature.to_json(signature.encode(signature.bind(args, kwargs)))

    @override
    def __repr__(self) -> str:
        return f"RemoteActor({self.id!r})"


def _name_of(kind: type[object] | str) -> str:
    return kind if isinstance(kind, str) else default_registry.find_actor(kind).name
