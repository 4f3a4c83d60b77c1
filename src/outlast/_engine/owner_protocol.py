"""What commands of other processes and the engine that owns a database say to each other.

A frame on the Unix socket beside the database is four bytes of length and a msgpack message. Each
request has one reply, in order.
"""

from __future__ import annotations

import os
import struct
import sys
from asyncio import StreamReader
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, TypeVar

import msgspec

from outlast import limits
from outlast.errors import DecodingError, NotSupported, PayloadTooLarge
from outlast.types import ForkKeys, ForkSignals, OnConflict, RerunPlan, Reuse, RunInfo

HEADER = struct.Struct(">I")
_ADDRESS_BYTES_MAX = 103 if sys.platform == "darwin" else 107  # sun_path, less its ending zero

SteeringVerb = Literal["pause", "resume", "discard", "retry"]
T = TypeVar("T")


class Ping(msgspec.Struct, frozen=True, array_like=True, tag="ping"):
    """Who is there?"""


class Start(msgspec.Struct, frozen=True, array_like=True, tag="start", kw_only=True):
    """Start a run.

    The input is `json`, an object of arguments by name, or `encoded` as the sender's code does it.
    With the latter, and `digest` and `version`, a workflow that the owner has no code for can be
    started too: the run waits for an engine that has it.
    """

    workflow: str
    json: bytes | None = None
    encoded: bytes | None = None
    digest: bytes = b""
    version: str = ""
    timeout_seconds: float | None = None
    id: str | None = None
    on_conflict: OnConflict = "attach"
    reuse: Reuse = "if_failed"
    attributes: dict[str, str | int | float | bool] = {}
    request: str = ""
    place: str = ""


class SendSignal(msgspec.Struct, frozen=True, array_like=True, tag="signal"):
    """Send a signal; `json` is its value."""

    run: str
    name: str
    json: bytes
    dedup: str = ""
    allow_undeclared: bool = False


class SendUpdate(msgspec.Struct, frozen=True, array_like=True, tag="update"):
    """Have a run answer an update; `json` is its value, `id` the same when it is asked again."""

    run: str
    name: str
    json: bytes
    id: str
    timeout_seconds: float | None = None


class Cancel(msgspec.Struct, frozen=True, array_like=True, tag="cancel"):
    """Ask a run to stop."""

    run: str
    reason: str = ""
    grace_seconds: float | None = None


class Terminate(msgspec.Struct, frozen=True, array_like=True, tag="terminate"):
    """End a run now."""

    run: str
    reason: str = ""


class Steer(msgspec.Struct, frozen=True, array_like=True, tag="steer"):
    """Have a run stand still, go on, or do again what failed."""

    run: str
    verb: SteeringVerb


class Fork(msgspec.Struct, frozen=True, array_like=True, tag="fork"):
    """Start a run from another one's past; `json` is an object of arguments by name."""

    run: str
    at: int | str
    json: bytes | None = None
    keys: ForkKeys = "same"
    signals: ForkSignals = "leave"


class PlanRerun(msgspec.Struct, frozen=True, array_like=True, tag="plan_rerun"):
    """Return what a fork, or without one a retry, would run again; nothing is done."""

    run: str
    fork: Fork | None = None


class AnswerToken(msgspec.Struct, frozen=True, array_like=True, tag="answer"):
    """Answer a token; `json` is the value, of an approval true or false."""

    token: str
    json: bytes
    by: str = ""
    reason: str = ""
    digest: str = ""
    is_verdict: bool = False


class WriteToActor(msgspec.Struct, frozen=True, array_like=True, tag="actor"):
    """Ask or tell an actor; `json` is an object of arguments by name."""

    actor: str
    key: str
    handler: str
    json: bytes
    asks: bool
    timeout_seconds: float | None = None


class Publish(msgspec.Struct, frozen=True, array_like=True, tag="publish"):
    """Publish a value under a topic's name; `json` is the value."""

    topic: str
    json: bytes
    dedup: str = ""


class Redrive(msgspec.Struct, frozen=True, array_like=True, tag="redrive"):
    """Send a dead letter again."""

    number: int


