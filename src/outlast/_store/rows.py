"""What a store keeps of runs beside their journals, row by row."""

from __future__ import annotations

from typing import Literal

import msgspec

from outlast.types import OnParentClose, RunId, Status, TokenKind, TokenStatus

ParkedAs = Literal["", "code", "unreadable", "damaged", "attempts", "suspect", "limit"]
AnswerResult = Literal["accepted", "not_found", "answered", "expired", "closed", "changed"]
RunKind = Literal["workflow", "actor"]
MessageKind = Literal[
    "signal",
    "cancel",
    "terminate",
    "pause",
    "resume",
    "child_done",
    "token",
    "update",
    "tell",
    "ask",
    "notice",
]
_Ended = Literal["closed", "failed", "expired", "dropped", "overflow", "stopped", "no_handler"]
DeathReason = _Ended | Literal["unreadable", "damaged", "rejected"]

PostResult = Literal["accepted", "duplicate", "conflict", "not_found", "closed", "full"]

JOIN = "\x00join"
"""Name of the messages that reach stopped actors too, and wait for those that stop meanwhile: a
supervisor takes the actor in, or somebody wants to know when it stops."""

DONE = "\x00done/"
"""How the names of values begin that keep what came of an actor's messages, and of a run's updates,
by their dedup keys."""


class RunRow(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One run as its row has it: a summary that its owner keeps up to date within a second.

    `resident` says that an engine has (or should have) it in memory; a passivated run has
    `resident=False` and `wake_at`. Records up to `packed_seq` are in history segments, later ones
    in the log at `started_position` or beyond.

    An actor is a row too: `workflow` names its type, `output` is its state, and only records above
    `folded_seq` count, those of the message that it is handling.
    """

    id: RunId
    shard: int
    workflow: str
    version: str
    status: Status
    created_at: int
    started_at: int | None = None
    closed_at: int | None = None
    wake_at: int | None = None
    timeout_at: int | None = None
    parent: RunId | None = None
    parent_key: str = ""
    on_parent_close: OnParentClose = "cancel"
    attributes: str = "{}"
    steps: int = 0
    crash_count: int = 0
    is_alone: bool = False  # a suspect that runs while nothing else does (semantics: crashes)
    parked_as: ParkedAs = ""
    resident: bool = True
    last_seq: int = 0
    packed_seq: int = 0
    started_position: int = 0
    request: str = ""
    digest: bytes = b""
    output: bytes | None = None
    error: str | None = None
    waiting_for: str = ""
    kind: RunKind = "workflow"
    folded_seq: int = 0


class Message(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Something for a run from outside, safe in its mailbox until its owner appends it.

    `bound` is how many may wait in the mailbox, below 0 for none; 0 for as many as its kind may.
    What the commit of a handler tells an actor that has stopped becomes a dead letter, for nobody
    is there to be refused; a "notice" is dropped then.
    """

    run: RunId
    kind: MessageKind
    name: str = ""
    body: bytes = b""
    dedup: str = ""
    at: int = 0
    number: int = 0  # given by the store, ascending within a run
    bound: int = 0


class DeadLetter(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """A message that cannot be delivered any more; `number` is the one it had in its mailbox.

    In a transaction, 0 stands for a number of its own: the message has left the mailbox before.
    """

    number: int
    run: RunId
    kind: MessageKind
    name: str
    body: bytes
    dedup: str
    sent_at: int
    reason: DeathReason
    error: str = ""
    attempts: int = 0
    at: int = 0


class StreamRow(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Some consecutive values of one writer in a stream, or the retraction of a writer."""

    run: RunId
    name: str
    offset: int
    count: int
    kind: Literal["data", "retract"]
    writer: str
    body: bytes = b""


class TokenRow(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """A question that a run has asked, and what became of it.

    Deleted with its run; an open one is closed by the commit that closes its run. `detail` is
    JSON, `digest` that of title and detail, `value` the answer's payload.
    """

    id: str
    run: RunId
    workflow: str
    key: str
    kind: TokenKind
    title: str = ""
    detail: str = "null"
    digest: str = ""
    created_at: int
    expires_at: int | None = None
    status: TokenStatus = "open"
    value: bytes | None = None
    by: str = ""
    reason: str = ""
    answered_at: int | None = None


class Answer(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What somebody, or the clock, wants to become of an open token.

    Taken once for each token: with the one that is, `message` is posted to the token's run. One
    that carries a `digest` is for the question of that digest only.
    """

    token: str
    status: Literal["answered", "expired"]
    message: Message
    value: bytes | None = None
    by: str = ""
    reason: str = ""
    digest: str = ""
    at: int


class Answered(msgspec.Struct, frozen=True, gc=False):
    """What became of an answer, and how the token stands now; `number` is that of the message."""

    result: AnswerResult
    row: TokenRow | None = None
    number: int = 0
