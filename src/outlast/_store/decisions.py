"""Decisions that every store makes alike: may a start replace a row, may a message be taken.

Kept apart from the stores, so that memory (the model) and SQL cannot drift.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from string import ascii_lowercase, ascii_uppercase

import msgspec

from outlast import limits
from outlast._store.auditing import rows_for
from outlast._store.contract import RunFilter
from outlast._store.glimpses import GLANCE_ERROR_CHARS, RunGlance
from outlast._store.rows import (
    JOIN,
    Answer,
    AnswerResult,
    DeadLetter,
    DeathReason,
    Message,
    MessageKind,
    PostResult,
    RunRow,
    TokenRow,
)
from outlast._store.transactions import NO_EFFECTS, CommitResult, Receipt, Transaction
from outlast.types import CLOSED_STATUSES, Reuse

_LIFE_SEPARATOR = "\x1f"
_URGENT_MESSAGES = frozenset(("cancel", "terminate"))
_URGENT_STATUSES = frozenset(("cancelled", "terminated"))

# An answer that the store refuses is an error to its caller: the audit names the same one.
_PROBLEMS: Mapping[AnswerResult, str] = {
    "not_found": "token-not-found",
    "answered": "token-answered",
    "expired": "token-expired",
    "closed": "token-closed",
    "changed": "digest-mismatch",
}


def another_life(request: str, life: str) -> str:
    """Return the `request` of a retried run: the one that started it, and the new life."""
    return f"{_first_life(request)}{_LIFE_SEPARATOR}{life}"


def is_another_life(request: str) -> bool:
    """Say whether a run with this `request` was retried."""
    return _LIFE_SEPARATOR in request


def life_of(row: RunRow) -> str:
    """Return what tells a run from others under its id: started anew, or retried."""
    return f"{row.created_at} {row.request}"


def _first_life(request: str) -> str:
    return request.partition(_LIFE_SEPARATOR)[0]


def gives_way(existing: RunRow, new: RunRow, reuse: Reuse) -> bool:
    """Say whether a run under the same id is closed and may be replaced by a new one.

    A child that an earlier parent of the same id left behind may, unless a retry of that parent
    attaches to it (`stays`). The policy "if_failed" is that of a child that is retried itself.
    A run never takes the place of an actor, nor an actor that of a run.
    """
    if existing.status not in CLOSED_STATUSES or existing.kind != new.kind:
        return False
    own = (new.parent, new.parent_key)
    is_own = existing.parent is not None and (existing.parent, existing.parent_key) == own
    if is_own and reuse != "if_failed":
        if existing.request and existing.request == new.request:
            # The same start made again, of a parent that cannot know that the first one succeeded.
            return False
        return not stays(existing, new)
    return reuse == "always" or (reuse == "if_failed" and existing.status != "completed")


def stays(existing: RunRow, new: RunRow) -> bool:
    """Say whether a child of a parent's earlier life is also the child of its retried life.

    `new` is the start that the retried life makes at the same place. The child stays if it does the
    same work and has completed, or if its parent abandoned it, however it stands. A parent that was
    started anew under its id does all of its work anew.
    """
    first = _first_life(existing.request)
    return (
        bool(first)
        and first == _first_life(new.request)
        and (existing.parent, existing.parent_key) == (new.parent, new.parent_key)
        and (existing.workflow, existing.digest) == (new.workflow, new.digest)
        and (existing.status == "completed" or existing.on_parent_close == "abandon")
    )


def judge_post(
    message: Message,
    status: str | None,
    waiting: int,
    same: Message | None,
    *,
    is_done: bool,
    signal_bytes: int,
) -> PostResult:
    """Say what becomes of a message for a run with `waiting` messages unread.

    `is_done` says that a message under its dedup key has had its end. `signal_bytes` is how much
    the signals hold that wait in the mailbox; it counts for signals only.
    """
    if status is None:
        return "not_found"
    if is_done:
        # Judged here, where nothing comes between: a copy in the mailbox of what has been
        # handled would be a dead letter when its actor stops.
        return "duplicate"
    if status in CLOSED_STATUSES and message.name != JOIN:
        return "closed"
    if same is not None:
        is_same = same.name == message.name and same.body == message.body
        if message.kind in ("tell", "ask", "notice"):
            # Its times are counted from when it was sent: sent again, it is the same message.
            is_same = same.name == message.name
        return "duplicate" if is_same else "conflict"
    bound = message.bound
    if message.kind == "signal":
        bound = bound or limits.SIGNALS_BUFFERED_MAX
        # However large, one is taken by a run that holds none.
        if signal_bytes and signal_bytes + len(message.body) > limits.SIGNALS_BUFFERED_BYTES:
            return "full"
    if bound and waiting >= bound:
        return "full"
    return "accepted"


def judge_answer(answer: Answer, row: TokenRow | None) -> AnswerResult:
    """Say what becomes of an answer to a token that stands so."""
    if row is None:
        return "not_found"
    if row.status != "open":
        return row.status
    if answer.digest and answer.digest != row.digest:
        return "changed"
    # On equal time people win over clocks; afterwards it is too late, whoever looks first.
    is_late = row.expires_at is not None and answer.at > row.expires_at
    return "expired" if is_late and answer.status == "answered" else "accepted"


def answered_row(row: TokenRow, answer: Answer) -> TokenRow:
    """Return how a token stands after an answer that was accepted."""
    return msgspec.structs.replace(
        row,
        status=answer.status,
        value=answer.value,
        by=answer.by,
        reason=answer.reason,
        answered_at=answer.at,
    )


def is_lost_word(message: Message, result: PostResult, transaction: Transaction) -> bool:
    """Say whether a handler's commit told something to an actor that has stopped meanwhile."""
    return result == "closed" and message.kind == "tell" and transaction.lease is not None


