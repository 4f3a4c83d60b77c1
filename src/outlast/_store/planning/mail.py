"""Mailboxes and tokens while a batch is planned: what is known of them, kept up to date."""

from __future__ import annotations

import msgspec

from outlast._store.decisions import answered_row, judge_answer, judge_post
from outlast._store.planning.facts import Facts
from outlast._store.rows import DONE, Answer, Answered, Message, PostResult, TokenRow
from outlast.types import RunId


class PlannedMail:
    """The mailboxes that a batch posts to."""

    def __init__(self, facts: Facts) -> None:
        self._waiting = dict(facts.waiting)
        self._signal_bytes = dict(facts.signal_bytes)
        self._sizes = dict(facts.sizes)
        self._done = set(facts.done)
        self._unread: dict[tuple[RunId, str], Message] = {}
        for message in facts.unread:
            self._note(message)

    def judge(self, message: Message, status: str | None) -> PostResult:
        """Say what becomes of a message for a run of this status."""
        run, dedup = message.run, message.dedup
        return judge_post(
            message,
            status,
            self._waiting.get(run, 0),
            self._unread.get((run, dedup)) if dedup else None,
            is_done=bool(dedup) and (run, dedup) in self._done,
            signal_bytes=self._signal_bytes.get(run, 0),
        )

    def add(self, message: Message) -> None:
        """A message was accepted."""
        self._waiting[message.run] = self._waiting.get(message.run, 0) + 1
        if message.kind == "signal" and message.run in self._signal_bytes:
            self._signal_bytes[message.run] += len(message.body)
            self._sizes[message.number] = len(message.body)
        self._note(message)

    def _note(self, message: Message) -> None:
        if message.dedup:
            self._unread[message.run, message.dedup] = message

    def take(self, run: RunId, number: int) -> None:
        """A message was consumed; it is in the mailbox, for its owner has read it from there."""
        if run not in self._waiting:
            return
        self._waiting[run] -= 1
        if run in self._signal_bytes:
            self._signal_bytes[run] -= self._sizes.pop(number, 0)
        for key, message in self._unread.items():
            if message.number == number and message.run == run:
                del self._unread[key]
                return

    def note_value(self, run: RunId, name: str, *, is_there: bool) -> None:
        """A value was set or forgotten; some say what came of a message."""
        if not name.startswith(DONE):
            return
        key = run, name[len(DONE) :]
        if is_there:
            self._done.add(key)
        else:
            self._done.discard(key)

    def close_run(self, run: RunId) -> None:
        """A run has ended, and its mailbox is empty."""
        self._signal_bytes.pop(run, None)
        if run in self._waiting:
            self._waiting[run] = 0
            self._unread = {k: m for k, m in self._unread.items() if m.run != run}


class PlannedTokens:
    """The tokens that a batch asks, answers or withdraws.

    Invariant: a token leaves the status "open" once.
    """

    def __init__(self, facts: Facts) -> None:
        self._known = dict(facts.tokens)
        self._damaged = facts.damaged_tokens  # they stay as they are
        self._changed: dict[str, None] = {}

    def ask(self, token: TokenRow) -> None:
        """A run asks; a token that is there already stays as it is."""
        if token.id not in self._known and token.id not in self._damaged:
            self._put(token)

    def answer(self, answer: Answer) -> Answered:
        """Judge an answer, and take it if it is the first."""
        row = self._known.get(answer.token)
        result = judge_answer(answer, row)
        if row is not None and result == "accepted":
            row = answered_row(row, answer)
            self._put(row)
        return Answered(result, row)

    def withdraw(self, token: str) -> None:
        """The asker no longer waits: no answer is needed."""
        row = self._known.get(token)
        if row is not None and row.status == "open":
            self._put(msgspec.structs.replace(row, status="closed"))

    def _put(self, row: TokenRow) -> None:
        self._known[row.id] = row
        self._changed[row.id] = None

    def close_run(self, run: RunId) -> None:
        """A run has ended: its open tokens need no answer."""
        for row in list(self._known.values()):
            if row.run == run and row.status == "open":
                self._known[row.id] = msgspec.structs.replace(row, status="closed")

    def forget_run(self, run: RunId) -> None:
        """A run is deleted with all it owns."""
        self._known = {key: row for key, row in self._known.items() if row.run != run}

    def take_changed(self) -> list[TokenRow]:
        """Return the rows that have changed since this was last asked."""
        changed, self._changed = self._changed, {}
        return [self._known[key] for key in changed if key in self._known]
