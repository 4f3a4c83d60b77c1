"""What the decisions of a batch depend on: the questions to a database, and its answers.

A store looks up what `questions_of` a batch asks, all at once and in the transaction that will
write it. Most batches ask nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from outlast._store.rows import Message, RunRow, TokenRow
from outlast._store.transactions import Effects, Transaction
from outlast.types import RunId


class Questions(msgspec.Struct, frozen=True):
    """What to look up for one batch.

    Attributes:
        ids: ids that runs are to be started under: their rows.
        lives: runs that are written to only in one life: their lives.
        mailboxes: runs that are posted to: their statuses, how many messages wait.
        signalled: those of them that signals are posted to: how many bytes of signals wait.
        dedups: runs and dedup keys of what is posted: what waits under them, or was done.
        consumed: numbers of messages that leave mailboxes in `signalled`: bytes of the signals.
        tokens: ids of tokens that are asked, answered or withdrawn: their rows.
    """

    ids: Sequence[RunId]
    lives: Sequence[RunId]
    mailboxes: Sequence[RunId]
    signalled: Sequence[RunId]
    dedups: Sequence[tuple[RunId, str]]
    consumed: Sequence[int]
    tokens: Sequence[str]


class Facts(msgspec.Struct):
    """The answers; what is missing in a mapping is not there."""

    rows: dict[RunId, RunRow] = {}
    lives: dict[RunId, str] = {}
    statuses: dict[RunId, str] = {}
    waiting: dict[RunId, int] = {}
    signal_bytes: dict[RunId, int] = {}
    sizes: dict[int, int] = {}
    unread: Sequence[Message] = ()  # what waits under the dedup keys
    done: set[tuple[RunId, str]] = set()
    tokens: dict[str, TokenRow] = {}
    damaged_tokens: set[str] = set()


def questions_of(batch: Sequence[Transaction]) -> Questions | None:
    """Return what to look up for a batch; None: nothing."""
    for transaction in batch:
        e = transaction.effects
        if e is not None and (
            e.starts or e.posts or e.answers or e.tokens or e.withdrawn or e.of_life
        ):
            return _questions_of([(t.run, t.effects) for t in batch if t.effects is not None])
    return None


def _questions_of(batch: Sequence[tuple[RunId, Effects]]) -> Questions:
    starts = [start for _, e in batch for start in e.starts]
    posts = [message for _, e in batch for message in e.posts]
    posts += [answer.message for _, e in batch for answer in e.answers]
    signalled = {message.run: None for message in posts if message.kind == "signal"}
    tokens = {token.id: None for _, e in batch for token in e.tokens}
    tokens.update((answer.token, None) for _, e in batch for answer in e.answers)
    tokens.update((gone, None) for _, e in batch for gone in e.withdrawn)
    tokens.update((token.id, None) for start in starts for token in start.tokens)
    return Questions(
        ids=tuple({start.row.id: None for start in starts}),
        lives=tuple({run: None for run, e in batch if e.of_life}),
        mailboxes=tuple({message.run: None for message in posts}),
        signalled=tuple(signalled),
        dedups=[(message.run, message.dedup) for message in posts if message.dedup],
        consumed=[number for run, e in batch if run in signalled for number in e.consumed],
        tokens=tuple(tokens),
    )