def is_urgent(transaction: Transaction) -> bool:
    """Say whether a transaction ends work that somebody asked to end.

    It may use a store's reserve of space. Runs that end by themselves may not: they would use it
    up, and it would be gone when it is needed.
    """
    effects = transaction.effects or NO_EFFECTS
    if effects.starts:
        return False
    summary = effects.summary
    return (
        any(record.kind == "cancel_requested" for record in transaction.records)
        or any(message.kind in _URGENT_MESSAGES for message in effects.posts)
        or (summary is not None and summary.status in _URGENT_STATUSES)
    )


MAIL_KINDS: tuple[MessageKind, ...] = ("signal", "update", "tell", "ask", "notice")
"""Kinds of messages that bring something. What is left of others when a run ends (requests to stop
it or to let it go on, the ends of its children, answers to what it asked) is over with it."""


def dead_letter(
    message: Message, reason: DeathReason, *, at: int, error: str = "", attempts: int = 0
) -> DeadLetter:
    """Return a message as a dead letter."""
    return DeadLetter(
        number=message.number,
        run=message.run,
        kind=message.kind,
        name=message.name,
        body=message.body,
        dedup=message.dedup,
        sent_at=message.at,
        reason=reason,
        error=error,
        attempts=attempts,
        at=at,
    )


def matches(row: RunRow, which: RunFilter) -> bool:
    """Say whether a filter wants this run: the meaning that SQL must agree with."""
    if row.kind != which.kind:
        return False
    if which.statuses is not None and row.status not in which.statuses:
        return False
    if which.workflow is not None and not names_workflow(row.workflow, which.workflow):
        return False
    if which.created_from is not None and row.created_at < which.created_from:
        return False
    if which.created_to is not None and row.created_at > which.created_to:
        return False
    if which.id_prefix is not None and not row.id.startswith(which.id_prefix):
        return False
    if which.parent is not None and row.parent != which.parent:
        return False
    if which.words:
        text = lowered(searched(row))
        if not all(lowered(word) in text for word in which.words):
            return False
    if which.attributes:
        attributes = json.loads(row.attributes)
        return all(attribute_text(attributes.get(k)) in spellings(v) for k, v in which.attributes)
    return True


def glance_of(row: RunRow) -> RunGlance:
    """Return what statistics are made of."""
    return RunGlance(
        row.id,
        row.workflow,
        row.version,
        row.status,
        row.created_at,
        row.started_at,
        row.closed_at,
        row.error and row.error[:GLANCE_ERROR_CHARS],
    )


def searched(row: RunRow) -> str:
    """Return the text in which the words of a filter are looked for."""
    error = row.waiting_for if row.status == "parked" else row.error
    return f"{row.id}\n{row.workflow}\n{error or ''}"


def lowered(text: str) -> str:
    """Return text with its ASCII letters in lower case, the others as they are."""
    return text.translate(_LOWER)


_EXPONENT = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)[eE][+-]?\d+", re.ASCII)
_LOWER = str.maketrans(ascii_uppercase, ascii_lowercase)


def names_workflow(full: str, asked: str) -> bool:
    """Say whether `asked` is the workflow's full name or the end of it after a dot."""
    return full == asked or full.endswith("." + asked)


def attribute_text(value: object) -> str | None:
    """Return an attribute as a filter writes it."""
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def spellings(text: str) -> tuple[str, ...]:
    """Return the texts of attributes that are meant by a text in a filter.

    A number with an exponent is also meant as Python writes it: 1e22 is kept as 1e+22.
    """
    if _EXPONENT.fullmatch(text) and math.isfinite(number := float(text)):
        return (text,) if repr(number) == text else (text, repr(number))
    return (text,)


def as_old(results: Sequence[CommitResult]) -> list[CommitResult]:
    """Return results that were not learned when the commit was made."""
    return [
        msgspec.structs.replace(result, is_old=True) if isinstance(result, Receipt) else result
        for result in results
    ]


def carry_audit(transaction: Transaction, now: int) -> Transaction:
    """Have a transaction carry who has it done, if that is somebody; return it."""
    if rows := rows_for(now, transaction.run):
        transaction.also.audit += tuple(rows)
    return transaction


def outcome_of(receipt: Receipt) -> str:
    """Return for the audit what became of a transaction, in a word."""
    for answered in receipt.answers:
        if answered.result != "accepted":
            return _PROBLEMS[answered.result]
    for posted in receipt.posts:
        if posted != "accepted":
            return posted.replace("_", "-")
    # The first message to an actor would have made it: that it was there is no refusal.
    is_start = not receipt.answers and not receipt.posts
    return "exists" if receipt.existing and is_start else "done"
