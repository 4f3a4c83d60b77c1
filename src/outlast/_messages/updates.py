"""Updates as they are sent, and what is kept of them under their ids."""

from __future__ import annotations

import hashlib
from typing import Literal

import msgspec

from outlast import limits
from outlast._records import EMPTY
from outlast._store.rows import Message
from outlast.types import RunId

_ID = "\x01update/"
"""Before an update's id in its message: dedup keys of signals are printable."""

Stage = Literal["accepted", "done", "refused"]


class KeptUpdate(msgspec.Struct, frozen=True, array_like=True):
    """What is kept of an update, under its id.

    `digest` stands for name and argument. The outcome of one that is done is a value or a failure,
    as in records; it is empty when the handler was cancelled because the run ends.
    """

    digest: bytes
    stage: Stage
    outcome: bytes = EMPTY


def update_message(run: RunId, name: str, payload: bytes, update_id: str, *, at: int) -> Message:
    """Return an update as its run's mailbox takes it."""
    return Message(
        run=run,
        kind="update",
        name=name,
        body=payload,
        dedup=dedup_of(update_id),
        at=at,
        bound=limits.UPDATES_WAITING_MAX,
    )


def dedup_of(update_id: str) -> str:
    """Return the dedup key of an update's message."""
    return _ID + update_id


def id_of(message: Message) -> str:
    """Return the id that the caller gave an update."""
    return message.dedup.removeprefix(_ID)


def digest_of(name: str, payload: bytes) -> bytes:
    """Return what stands for an update's name and argument."""
    return hashlib.sha256(name.encode() + b"\x00" + payload).digest()
