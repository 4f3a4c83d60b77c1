"""Messages that are sent again under an id: the same message, or another one?

A store and a run in memory compare the bytes of payloads. When these differ, the values decide, as
the declared type reads them today: a field with a default that was added, or an `@evolve`, makes
no other message of a redelivered one.

Invariants:
  * payloads are decoded on the engine's loop, never inside a transaction of a store: decoding may
    run code of the user's;
  * JSON payloads whose type is not known here are compared as JSON: the order of members is not
    part of the value;
  * a payload that today's type cannot read is compared by its bytes, and the error says so.
"""

from __future__ import annotations

from outlast import limits
from outlast._codec import Adapter
from outlast._engine.scheduling.scheduler import Scheduler
from outlast._execution.calls.inbox import Known
from outlast._execution.calls.operations import SignalBody, decode_body
from outlast._execution.calls.updates import UpdateBody
from outlast._messages.payloads import read_payload, same_json
from outlast._messages.updates import id_of
from outlast._registry import Registry
from outlast._store.contract import Store
from outlast._store.rows import Message
from outlast.errors import DecodingError, EncodingError, SignalConflict, UpdateConflict


async def check_again(scheduler: Scheduler, message: Message) -> bool:
    """Compare a signal or update with the one that is stored under its id.

    Returns False when there is none.

    Raises:
        SignalConflict, UpdateConflict: they are different messages.
    """
    # The mailbox first: what leaves it is in the journal by then.
    if not message.dedup:
        return False
    store = scheduler.store
    stored = await _in_mailbox(store, message) or await _in_journal(scheduler, message)
    if stored is None:
        return False
    check_same(scheduler.registry, message, *stored)
    return True


async def check_known(scheduler: Scheduler, message: Message, known: Known) -> None:
    """Compare a signal with what a run in memory knows of the one that has its id.

    Raises:
        SignalConflict: they are different messages.
    """
    if known.payload is not None:
        check_same(scheduler.registry, message, known.name, known.payload)
    elif known != Known.of(message.name, message.body):
        await scheduler.writer.flushed()  # the first one may be on its way
        if not await check_again(scheduler, message):
            raise conflict(message)


def check_same(registry: Registry, message: Message, name: str, payload: bytes) -> None:
    """Compare a signal or update with the one of its id, which has this name and payload.

    Raises:
        SignalConflict, UpdateConflict: they are different messages.
    """
    if name != message.name:
        raise conflict(message)
    if payload == message.body:
        return
    adapter = _adapter_of(registry, message)
    if adapter is None:
        if same_json(payload, message.body):
            return
        raise conflict(message, "its type is not known here, so the bytes were compared")
    try:
        is_same = _digest(adapter, payload) == _digest(adapter, message.body)
    except (DecodingError, EncodingError) as error:
        why = f"one of them cannot be read, so the bytes were compared: {error}"
        raise conflict(message, why) from None
    if not is_same:
        raise conflict(message)


def conflict(message: Message, why: str = "") -> SignalConflict | UpdateConflict:
    """Return the error of a message whose id was used for another one."""
    if message.kind == "update":
        return UpdateConflict(message.run, message.name, id_of(message), why)
    return SignalConflict(message.run, message.name, message.dedup, why)


def _adapter_of(registry: Registry, message: Message) -> Adapter | None:
    if message.kind == "update":
        update = registry.updates.get(message.name)
        return None if update is None else update.request
    signal = registry.signals.get(message.name)
    return None if signal is None else signal.adapter


def _digest(adapter: Adapter, payload: bytes) -> bytes:
    return adapter.digest(read_payload(adapter, payload))


async def _in_mailbox(store: Store, message: Message) -> tuple[str, bytes] | None:
    after = 0
    while True:
        page = await store.read_mailbox(message.run, limits.MAILBOX_READ_MAX, after)
        for waiting in page:
            if waiting.dedup == message.dedup:
                return waiting.name, waiting.body
        if len(page) < limits.MAILBOX_READ_MAX:
            return None
        after = page[-1].number


async def _in_journal(scheduler: Scheduler, message: Message) -> tuple[str, bytes] | None:
    kind, run = message.kind, message.run
    key = id_of(message) if kind == "update" else message.dedup
    record = await scheduler.known_keys.record(scheduler.store, run, kind, key)
    if record is None:
        return None
    if record.kind == "signal":
        return record.name, decode_body(record.body, SignalBody).payload
    return record.name, decode_body(record.body, UpdateBody).payload
