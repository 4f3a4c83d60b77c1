"""Who is talked to: an agent of this process, or one that a server or another process has."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Protocol
from uuid import uuid4

import msgspec

from outlast import limits
from outlast._engine.opening import Target
from outlast._messages.envelopes import envelope_of
from outlast._registry import default_registry
from outlast.cli.loading import load_program, options_of
from outlast.cli.places import Place, Server
from outlast.cli.transport import Verbs, client_of
from outlast.client import Client
from outlast.client.asking import Patience
from outlast.client.local import owner_of
from outlast.engine import Engine
from outlast.errors import AskTimeout, EngineClosed, StoreUnavailable, UnknownActor, UsageError
from outlast.types import WhileBusy

_HANDLERS = frozenset(("chat", "interrupt", "about"))


class Talk(Protocol):
    """A conversation with one agent."""

    verbs: Verbs
    actor: str
    """The id of the agent's actor."""

    async def say(self, text: str, while_busy: WhileBusy | None = None) -> object:
        """Say something; return the answer as JSON data."""
        ...

    async def interrupt(self) -> None:
        """End the turn that runs."""
        ...

    async def look(self) -> Ends:
        """Return where the streams of the conversation end, as of the last turn that ended."""
        ...


class Ends(msgspec.Struct, frozen=True):
    """The next offsets of the streams `conversation` and `agent_events`."""

    entries: int = 0
    events: int = 0


class _Here:
    """An agent whose code this process executes."""

    def __init__(self, engine: Engine, kind: str, key: str) -> None:
        self.verbs: Verbs = engine
        self._actors = engine._core.actors
        self._kind = kind
        self._key = key
        self.actor = f"{kind}/{key}"

    async def say(self, text: str, while_busy: WhileBusy | None = None) -> object:
        return await self._ask("chat", {"text": text}, while_busy)

    async def interrupt(self) -> None:
        await self._ask("interrupt", {}, None)

    async def look(self) -> Ends:
        return msgspec.convert(await self._ask("about", {}, None), Ends)

    async def _ask(
        self, handler: str, arguments: dict[str, object], while_busy: WhileBusy | None
    ) -> object:
        envelope = envelope_of(
            default_registry,
            self._kind,
            self._key,
            handler,
            arguments,
            timeout=None,
            while_busy=while_busy,
        )
        returns = envelope.handler.signature.returns
        return returns.to_json(returns.decode(await self._actors.ask(envelope)))


class _There:
    """An agent whose code another process executes."""

    def __init__(self, client: Client, kind: str, key: str) -> None:
        self.verbs: Verbs = client
        self._client = client
        self._kind = kind
        self._key = key
        self._has_answered = False  # a server that never did is not waited for
        self.actor = ""

    async def say(self, text: str, while_busy: WhileBusy | None = None) -> object:
        return await self._ask("chat", {"text": text}, while_busy)

    async def interrupt(self) -> None:
        await self._ask("interrupt", {}, None)

    async def look(self) -> Ends:
        state = await self._ask("about", {}, None)
        if not self.actor:
            self.actor = (await self._client.actor_info(self._kind, self._key)).id
        return msgspec.convert(state, Ends)

    async def _ask(
        self, handler: str, arguments: dict[str, object], while_busy: WhileBusy | None
    ) -> object:
        """Ask once, however often that is sent: over a restart of the server too."""
        dedup, patience = f"{uuid4()}", Patience()
        while True:
            try:
                found = await self._client.ask_actor(
                    self._kind,
                    self._key,
                    handler,
                    arguments,
                    timeout=limits.HTTP_WAIT_SECONDS_MAX,
                    dedup=dedup,
                    while_busy=while_busy,
                )
            except AskTimeout:
                patience.renew()  # a turn may take longer than a request may wait
            except (StoreUnavailable, EngineClosed) as error:
                if not self._has_answered:
                    raise
                await patience.wait(error)
            else:
                self._has_answered = True
                return found


def talk_with(place: Place, app_and_name: str, key: str) -> AbstractAsyncContextManager[Talk]:
    """Return a conversation with the agent that `APP:NAME` or, at a server, `NAME` names.

    Raises:
        UsageError: no APP is given, and no server or process has its code.
        UnknownActor: there is no such agent.
    """
    return _talk_with(place, app_and_name, key)


@asynccontextmanager
async def _talk_with(place: Place, app_and_name: str, key: str) -> AsyncGenerator[Talk]:
    app, _, name = app_and_name.rpartition(":")
    if isinstance(place, Server):
        async with client_of(place) as client:
            yield await _looked(_There(client, name, key))
        return
    owner = await owner_of(Path(place.name))
    if owner is not None:
        async with owner.client as client:
            yield await _looked(_There(client, name, key))
        return
    if not app:
        raise UsageError(
            f"no engine runs on {place.name}: write APP:NAME, for example app.py:{name}, so that "
            "this command runs the agent itself"
        )
    async with _engine_of(place, app) as engine:
        yield await _looked(_Here(engine, _agent_named(app, name), key))


def _engine_of(place: Target, app: str) -> Engine:
    load_program(app)
    return Engine(place, options_of(app), default_registry)


def _agent_named(app: str, name: str) -> str:
    """Return the full name of an agent that is registered here."""
    agents = sorted(n for n, d in default_registry.actors.items() if d.handlers.keys() >= _HANDLERS)
    found = [full for full in agents if full == name or full.endswith(f".{name}")]
    if len(found) == 1:
        return found[0]
    if found:
        raise UnknownActor(f"{name!r} fits several agents of {app}: {', '.join(found)}")
    known = ", ".join(agents) or "none: declare a class of AgentActor"
    raise UnknownActor(f"{app} has no agent {name!r}; its agents: {known}")


async def _looked(talk: _Here | _There) -> Talk:
    """Have the agent's actor be there, so that its streams can be followed."""
    await talk.look()
    return talk
