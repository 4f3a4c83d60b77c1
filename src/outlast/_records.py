"""The journal's record: one line of a run's ordered history.

Invariants:
  * `seq` counts from 1 without gaps within a run; `at` and `epoch` never go down;
  * a record never changes once it is in a journal;
  * the first byte of a body says what follows, so that any process can read it:
    a value, a failure, or the address of a blob that holds the body.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Literal, TypeAlias

import msgspec

from outlast import limits

Kind: TypeAlias = Literal[
    "run_started",
    "run_began",
    "step_intent",
    "step_done",
    "attempt_failed",
    "step_late",
    "timer_fired",
    "signal",
    "signal_discarded",
    "value_set",
    "stream_written",
    "stream_retracted",
    "child_started",
    "child_done",
    "token_opened",
    "token_answered",
    "update_accepted",
    "update_done",
    "cancel_requested",
    "resumed",
    "chance_renewed",
    "message_begun",
    "message_nested",
    "nested_ended",
    "run_closed",
]

NO_PROGRESS: frozenset[Kind] = frozenset(
    (
        "run_started",
        "run_began",
        "cancel_requested",
        "signal",
        "update_accepted",
        "step_late",
        "chance_renewed",
    )
)
"""Records that come without the run's code having got any further: a run that kills its process
before every other record is one that does nothing else."""

VALUE = b"\x00"
FAILURE = b"\x01"
BLOB = b"\xff"
EMPTY = b""


class Record(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """One record of a run's journal, with its body encoded.

    `key` names the operation of the workflow that the record belongs to (see
    `outlast._execution.tasks`); `place` is the source line that asked for it. Of a step's attempt,
    `waited` is how long it stood in the queue and `took` how long its body ran, in microseconds.
    """

    seq: int
    kind: Kind
    key: str
    name: str
    at: int
    epoch: int
    attempt: int = 0
    place: str = ""
    body: bytes = EMPTY
    waited: int = 0
    took: int = 0


class Blob(msgspec.Struct, frozen=True, gc=False):
    """A large body, stored once under the hash of its bytes."""

    digest: bytes
    body: bytes


def detach(body: bytes) -> tuple[bytes, Blob | None]:
    """Return what the journal row holds for `body`, and the blob it points to if it is large."""
    if len(body) < limits.BLOB_BYTES_MIN:
        return body, None
    digest = hashlib.sha256(body).digest()
    return BLOB + digest, Blob(digest, body)


def blob_digest(body: bytes) -> bytes | None:
    """Return the hash of the blob that `body` points to, or None when it holds the bytes itself."""
    return body[1:] if body[:1] == BLOB else None


def attach(records: Sequence[Record], blobs: Sequence[Blob]) -> list[Record]:
    """Return records with the bodies that `blobs` hold in the place of their addresses."""
    if not blobs:
        return list(records)
    bodies = {blob.digest: blob.body for blob in blobs}
    filled: list[Record] = []
    for record in records:
        digest = blob_digest(record.body)
        body = bodies.get(digest) if digest is not None else None
        filled.append(record if body is None else msgspec.structs.replace(record, body=body))
    return filled


_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(list[Record]).decode


def pack_records(records: list[Record]) -> bytes:
    """Return a history segment: the records as they were appended."""
    return _pack(records)


def unpack_records(segment: bytes) -> list[Record]:
    """Return the records of a history segment."""
    return _unpack(segment)
