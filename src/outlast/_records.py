"""The journal's record: one line of a run's ordered history.

Invariants:
  * `seq` counts from 1 without gaps within a run; `at` and `epoch` never go down;
  * a record never changes once it is in a journal;
  * the first byte of a body says what follows, so that any process can read it:
    a value, a failure, the address of a blob that holds the body, or, of a step, its input with
    one of these behind it.
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
        "stream_written",
        "stream_retracted",
    )
)
"""Records that come without the run's code having got any further: a run that kills its process
before every other record is one that does nothing else."""

VALUE = b"\x00"
FAILURE = b"\x01"
INPUT = b"\x02"
BLOB = b"\xff"
EMPTY = b""


class Record(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """One record of a run's journal, with its body encoded.

    `key` names the operation of the workflow that the record belongs to (see
    `_execution.loop.tasks`); `place` is the source line that asked for it. Of a step's attempt,
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


def with_input(given: bytes, outcome: bytes) -> bytes:
    """Return the body that says what a step was given, and what came of it."""
    return INPUT + len(given).to_bytes(_LENGTH_BYTES, "big") + given + outcome


_LENGTH_BYTES = 2


def split_input(body: bytes) -> tuple[bytes, bytes]:
    """Return the part of a body that says what a step was given, and the outcome."""
    if body[:1] != INPUT:
        return EMPTY, body
    end = 1 + _LENGTH_BYTES + int.from_bytes(body[1 : 1 + _LENGTH_BYTES], "big")
    return body[:end], body[end:]


def input_of(body: bytes) -> bytes:
    """Return what a step was given, as it was recorded; empty when it was not."""
    return split_input(body)[0][1 + _LENGTH_BYTES :]


def outcome_of(body: bytes) -> bytes:
    """Return the value or failure that a body holds."""
    return body if body[:1] != INPUT else split_input(body)[1]


def detach(body: bytes) -> tuple[bytes, Blob | None]:
    """Return what the journal row holds for `body`, and the blob it points to if it is large.

    A step's input stays in the row: equal outcomes are stored once, whatever led to them.
    """
    if len(body) < limits.BLOB_BYTES_MIN:
        return body, None
    given, outcome = split_input(body)
    if len(outcome) < limits.BLOB_BYTES_MIN:
        return body, None
    digest = hashlib.sha256(outcome).digest()
    return given + BLOB + digest, Blob(digest, outcome)


def blob_digest(body: bytes) -> bytes | None:
    """Return the hash of the blob that `body` points to, or None when it holds the bytes itself."""
    first = body[:1]
    if first == BLOB:
        return body[1:]
    if first == INPUT:
        outcome = outcome_of(body)
        return outcome[1:] if outcome[:1] == BLOB else None
    return None


def filled(body: bytes, blob: bytes) -> bytes:
    """Return a body with what its blob holds in the place of the address."""
    return split_input(body)[0] + blob


def attach(records: Sequence[Record], blobs: Sequence[Blob]) -> list[Record]:
    """Return records with the bodies that `blobs` hold in the place of their addresses."""
    if not blobs:
        return records if isinstance(records, list) else list(records)
    bodies = {blob.digest: blob.body for blob in blobs}
    found: list[Record] = []
    for record in records:
        digest = blob_digest(record.body)
        blob = bodies.get(digest) if digest is not None else None
        if blob is not None:
            record = msgspec.structs.replace(record, body=filled(record.body, blob))
        found.append(record)
    return found


_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(list[Record]).decode


def pack_records(records: list[Record]) -> bytes:
    """Return a history segment: the records as they were appended."""
    return _pack(records)


def unpack_records(segment: bytes) -> list[Record]:
    """Return the records of a history segment."""
    return _unpack(segment)
