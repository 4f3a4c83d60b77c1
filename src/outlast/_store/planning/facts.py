"""What the decisions of a batch depend on: the questions to a database, and its answers.

A store looks up what `questions_of` a batch asks, all at once and in the transaction that will
write it. Most batches ask nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from outlast._store.contract import Message, RunRow, TokenRow, Transaction
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
    for t in batch:
        if t.starts or t.posts or t.answers or t.tokens or t.withdrawn or t.of_life:
            return _questions_of(batch)
    return None


def _questions_of(batch: Sequence[Transaction]) -> Questions:
    starts = [start for t in batch if t.starts for start in t.starts]
    posts = [message for t in batch if t.posts for message in t.posts]
    posts += [answer.message for t in batch if t.answers for answer in t.answers]
    signalled = {message.run: None for message in posts if message.kind == "signal"}
    tokens = {token.id: None for t in batch if t.tokens for token in t.tokens}
    tokens.update((answer.token, None) for t in batch if t.answers for answer in t.answers)
    tokens.update((gone, None) for t in batch if t.withdrawn for gone in t.withdrawn)
    tokens.update((token.id, None) for start in starts for token in start.tokens)
    return Questions(
        ids=tuple({start.row.id: None for start in starts}),
        lives=tuple({t.run: None for t in batch if t.of_life}),
        mailboxes=tuple({message.run: None for message in posts}),
        signalled=tuple(signalled),
        dedups=[(message.run, message.dedup) for message in posts if message.dedup],
        consumed=[number for t in batch if t.run in signalled for number in t.consumed],
        tokens=tuple(tokens),
    )
