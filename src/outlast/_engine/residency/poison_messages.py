"""A message that kills its actor's process again and again is a dead letter; the actor goes on."""

from __future__ import annotations

import logging

import msgspec

from outlast._engine.residency.unfinished import take_back
from outlast._engine.scheduling.scheduler import Scheduler, is_open_here, row_outside_memory
from outlast._execution.actors.actor_memory import ATTEMPTS, remembered
from outlast._execution.actors.membership import Membership
from outlast._execution.calls.operations import failure_body
from outlast._messages.letters import decode_letter, message_in
from outlast._messages.system_messages import STARTED
from outlast._records import Record
from outlast._store.decisions import dead_letter
from outlast._store.rows import DONE, Message, RunRow
from outlast._store.transactions import Effects, Transaction
from outlast.errors import UsageError
from outlast.types import RunId

log = logging.getLogger("outlast.engine")


async def bury_begun(scheduler: Scheduler, actor: RunId, why: str) -> bool:
    """Give up the message that an actor, not in memory, had begun; False when it had begun none.

    Who supervises the actor is told, as of any message that was given up.
    """
    store = scheduler.store
    async with scheduler.run_locks.alone_with(actor):
        row = await row_outside_memory(scheduler, actor)
        lease = scheduler.leases.get(scheduler.shard_of(actor))
        if row is None or row.kind != "actor" or lease is None or not is_open_here(row):
            return False
        records = await store.read_journal(actor, row.folded_seq)
        begun = next((r for r in records if r.kind == "message_begun"), None)
        if begun is None or actor in scheduler.residents:
            return False
        message = message_in(begun)
        log.error("a message to %s is a dead letter: %s", actor, why)
        transaction = Transaction(lease, actor, [], Effects(consumed=(message.number,)))
        transaction.also.summary = _folded(row, records)
        transaction.also.folded = records[-1].seq
        await take_back(store, transaction, records)
        _give_up(transaction, message, why, row.crash_count, scheduler.world.now())
        bonds = Membership.read(await store.read_values(actor, "\x00"))
        bonds.remind_again(transaction, decode_letter(message.body), scheduler.world.now())
        # A start would kill again in each life that the supervisor gave it.
        kills = message.name == STARTED
        bonds.fall(transaction, why, scheduler.world.now(), kills=kills)
        scheduler.submit(transaction)
        await scheduler.acknowledgements.wait_for(transaction)
    return True


def _folded(row: RunRow, records: list[Record]) -> RunRow:
    last = records[-1].seq
    return msgspec.structs.replace(
        row,
        status="waiting",
        resident=False,
        last_seq=last,
        packed_seq=last,
        folded_seq=last,
        crash_count=0,
        is_alone=False,
    )


def _give_up(transaction: Transaction, message: Message, why: str, deaths: int, now: int) -> None:
    letter = dead_letter(message, "failed", at=now, error=why, attempts=deaths)
    effects = transaction.also
    effects.dead = (letter,)
    effects.values = ((ATTEMPTS, None),)
    if message.dedup:
        outcome = failure_body(UsageError(f"the message was given up: {why}"))
        effects.values += ((DONE + message.dedup, remembered(message.number, outcome)),)
