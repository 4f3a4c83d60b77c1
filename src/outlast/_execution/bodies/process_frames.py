"""What the engine and its worker processes say to each other: frames of msgpack on a socket.

A frame is four bytes of length and a message. The engine sends `Setup` once, then `Job`s, one at a
time; a worker sends what the step sends, then `Returned` or `Raised`.

Invariant: nothing in a frame is run or imported because it was received; `Setup` and `Job` come
from the parent process alone, and name code that the parent has loaded itself.
"""

from __future__ import annotations

import struct

import msgspec

from outlast import limits
from outlast.errors import PayloadTooLarge

HEADER = struct.Struct(">I")


class CodeReference(msgspec.Struct, frozen=True, array_like=True):
    """Something at module level: where it was loaded from, and its attribute path."""

    module: str
    qualname: str
    file: str = ""


class Setup(msgspec.Struct, frozen=True, array_like=True, tag="setup"):
    """How a worker finds code as its parent did, and the makers of resources by type.

    `argv` is the parent's command line: its program may read it when it is imported.
    """

    path: list[str]
    argv: list[str]
    main_file: str
    main_name: str
    resources: list[tuple[CodeReference, CodeReference | None]]


class Job(msgspec.Struct, frozen=True, array_like=True, tag="job"):
    """One attempt of a step."""

    number: int
    step: str
    code: CodeReference
    arguments: bytes
    run: str
    key: str
    attempt: int
    fence: int
    deadline: float | None
    last_heartbeat: bytes | None


class Tell(msgspec.Struct, frozen=True, array_like=True, tag="tell"):
    """The job is no longer awaited, or the engine is draining."""

    number: int
    cancelled: bool
    shutting_down: bool


class Heartbeat(msgspec.Struct, frozen=True, array_like=True, tag="heartbeat"):
    """`this_step().heartbeat(...)`."""

    data: bytes


class Wrote(msgspec.Struct, frozen=True, array_like=True, tag="wrote"):
    """`Stream.write`."""

    name: str
    data: bytes


class WasSet(msgspec.Struct, frozen=True, array_like=True, tag="set"):
    """`Value.set`."""

    name: str
    data: bytes


class Returned(msgspec.Struct, frozen=True, array_like=True, tag="returned"):
    """The step returned; its value is encoded by its declared type."""

    number: int
    value: bytes


class Raised(msgspec.Struct, frozen=True, array_like=True, tag="raised"):
    """The step raised: a stored failure, and the classes that the error was an instance of.

    `is_spoilt`: the step's module could not be imported. It may be there by half, and what it has
    declared too, so the worker must run nothing more.
    """

    number: int
    failure: bytes
    classes: list[tuple[str, str]]
    is_spoilt: bool = False


ToWorker = Setup | Job | Tell
FromWorker = Heartbeat | Wrote | WasSet | Returned | Raised

_encode = msgspec.msgpack.Encoder().encode
decode_to_worker = msgspec.msgpack.Decoder(ToWorker).decode
decode_from_worker = msgspec.msgpack.Decoder(FromWorker).decode


def frame(message: ToWorker | FromWorker) -> bytes:
    """Return a message with its length before it.

    Raises:
        PayloadTooLarge: the other side would refuse it.
    """
    data = _encode(message)
    if len(data) > limits.PROCESS_FRAME_BYTES_MAX:
        raise PayloadTooLarge(
            "a message to or from a worker process", len(data), limits.PROCESS_FRAME_BYTES_MAX
        )
    return HEADER.pack(len(data)) + data


def length_of(header: bytes) -> int:
    """Return the length of the message that follows.

    Raises:
        PayloadTooLarge: it is no frame of ours.
    """
    (length,) = HEADER.unpack(header)
    size = int(length)
    if size > limits.PROCESS_FRAME_BYTES_MAX:
        raise PayloadTooLarge(
            "a message to or from a worker process", size, limits.PROCESS_FRAME_BYTES_MAX
        )
    return size
