"""The row of an actor, which follows its messages: what of it is written when.

Invariant: the row says `resident` only while a message that is recorded as begun is handled.
"""

from __future__ import annotations

import msgspec

from outlast._execution.actors.handled_message import HandledMessage, Stage
from outlast._execution.actors.mailbox import Mailbox
from outlast._execution.journal.view import RunJournal
from outlast._execution.runs.run_summary import RunSummary
from outlast._messages.letters import message_body
from outlast._store.transactions import Transaction
from outlast.types import Status


class ActorRow:
    """Writes one actor's row."""

    __slots__ = ("_journal", "_mail", "_summary")

    def __init__(self, journal: RunJournal, summary: RunSummary, mail: Mailbox) -> None:
        self._journal = journal
        self._summary = summary
        self._mail = mail

    def begin_message(self, handled: HandledMessage, state: bytes) -> None:
        """Write down that a message has begun, before anything that it causes."""
        summary, journal = self._summary, self._journal
        row = summary.row
        if handled.stage is not Stage.QUEUED and row.resident:
            return
        journal.is_asleep = False
        if handled.stage is Stage.QUEUED:
            handled.advance(Stage.BEGUN)
            body = message_body(handled.message, state if row.output is None else None)
            name = handled.message.name
            journal.append("message_begun", at=handled.at, name=name, body=body)
        summary.row = msgspec.structs.replace(row, resident=True, status="running")
        journal.transaction().also.summary = summary.row

    def end_message(self, transaction: Transaction, state: bytes | None) -> None:
        """Bring the row up to the end of a message: nothing before it is needed any more."""
        summary, journal = self._summary, self._journal
        row = summary.row
        if journal.packed_seq > row.folded_seq:
            transaction.also.folded = journal.last_seq
        journal.fold()
        seq = journal.last_seq
        transaction.also.summary = summary.row = msgspec.structs.replace(
            row,
            output=state,
            last_seq=seq,
            packed_seq=seq,
            folded_seq=seq,
            started_at=summary.started_at,
            crash_count=0,
            is_alone=False,
            resident=False,
            status="waiting",
            waiting_for="",  # it may have left memory in the midst of the message
            wake_at=self._mail.next_due(),
        )

    @property
    def is_closed(self) -> bool:
        """Whether the actor has stopped."""
        return self._summary.row.closed_at is not None

    @property
    def folded_seq(self) -> int:
        """Up to which record nothing is needed any more."""
        return self._summary.row.folded_seq

    def rest(self) -> bool:
        """Say when the first delayed message is due; return whether the row says so already."""
        summary, seq, due = self._summary, self._journal.last_seq, self._mail.next_due()
        row = summary.row
        if row.wake_at == due and row.last_seq == seq:
            return True
        # What a message left behind may have appended after its end: it counts for nothing.
        summary.row = row = msgspec.structs.replace(
            row, wake_at=due, resident=False, last_seq=seq, packed_seq=seq, folded_seq=seq
        )
        self._journal.transaction().also.summary = row
        return False

    def open(self) -> None:
        """Let the row, when it is written next, say that the actor has not stopped."""
        summary = self._summary
        summary.row = msgspec.structs.replace(summary.row, closed_at=None, error=None)

    def close(self, transaction: Transaction, status: Status, at: int, reason: str) -> None:
        """Say that the actor has stopped."""
        summary = self._summary
        transaction.also.summary = summary.row = msgspec.structs.replace(
            summary.row, status=status, closed_at=at, error=reason or None, wake_at=None
        )
