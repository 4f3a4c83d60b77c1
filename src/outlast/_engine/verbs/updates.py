"""Updates as their callers see them: put into the mailbox, waited for, answered from what is kept.

Invariants:
  * an update is safe in the mailbox before its run hears of it, and the store decides by its id
    whether it is new;
  * what a caller is told is durable.
"""

from __future__ import annotations

import asyncio
from asyncio import Future
from dataclasses import dataclass

from outlast import limits
from outlast._codec import stored_json
from outlast._engine.scheduling.scheduler import Scheduler
from outlast._engine.verbs.redelivery import check_again, conflict
from outlast._engine.verbs.requests import actor_takes_none
from outlast._execution.calls.operations import decode_body, failure_in
from outlast._execution.calls.updates import REFUSED, refused_in
from outlast._messages.payloads import fitting_payload, json_payload
from outlast._messages.updates import KeptUpdate, digest_of
from outlast._registry import Registry, UpdateDefinition
from outlast._store.rows import DONE, Message, PostResult, RunRow
from outlast._store.transactions import Effects, Receipt, Transaction
from outlast._wording.names import check_name
from outlast.errors import (
    EncodingError,
    MailboxFull,
    OutlastError,
    RunClosed,
    RunNotFound,
    UpdateAborted,
    UpdateFailed,
    UpdateRejected,
    UsageError,
)
from outlast.types import CLOSED_STATUSES, RunId


@dataclass(slots=True, eq=False)
class _Caller:
    """Somebody who waits for what comes of an update; told None, they look again."""

    dedup: str
    told: Future[KeptUpdate | None]


