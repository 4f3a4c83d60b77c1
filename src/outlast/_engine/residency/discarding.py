"""Giving up the message that a parked run cannot read, because an operator says so.

A message that waits in the mailbox leaves it. A signal that the run had recorded before its code
could not read it any more stays in the journal, and a record behind it says that it is passed over
on every replay. Either way it is a dead letter from then on, which can be sent again.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from outlast._execution.actors.actor_memory import ATTEMPTS, remembered
from outlast._execution.actors.membership import Membership
from outlast._execution.calls.operations import (
    DiscardedBody,
    SignalBody,
    decode_body,
    encode_body,
    failure_body,
)
from outlast._execution.calls.unreadable import UNREADABLE, Culprit
from outlast._messages.letters import decode_letter
from outlast._messages.requests import DISCARD
from outlast._records import Record
from outlast._store.contract import Store
from outlast._store.decisions import dead_letter
from outlast._store.rows import DONE, Message, RunRow
from outlast._store.transactions import Transaction
from outlast.errors import UsageError
from outlast.types import RunId

log = logging.getLogger("outlast.engine")


@dataclass(frozen=True, slots=True)
class Discarded:
    """The message that is given up, where it is, and why."""

    message: Message
    culprit: Culprit
    why: str

    def add_to(self, transaction: Transaction, known: list[Record], now: int) -> None:
        """Let the message end with a transaction that resumes its run.

        `known` are the run's records; `transaction.records` may go on behind them.
        """
        letter = dead_letter(self.message, "unreadable", at=now, error=self.why)
        transaction.also.dead += (letter,)
        if self.culprit.number:
            transaction.also.consumed += (self.culprit.number,)
            return
        last = [*known, *transaction.records][-1]
        body = encode_body(DiscardedBody(self.culprit.seq))
        epoch = last.epoch if transaction.lease is None else transaction.lease.epoch
        at = max(last.at, now)
        name = self.message.name
        record = Record(last.seq + 1, "signal_discarded", "", name, at, epoch, body=body)
        transaction.records.append(record)

    def end_for_actor(
        self, transaction: Transaction, known: list[Record], bonds: Membership, now: int
    ) -> None:
        """Do what the end of an actor's message does besides: it had perhaps begun."""
        transaction.also.values += ((ATTEMPTS, None),)
        if self.message.dedup:
            outcome = failure_body(UsageError(f"the message was given up: {self.why}"))
            kept = (DONE + self.message.dedup, remembered(self.message.number, outcome))
            transaction.also.values += (kept,)
        summary = transaction.also.summary
        if known and summary is not None:
            last = known[-1].seq
            transaction.records.clear()
            transaction.also.folded = last
            transaction.also.summary = msgspec.structs.replace(
                summary, last_seq=last, packed_seq=last, folded_seq=last
            )
        bonds.remind_again(transaction, decode_letter(self.message.body), now)


async def discardable(store: Store, row: RunRow) -> Discarded:
    """Return the message that a run is parked for.

    Raises:
        UsageError: it is not parked for a message that it cannot read.
    """
    known = await store.read_value(row.id, UNREADABLE)
    if row.parked_as != "unreadable":
        raise UsageError(
            f"{row.id} is {row.status}, not parked for a message that its code cannot read: "
            "there is nothing to discard"
        )
    if known is None:
        raise UsageError(
            f"{row.id} is parked, but not for a message: {row.waiting_for}. Nothing can be "
            f"discarded; terminate the run, or open the store with code that reads it"
        )
    culprit = decode_body(known, Culprit)
    if culprit.is_used:
        raise UsageError(
            f"the message that {row.id} is parked for is not discarded: earlier code has received "
            f"it, and what the run did then is recorded, so no code could go on without it. Open "
            f"the store with code that reads it, or declare a conversion with @evolve; else fork "
            f"the run from before (`Run.fork(at)`), or terminate it"
        )
    message = await _message(store, row.id, culprit)
    return Discarded(message, culprit, row.waiting_for)


async def asked_to_discard(
    store: Store, row: RunRow, requests: Sequence[Message]
) -> Discarded | None:
    """The same for requests to go on; None when none of them gives up what it is parked for now.

    Each says which message it means: one that came up meanwhile is not affected.
    """
    asked = [message.body for message in requests if message.name == DISCARD]
    if not asked:
        return None
    try:
        found = await discardable(store, row)
    except UsageError as error:
        log.warning("nothing of run %s is discarded: %s", row.id, error)
        return None
    if b"" in asked or encode_body(found.culprit) in asked:
        return found
    log.warning("nothing of run %s is discarded: it is parked for another message now", row.id)
    return None


async def _message(store: Store, run: RunId, culprit: Culprit) -> Message:
    if culprit.number:
        for message in await store.read_mailbox(run, 1, culprit.number - 1):
            if message.number == culprit.number:
                return message
    for record in await store.read_journal(run, culprit.seq - 1, culprit.seq):
        if record.kind == "signal" and record.seq == culprit.seq:
            body = decode_body(record.body, SignalBody)
            return Message(
                run=run,
                kind="signal",
                name=record.name,
                body=body.payload,
                dedup=body.dedup,
                at=record.at,
            )
    raise UsageError(f"{run} has no such message any more: resume it")
