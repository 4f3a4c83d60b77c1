"""What the owner of a database does for the processes that share it, on the Unix socket alone.

Their bodies are msgpack: what is committed is what the tables hold.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import msgspec
from starlette.responses import Response

from outlast._engine.verbs.sharing import Changes, Sharing
from outlast._store.transactions import CommitId, CommitResult, Receipt, Transaction
from outlast._wire.formats.problems import Problem
from outlast._wire.live.eventstream import EventStream, event
from outlast._wire.requests import Call
from outlast._wire.service import Service

MSGPACK = "application/msgpack"
_json = msgspec.json.Encoder().encode
_encode = msgspec.msgpack.Encoder().encode


class CommitBody(msgspec.Struct, frozen=True):
    """A batch of another process, and the id under which it may be sent again."""

    id: CommitId
    batch: list[Transaction]


class OutcomeBody(msgspec.Struct, frozen=True):
    """Which commit is asked for."""

    id: CommitId


class Outcome(msgspec.Struct, frozen=True):
    """What became of a commit; None when it was not made."""

    results: list[Receipt] | None


class ChangedRuns(msgspec.Struct, frozen=True):
    """Runs that have changed, and whether others have that are not named."""

    runs: list[str] = []
    others: bool = False


_commit_body = msgspec.msgpack.Decoder(CommitBody).decode
_outcome_body = msgspec.msgpack.Decoder(OutcomeBody).decode


async def commit(service: Service, call: Call) -> Response:
    """Commit a batch, once per id."""
    try:
        body = _commit_body(call.body)
    except msgspec.MsgspecError as error:
        raise _not_ours(error) from None
    results = await service.sharing.commit(body.id, body.batch)
    return _answer(results)


async def outcome(service: Service, call: Call) -> Response:
    """Return the result of a process's last commit."""
    try:
        body = _outcome_body(call.body)
    except msgspec.MsgspecError as error:
        raise _not_ours(error) from None
    return _answer(await service.sharing.outcome_of(body.id))


def _answer(results: list[CommitResult] | None) -> Response:
    receipts: list[Receipt] | None = None
    if results is not None:
        receipts = [result for result in results if isinstance(result, Receipt)]
    return Response(_encode(Outcome(receipts)), media_type=MSGPACK)


def _not_ours(error: msgspec.MsgspecError) -> Problem:
    text = f"the body does not match this version of outlast ({error}): use the same version in "
    return Problem(400, "malformed", f"{text}all processes that share a database")


async def changes(service: Service, call: Call) -> Response:
    """Follow changed runs until the engine closes."""
    source = _Following(service.sharing)
    return EventStream(service.sharers, source, may_go_on=call.may_go_on, holders=())


class _Following:
    """The changes that one process is told of."""

    def __init__(self, sharing: Sharing) -> None:
        self._sharing = sharing
        self._awake = asyncio.Event()

    def wake(self) -> None:
        """Let `pieces` look up."""
        self._awake.set()

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """Iterate over changes, as many at once as there are."""
        changed = Changes(self._awake.set)
        self._sharing.follow(changed)
        try:
            yield event("changed", _json(ChangedRuns()), "0")
            while True:
                await self._awake.wait()
                self._awake.clear()
                runs, is_more = changed.take()
                told = ChangedRuns(list(runs), is_more)
                yield event("changed", _json(told), "0") if runs or is_more else b""
        finally:
            self._sharing.leave(changed)