class Updates:
    """Who waits for what comes of which update."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._world = scheduler.world
        self._store = scheduler.store
        self._is_shared = scheduler.store.is_shared  # an owner may have done it before this one
        self._callers: dict[RunId, dict[_Caller, None]] = {}

    async def update(self, message: Message, safe: asyncio.Event | None = None) -> KeptUpdate:
        """Have an update done, once for its id; return what came of it: done or refused.

        `safe` is set when it is stored, and what came of an earlier one of its id was looked up:
        from then on it is done, whoever waits.

        Raises:
            RunNotFound, RunClosed, MailboxFull, UpdateConflict: nothing was stored.
            UnknownWorkflow: the run's code is not here, and no other engine can be asked.
            UpdateAborted: the run ended before the handler did; raised when it has ended.
        """
        await self._check(message.run)
        caller = _Caller(message.dedup, self._world.loop.create_future())
        self._callers.setdefault(message.run, {})[caller] = None
        try:
            posted = await self._post(message)
            await self._judge(message, posted)
            known = None if posted == "accepted" else await self._known(message)
            if safe is not None:
                safe.set()
            kept = await self._outcome(message, caller) if known is None else known
            if not kept.outcome:
                # Its handler was cut short by the end of the run, which follows.
                raise _ended(message, await self._end(message, caller), was_accepted=True)
            return kept
        finally:
            self._forget(message.run, caller)

    async def _check(self, run: RunId) -> None:
        live = self._scheduler.residents.get(run)
        row = await self._store.read_run(run) if live is None else live.row
        if row is None:
            raise RunNotFound(run)
        if row.kind == "actor":
            raise actor_takes_none(run)
        if live is not None:
            return
        if row.status not in CLOSED_STATUSES and not self._is_shared:
            self._scheduler.registry.find_workflow(row.workflow)

    async def _post(self, message: Message) -> PostResult:
        """Commit an update, and deliver it when it is durable, whatever became of its caller."""

        def made(receipt: Receipt) -> None:
            if receipt.posts[0] == "accepted":
                self._scheduler.deliver(message, receipt.numbers[0])

        writer = self._scheduler.writer
        if writer.trouble is not None:
            raise writer.trouble
        transaction = Transaction(None, message.run, [], Effects(posts=(message,)))
        return (await writer.commit(transaction, made)).posts[0]

    async def _judge(self, message: Message, result: PostResult) -> None:
        match result:
            case "accepted" | "duplicate" | "closed":
                return
            case "conflict":
                await self._check_same(message)
            case "full":
                raise MailboxFull(message.run, message.bound)
            case "not_found":
                raise RunNotFound(message.run)

    # ----------------------------------------------------------------------- waiting
    async def _outcome(self, message: Message, caller: _Caller) -> KeptUpdate:
        seconds = limits.RECONCILE_SECONDS if self._is_shared else None
        while True:
            await asyncio.wait([caller.told], timeout=seconds)
            if caller.told.done():
                told = caller.told.result()
                if told is not None:
                    return told
                caller.told = self._world.loop.create_future()
            known = await self._known(message)
            if known is not None:
                return known

    async def _end(self, message: Message, caller: _Caller) -> RunRow | None:
        """Return the row of a run once it has ended, None when there is none by then."""
        seconds = limits.RECONCILE_SECONDS if self._is_shared else None
        while True:
            caller.told = self._world.loop.create_future()
            row = await self._store.read_run(message.run)
            if row is None or row.status in CLOSED_STATUSES:
                return row
            await asyncio.wait([caller.told], timeout=seconds)

    async def _known(self, message: Message) -> KeptUpdate | None:
        """Return what came of an update as the store has it, None while nothing has."""
        # The row first: what the run did before it closed is there by then.
        row = await self._store.read_run(message.run)
        is_waiting = self._is_shared and await self._is_waiting(message)
        value = await self._store.read_value(message.run, DONE + message.dedup)
        if value is not None:
            kept = decode_body(value, KeptUpdate)
            if kept.digest != digest_of(message.name, message.body):
                await self._check_same(message)
            if kept.stage == "done":
                return kept
        if row is None or row.status in CLOSED_STATUSES:
            raise _ended(message, row, was_accepted=value is not None)
        if value is not None or is_waiting or not self._is_shared:
            return None
        # Neither waiting nor accepted: another engine's validator has refused it.
        values = await self._store.read_values(message.run, REFUSED)
        return refused_in(values.values(), message)

    async def _check_same(self, message: Message) -> None:
        if not await check_again(self._scheduler, message):
            raise conflict(message)

    async def _is_waiting(self, message: Message) -> bool:
        mail = await self._store.read_mailbox(message.run, limits.SIGNALS_BUFFERED_MAX)
        return any(waiting.dedup == message.dedup for waiting in mail)

    def _forget(self, run: RunId, caller: _Caller) -> None:
        if not caller.told.cancel() and not caller.told.cancelled():
            caller.told.exception()  # looked at, though who asked may be gone
        callers = self._callers[run]
        del callers[caller]
        if not callers:
            del self._callers[run]

    # ------------------------------------------------------------------------- waking
    def updated(self, message: Message, outcome: bytes) -> None:
        """Give an outcome to who waits for it."""
        for caller in self._callers.get(message.run, ()):
            if caller.dedup == message.dedup and not caller.told.done():
                caller.told.set_result(decode_body(outcome, KeptUpdate))

    def closed(self, run: RunId) -> None:
        """A run has ended: those who wait for its updates look at what came of them."""
        for caller in self._callers.get(run, ()):
            if not caller.told.done():
                caller.told.set_result(None)

    def fail_all(self, error: Exception) -> None:
        """The engine cannot go on: tell everyone who waits."""
        for callers in self._callers.values():
            for caller in callers:
                if not caller.told.done():
                    caller.told.set_exception(error)


def declared_update(registry: Registry, name: str) -> UpdateDefinition:
    """Return an update by its name.

    Raises:
        UsageError: none is declared in the code that is here.
    """
    known = registry.updates.get(check_name("an update's name", name))
    if known is None:
        some = ", ".join(sorted(registry.updates)) or "none"
        raise UsageError(f"no update {name!r} is declared in the loaded code; declared: {some}")
    return known


def payload_of(definition: UpdateDefinition, value: object) -> bytes:
    """Return the payload of an update that is sent by its name: a value of its type, or JSON data.

    Raises:
        EncodingError, DecodingError: it does not fit.
    """
    if definition.request is not None:
        return fitting_payload(definition.request, value)
    try:
        return json_payload(value)
    except (TypeError, ValueError) as error:
        raise EncodingError("$", f"an update sent by its plain name is JSON: {error}") from error


def json_of(definition: UpdateDefinition, data: bytes) -> object:
    """Return an update's encoded result as JSON data."""
    response = definition.response
    return stored_json(data) if response is None else response.to_json(response.decode(data))


def result_of(run: str, name: str, kept: KeptUpdate) -> bytes:
    """Return the encoded result of an update.

    Raises:
        UpdateRejected, UpdateFailed: it has none.
    """
    failure = failure_in(kept.outcome)
    if failure is None:
        return kept.outcome[1:]
    if kept.stage == "refused":
        raise UpdateRejected(run, name, failure.message)
    raise UpdateFailed(run, name, failure.qualname, failure.message, failure.traceback)


def _ended(message: Message, row: RunRow | None, *, was_accepted: bool) -> OutlastError:
    if row is None:
        return RunNotFound(message.run)
    if was_accepted:
        return UpdateAborted(message.run, message.name, row.status)
    return RunClosed(message.run, row.status)
