"""Verbs that write: sent to the engine that owns the database, or committed by one of our own.

The engine that a command opens only commits; runs are left to an engine that has their code.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import click

from outlast._engine.open_engine import CoreOptions
from outlast._registry import default_registry
from outlast._store.auditing import Acting, acting_as
from outlast._wire.unixsocket import user_name
from outlast.cli.places import Place, Server
from outlast.client import Client
from outlast.client.local import owner_of
from outlast.engine import Engine
from outlast.errors import EngineClosed, OutlastError, StoreLocked, StoreUnavailable
from outlast.types import RunId

T = TypeVar("T")
Verbs = Engine | Client
"""What has the verbs: an engine here, or a server's."""

# An owner that is starting or draining holds the lock and does not answer, for a moment.
PAUSES = (0.05, 0.1, 0.2, 0.4, 0.8, 1.5, 2.0)
ONLY_COMMITS = CoreOptions(
    recover=False, executes=False, retention_seconds=None, owns_process=False
)


def client_of(server: Server) -> Client:
    """Return what speaks to a server."""
    return Client(server.url, token=server.token, ca_file=server.ca_file)


@dataclass(frozen=True, slots=True)
class Written(Generic[T]):
    """What came of a verb, and whether an engine is there that acts on it now."""

    value: T
    acts_now: bool


async def write(place: Place, commit: Callable[[Verbs], Awaitable[T]]) -> Written[T]:
    """Have the store's owner do it, or a server, or an engine that only commits.

    Raises:
        StoreLocked: something holds the lock and does not listen.
    """
    if isinstance(place, Server):
        async with client_of(place) as server:
            return Written(await commit(server), acts_now=True)
    trouble: OutlastError | None = None
    for pause in (*PAUSES, None):
        owner = await owner_of(Path(place.name))
        if owner is not None:
            try:
                async with owner.client as client:
                    return Written(await commit(client), acts_now=True)
            except EngineClosed as error:
                trouble = error  # it drains: soon the lock is free
        else:
            try:
                async with Engine(place, ONLY_COMMITS, default_registry) as engine:
                    with acting_as(_user()):
                        return Written(await commit(engine), acts_now=False)
            except StoreLocked as error:
                trouble = error
        if pause is not None:
            await asyncio.sleep(pause)
    raise trouble if trouble is not None else EngineClosed("the database's owner does not answer")


def _user() -> Acting:
    """Return who is at the keyboard, and what they have the running command do."""
    context = click.get_current_context(silent=True)
    params = {} if context is None else context.params
    named = [params[name] for name in ("run_id", "token_id", "number", "key") if name in params]
    who = Acting(
        caller=user_name(os.geteuid()),
        role="admin",
        via="command",
        verb="" if context is None else f"{context.info_name}",
        target=" ".join(f"{part}" for part in named),
        run=RunId(""),
        is_traffic=False,
    )
    reason: object = params.get("reason", "")
    who.reason = reason if isinstance(reason, str) else ""
    return who


async def ask_engine(place: Place, ask: Callable[[Client], Awaitable[T]], otherwise: str) -> T:
    """Ask the engine that executes runs, here or at a server: only it has the code.

    Raises:
        StoreUnavailable: there is none; `otherwise` says what it was needed for.
    """
    if isinstance(place, Server):
        async with client_of(place) as server:
            return await ask(server)
    owner = await owner_of(Path(place.name))
    if owner is None:
        raise StoreUnavailable(
            f"no engine is running on {place.name}, and {otherwise}, then try again"
        )
    async with owner.client as client:
        return await ask(client)
