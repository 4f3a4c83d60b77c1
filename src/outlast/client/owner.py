"""The owner of a database, for an engine beside it that shares the database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path

import msgspec

from outlast import limits
from outlast._store.contract import Hint
from outlast._store.sqlite.shared import OwnerGone, OwnerLink
from outlast._store.transactions import CommitId, CommitResult, Transaction
from outlast._wire.handlers.sharing import MSGPACK, ChangedRuns, CommitBody, Outcome, OutcomeBody
from outlast.client.connection import Connections, Reply, ServerEvent
from outlast.client.refusals import error_of
from outlast.errors import CommitUnknown, StoreError, StoreUnavailable, WaitTimeout
from outlast.types import RunId

_OUTCOME_SECONDS = 1.0
_encode = msgspec.msgpack.Encoder().encode
_outcome = msgspec.msgpack.Decoder(Outcome).decode
_changed = msgspec.json.Decoder(ChangedRuns).decode


class Owner(OwnerLink):
    """The engine at the other end of the socket beside a database."""

    def __init__(
        self, connections: Connections, events: AsyncGenerator[Reply | ServerEvent, None]
    ) -> None:
        self._connections = connections
        self._quick = Connections(connections.url, "", timeout_seconds=_OUTCOME_SECONDS)
        self._events = events

    async def commit(self, commit_id: CommitId, batch: Sequence[Transaction]) -> list[CommitResult]:
        """Have a batch made durable; see `OwnerLink.commit`."""
        body = _encode(CommitBody(commit_id, list(batch)))
        made = await self._asked(self._connections, "/v1/share/commit", body)
        if made is None:
            raise CommitUnknown("the owner of the database says nothing of a commit")
        return made

    async def outcome_of(self, commit_id: CommitId) -> list[CommitResult] | None:
        """Return what became of this process's last commit; see `OwnerLink.outcome_of`."""
        body = _encode(OutcomeBody(commit_id))
        return await self._asked(self._quick, "/v1/share/outcome", body)

    async def _asked(
        self, connections: Connections, path: str, body: bytes
    ) -> list[CommitResult] | None:
        try:
            reply = await connections.post_once(path, body, MSGPACK)
        except StoreUnavailable as error:
            raise OwnerGone from error
        except WaitTimeout as error:
            raise CommitUnknown(
                f"the process that owns the database does not answer: it is stopped, or busy for "
                f"long ({error})"
            ) from error
        if reply.status >= 400:
            refusal = error_of(reply.status, reply.body)
            raise refusal if isinstance(refusal, StoreError) else StoreUnavailable(f"{refusal}")
        results = _outcome(reply.body).results
        return None if results is None else list(results)

    async def follow(self, hear: Hint) -> None:
        """Tell of the runs that the owner changes; returns when it is gone."""
        try:
            async for event in self._events:
                if isinstance(event, ServerEvent):
                    told = _changed(event.data)
                    hear([RunId(run) for run in told.runs])
                    if told.others:
                        hear(())
        except StoreUnavailable:
            pass  # it is gone: that is what was waited for

    async def close(self) -> None:
        """Hang up."""
        await self._events.aclose()
        self._connections.close()
        self._quick.close()


async def connect_owner(database: Path) -> Owner | None:
    """Return the engine that owns a database, None when none answers on the socket beside it."""
    connections = Connections(f"{database}", "", timeout_seconds=limits.SHARE_SILENCE_SECONDS)
    events = connections.events("/v1/share/changes", "")
    is_there = False
    try:
        async with asyncio.timeout(limits.SHARE_SILENCE_SECONDS):
            is_there = isinstance(await anext(events), ServerEvent)
    except (StoreUnavailable, TimeoutError, StopAsyncIteration):
        pass  # it is starting, or ending
    finally:
        if not is_there:
            await events.aclose()
            connections.close()
    return Owner(connections, events) if is_there else None
