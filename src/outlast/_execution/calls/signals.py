"""Signals as they come in: recognised when sent twice, ordered against timers, recorded."""

from __future__ import annotations

from collections.abc import Iterable

from outlast._execution.calls.clock import RunClock
from outlast._execution.calls.inbox import Inbox, Known
from outlast._execution.calls.operations import DiscardedBody, SignalBody, decode_body, encode_body
from outlast._execution.journal.view import RunJournal
from outlast._records import Record
from outlast._store.rows import Message


def append_signal(
    inbox: Inbox, journal: RunJournal, clock: RunClock, message: Message, at: int
) -> None:
    """Append a signal that was accepted `at`, unless its dedup key came before.

    Timers that were due before the message was accepted come first, as though there had been no
    outage; on equal time the message wins.
    """
    if message.dedup:
        if message.dedup in inbox.dedups:
            return
        inbox.dedups[message.dedup] = Known.of(message.name, message.body)
    inbox.expect(len(message.body))
    clock.append_due_timers(at - 1)
    body = encode_body(SignalBody(message.body, message.dedup))
    journal.append("signal", at=at, name=message.name, body=body)


def discarded_in(records: Iterable[Record]) -> list[int]:
    """Return the seqs of the signals that operators have made dead letters."""
    return [
        decode_body(record.body, DiscardedBody).seq
        for record in records
        if record.kind == "signal_discarded"
    ]
