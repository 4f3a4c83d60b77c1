"""Verbs that write: sent to the engine that owns the database, or committed by one of our own.

The engine that a command opens only commits; runs are left to an engine that has their code.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from outlast._engine.open_engine import CoreOptions
from outlast._engine.opening import Target
from outlast._engine.owner_client import OwnerClient
from outlast._registry import default_registry
from outlast.engine import Engine
from outlast.errors import EngineClosed, OutlastError, StoreLocked

T = TypeVar("T")

# An owner that is starting or draining holds the lock and does not answer, for a moment.
PAUSES = (0.05, 0.1, 0.2, 0.4, 0.8, 1.5, 2.0)
ONLY_COMMITS = CoreOptions(
    recover=False, executes=False, retention_seconds=None, owns_process=False
)


async def write(
    target: Target,
    *,
    ask: Callable[[OwnerClient], Awaitable[T]],
    commit: Callable[[Engine], Awaitable[T]],
) -> T:
    """Have the owner do it (`ask`), or do it with an engine that only commits (`commit`).

    Raises:
        StoreLocked: somebody holds the lock and does not listen.
    """
    trouble: OutlastError | None = None
    for pause in (*PAUSES, None):
        client = await OwnerClient.connect(Path(target.name))
        if client is not None:
            try:
                return await ask(client)
            except EngineClosed as error:
                trouble = error  # it drains: soon the lock is free
            finally:
                await client.close()
        else:
            try:
                async with Engine(target, ONLY_COMMITS, default_registry) as engine:
                    return await commit(engine)
            except StoreLocked as error:
                trouble = error
        if pause is not None:
            await asyncio.sleep(pause)
    raise trouble if trouble is not None else EngineClosed("the store's owner does not answer")