class Info(msgspec.Struct, frozen=True, array_like=True, tag="info"):
    """What is known of a run, fresh from memory."""

    run: str


class Why(msgspec.Struct, frozen=True, array_like=True, tag="why"):
    """What a run waits for, fresh from memory."""

    run: str


class Pong(msgspec.Struct, frozen=True, array_like=True, tag="pong"):
    """The owner: its process, and the workflows that it has code for."""

    pid: int
    workflows: list[str]


class WasStarted(msgspec.Struct, frozen=True, array_like=True, tag="started"):
    """Which run a start gave; `has_code` says whether the owner can execute it."""

    run: str
    created: bool
    has_code: bool


class Done(msgspec.Struct, frozen=True, array_like=True, tag="done"):
    """It is safe on disk."""


class Text(msgspec.Struct, frozen=True, array_like=True, tag="text"):
    """An answer in words."""

    text: str


class Known(msgspec.Struct, frozen=True, array_like=True, tag="known"):
    """What is known of a run."""

    info: RunInfo


class Planned(msgspec.Struct, frozen=True, array_like=True, tag="planned"):
    """What would run again."""

    plan: RerunPlan


class Refused(msgspec.Struct, frozen=True, array_like=True, tag="refused"):
    """An error, stored as failures are."""

    failure: bytes


Request = (
    Ping
    | Start
    | SendSignal
    | SendUpdate
    | Cancel
    | Terminate
    | Steer
    | Fork
    | PlanRerun
    | AnswerToken
    | WriteToActor
    | Publish
    | Redrive
    | Info
    | Why
)
Reply = Pong | WasStarted | Done | Text | Known | Planned | Refused

_encode = msgspec.msgpack.Encoder().encode
_requests: msgspec.msgpack.Decoder[Request] = msgspec.msgpack.Decoder(Request)
_replies: msgspec.msgpack.Decoder[Reply] = msgspec.msgpack.Decoder(Reply)


def frame(message: Request | Reply) -> bytes:
    """Return a message with its length before it.

    Raises:
        PayloadTooLarge: the other side would refuse it.
    """
    data = _encode(message)
    if len(data) > limits.SOCKET_FRAME_BYTES_MAX:
        raise PayloadTooLarge("the message", len(data), limits.SOCKET_FRAME_BYTES_MAX)
    return HEADER.pack(len(data)) + data


def decode_request(data: bytes) -> Request:
    """Return the request.

    Raises:
        DecodingError: it is none.
    """
    return _decoded(_requests, data)


def decode_reply(data: bytes) -> Reply:
    """Return the reply.

    Raises:
        DecodingError: it is none.
    """
    return _decoded(_replies, data)


def _decoded(decoder: msgspec.msgpack.Decoder[T], data: bytes) -> T:
    try:
        return decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DecodingError("$", f"no message of outlast: {error}") from None


async def read_frame(reader: StreamReader) -> bytes:
    """Return the next message's bytes.

    Raises:
        IncompleteReadError: the other side has closed.
        PayloadTooLarge: what comes is no frame, or too large.
    """
    (length,) = HEADER.unpack(await reader.readexactly(HEADER.size))
    size = int(length)
    if size > limits.SOCKET_FRAME_BYTES_MAX:
        raise PayloadTooLarge("the message", size, limits.SOCKET_FRAME_BYTES_MAX)
    return await reader.readexactly(size)


def socket_path(database: Path) -> Path:
    """Return where the owner of a database listens."""
    full = Path(os.path.realpath(database))
    return full.with_name(full.name + ".sock")


@contextmanager
def address_of(path: Path) -> Generator[str]:
    """Give an address for a socket's path: the kernel takes about a hundred bytes, paths have more.

    Raises:
        NotSupported: it is too long, and this system has no way around that.
    """
    if len(os.fsencode(path)) <= _ADDRESS_BYTES_MAX:
        yield str(path)
        return
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        short = f"/proc/self/fd/{directory}/{path.name}"
        if not Path("/proc/self/fd").is_dir() or len(os.fsencode(short)) > _ADDRESS_BYTES_MAX:
            raise NotSupported(f"a Unix socket at so long a path as {path}")
        yield short
    finally:
        os.close(directory)
