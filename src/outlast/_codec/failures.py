"""The stored form of an exception.

Invariants:
  * `capture` never raises, whatever the exception does when it is looked at, and what it
    returns is bounded and can be encoded.
"""

from __future__ import annotations

import dataclasses
import os
import traceback
from dataclasses import dataclass
from types import MemberDescriptorType, TracebackType
from typing import Literal, TypeGuard

from msgspec import msgpack

from outlast._codec.adapters import adapter_for
from outlast._codec.classes.records import RecordNode
from outlast._codec.faults import Fault, type_name
from outlast._codec.modules import home_of
from outlast._codec.nodes.jsonlike import JSON_LIKE, encode_wire
from outlast._codec.nodes.node import Walk
from outlast._shapes import (
    is_any_tuple,
    is_dict,
    is_frozenset,
    is_group,
    is_list,
    is_set,
    is_tuple,
)
from outlast._wording.redaction import REDACTED, redact
from outlast.errors import DecodingError, OutlastError, PayloadTooLarge
from outlast.limits import CAUSES_MAX, DEPTH_MAX, ERROR_TEXT_CHARS_MAX, TRACEBACK_CHARS_MAX

DATA_BYTES_MAX = 4 * ERROR_TEXT_CHARS_MAX
"""Encoded `args`, and encoded attributes: as much as the longest message takes in UTF-8."""

ATTRIBUTES_MAX = 100
"""Attributes of an exception that are stored."""

FRAMES_FIRST, FRAMES_LAST = 16, 64
"""Frames of a traceback: where the call began, and where it ended."""

_CUT = "\n... (cut) ...\n"


@dataclass(frozen=True, slots=True)
class Failure:
    """An exception as data.

    Attributes:
        args: its `args`, encoded; None when they cannot be.
        state: those of its attributes that can be encoded; None when there are none.
        fields: the fields of an exception that is a dataclass, by their declared types; None when
            it is none, or when they cannot be encoded.
        traceback: text, with the members of a group summed up. It ends with the names of the
            attributes that cannot be stored.
        members: the exceptions of a group; empty when one of them did not fit.
        came_as: how the code that waited for it has seen it: as an exception of its own class, or
            as text only; empty when that was not recorded.
    """

    module: str
    qualname: str
    message: str
    args: bytes | None = None
    state: bytes | None = None
    traceback: str = ""
    cause: Failure | None = None
    members: tuple[Failure, ...] = ()
    fields: bytes | None = None
    came_as: Literal["", "itself", "text"] = ""


def capture(exc: BaseException) -> Failure:
    """Return the stored form of an exception. Never raises."""
    try:
        return _Capture().failure(exc, depth=0)
    except BaseException:  # noqa: BLE001 - out of memory or stack, or an exception that fights back
        name = type_name(type(exc))
        return Failure(module=_module_of(type(exc)), qualname=_cut(name, 200), message="(lost)")


def encode_failure(failure: Failure) -> bytes:
    """Return the bytes of a failure."""
    return encode_wire(failure)


def decode_failure(data: bytes) -> Failure:
    """Return the failure that was encoded.

    Raises:
        DecodingError: the bytes are no failure.
    """
    try:
        return _decoder.decode(data)
    except Exception as error:  # noqa: BLE001 - outside bytes: msgspec, Unicode, recursion
        raise DecodingError("$", f"not a stored failure ({type_name(type(error))})") from None


_decoder = msgpack.Decoder(Failure)


class _Capture:
    """One capture: knows what it is inside of, since causes and groups can be cyclic.

    One exception may be met twice, as two members of a group or as the cause of both.
    """

    def __init__(self) -> None:
        self._around: set[int] = set()
        self._left = CAUSES_MAX * CAUSES_MAX

    def failure(self, exc: BaseException, *, depth: int) -> Failure:
        """Return the failure of one exception and what belongs to it."""
        self._around.add(id(exc))
        self._left -= 1
        cls = type(exc)
        message = _message_of(exc)
        cause = self._cause(exc, depth)
        members = self._members(exc, depth)
        self._around.discard(id(exc))
        # Those below the first share the space of one: together they stay within the limit.
        share = TRACEBACK_CHARS_MAX if depth == 0 else TRACEBACK_CHARS_MAX // CAUSES_MAX
        args, fields = _args_of(exc, message), _fields_of(exc)
        state, left_out = _state_of(exc, _field_names(exc) if fields is not None else frozenset())
        if args is None and fields is None:
            left_out.insert(0, "args")
        text = _traceback_of(exc, message, cause, members)
        if left_out and not isinstance(exc, OutlastError):  # the texts of ours tell all they have
            text += f"\n(attributes that cannot be stored were left out: {', '.join(left_out)})"
        return Failure(
            module=_module_of(cls),
            qualname=_cut(type_name(cls), 200),
            message=message,
            args=args,
            state=state,
            traceback=_cut(redact(text), share),
            cause=cause,
            members=members,
            fields=fields,
        )

    def _cause(self, exc: BaseException, depth: int) -> Failure | None:
        cause = _attribute(exc, "__cause__")
        if cause is None and _attribute(exc, "__suppress_context__") is not True:
            cause = _attribute(exc, "__context__")
        return self._part(cause, depth)

    def _part(self, exc: object, depth: int) -> Failure | None:
        if (
            not isinstance(exc, BaseException)
            or id(exc) in self._around
            or depth + 1 >= CAUSES_MAX
            or self._left <= 0
        ):
            return None
        return self.failure(exc, depth=depth + 1)

    def _members(self, exc: BaseException, depth: int) -> tuple[Failure, ...]:
        if not is_group(exc):
            return ()
        found: list[Failure] = []
        members: object = _attribute(exc, "exceptions")
        for member in members if is_any_tuple(members) else ():
            part = self._part(member, depth)
            if part is None:
                return ()
            found.append(part)
        return tuple(found)


def _attribute(exc: BaseException, name: str) -> object:
    try:
        value: object = object.__getattribute__(exc, name)
    except BaseException:  # noqa: BLE001 - a property of the user's class may raise anything
        return None
    return value


def _module_of(cls: type) -> str:
    module: object = cls.__dict__.get("__module__", "builtins")
    return _cut(home_of(module), 200) if type(module) is str else "?"


def _message_of(exc: BaseException) -> str:
    try:
        text = str(exc)
    except BaseException as error:  # noqa: BLE001 - a user's __str__ may raise anything
        return f"(its __str__ raised {_cut(type_name(type(error)), 200)})"
    # Its class may derive from str, with methods of its own. Cut twice: what the first cut may
    # leave of a secret stands where the second one cuts, and searching megabytes takes seconds.
    text = redact(_cut(str.__str__(text), 4 * ERROR_TEXT_CHARS_MAX))
    return _cut(text, ERROR_TEXT_CHARS_MAX)


def _cut(text: str, limit: int) -> str:
    """Return text within the limit, its middle cut out, without lone surrogates."""
    if len(text) > limit:
        half = (limit - len(_CUT)) // 2
        text = text[:half] + _CUT + text[len(text) - half :]
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def _args_of(exc: BaseException, message: str) -> bytes | None:
    args = _attribute(exc, "args")
    if is_group(exc):
        # The members are stored as failures of their own.
        args = (_attribute(exc, "message"),)
    if not is_tuple(args):
        return None
    data = _encoded(args)
    if data is None and len(args) == 1 and isinstance(args[0], str):
        return _encoded((message,))  # too long, or no text that UTF-8 can hold
    return data


def _state_of(exc: BaseException, in_fields: frozenset[str]) -> tuple[bytes | None, list[str]]:
    """Return the attributes that can be encoded, and the names of those that cannot."""
    state = _attribute(exc, "__dict__")
    found: dict[object, object] = dict(state) if is_dict(state) else {}
    for name in slots_of(type(exc)):
        value = _attribute(exc, name)
        if value is not None:
            found[name] = _path_as_text(value) if name in _FILE_NAMES else value
    kept = {
        name: value
        for name, value in list(found.items())[:ATTRIBUTES_MAX]
        if type(name) is str and _encoded(value) is not None
    }
    data = _encoded(kept) if kept else None
    stored = frozenset[object]() if data is None else kept.keys()
    left_out = [f"{name}"[:200] for name in found if name not in stored and name not in in_fields]
    return data, left_out[:ATTRIBUTES_MAX]


def _path_as_text(value: object) -> object:
    return os.fspath(value) if _is_path(value) else value


def _is_path(value: object) -> TypeGuard[os.PathLike[str]]:
    return isinstance(value, os.PathLike)


def slots_of(cls: type) -> list[str]:
    """Return the names of the slots that a class and its parents declare.

    Of builtin parents, those that a constructor's arguments do not give back.
    """
    return [
        name
        for owner in cls.__mro__
        for name, member in vars(owner).items()
        if isinstance(member, MemberDescriptorType)
        and (owner.__module__ != "builtins" or name in _BUILTIN_SLOTS)
    ]


_FILE_NAMES = ("filename", "filename2")
_BUILTIN_SLOTS = frozenset({*_FILE_NAMES, "errno", "strerror", "name", "path"})


def _fields_of(exc: BaseException) -> bytes | None:
    if not dataclasses.is_dataclass(exc) and "__attrs_attrs__" not in vars(type(exc)):
        return None
    try:
        node = adapter_for(type(exc)).node
        walk = Walk()
        walk.left = DATA_BYTES_MAX
        data = encode_wire(node.lower(exc, DEPTH_MAX, walk))
    except Exception:  # noqa: BLE001 - what cannot be stored is left out: `args` may have it
        return None
    # Nothing secret goes into a journal: then what is redacted elsewhere stands for it.
    is_clean = redact(text := data.decode("utf-8", "replace")) == text
    return data if is_clean and len(data) <= DATA_BYTES_MAX else None


def _field_names(exc: BaseException) -> frozenset[str]:
    node = adapter_for(type(exc)).node
    return frozenset(m.name for m in node.members) if isinstance(node, RecordNode) else frozenset()


def _encoded(value: object) -> bytes | None:
    try:
        walk = Walk()
        walk.left = DATA_BYTES_MAX
        # What is not JSON-like, or too much, is refused before its texts are searched.
        JSON_LIKE.lower(value, DEPTH_MAX, walk)
        data = encode_wire(JSON_LIKE.lower(redacted(value), DEPTH_MAX, Walk()))
    except (Fault, PayloadTooLarge, RecursionError, MemoryError):
        return None
    return data if len(data) <= DATA_BYTES_MAX else None


def redacted(data: object) -> object:
    """Return JSON-like data, which has been found not too deep, with its texts redacted."""
    if type(data) is str:
        return redact(data)
    if type(data) is bytes:
        text = data.decode("utf-8", "replace")
        return data if redact(text) == text else REDACTED.encode()
    if is_list(data):
        return [redacted(item) for item in data]
    if is_dict(data):
        return {redacted(key): redacted(item) for key, item in data.items()}
    if is_tuple(data):
        return tuple(redacted(item) for item in data)
    if is_set(data):
        return {redacted(item) for item in data}
    return frozenset(redacted(item) for item in data) if is_frozenset(data) else data


def _traceback_of(
    exc: BaseException, message: str, cause: Failure | None, members: tuple[Failure, ...]
) -> str:
    lines: list[str] = []
    if cause is not None:
        lines += [cause.traceback, "\n\nWhich led to:\n\n"]
    try:
        lines += _frames(exc.__traceback__)
    except BaseException as error:  # noqa: BLE001 - source lines come through loaders of others
        lines.append(f"(its traceback cannot be shown: {type_name(type(error))})\n")
    lines.append(f"{type_name(type(exc))}: {message}")
    for number, member in enumerate(members, 1):
        lines.append(f"\n\n  Member {number} of {len(members)}:\n{member.traceback}")
    if not members and is_group(exc):
        lines += [f"\n  Member: {_summary(member)}" for member in _first_members(exc)]
    return "".join(lines)


def _first_members(exc: BaseException) -> tuple[object, ...]:
    members = _attribute(exc, "exceptions")
    return members[: CAUSES_MAX * CAUSES_MAX] if is_any_tuple(members) else ()


def _summary(exc: object) -> str:
    if not isinstance(exc, BaseException):
        return "?"
    return f"{type_name(type(exc))}: {_message_of(exc)[:500]}"


def _frames(start: TracebackType | None) -> list[str]:
    frames: list[TracebackType] = []
    while start is not None:
        frames.append(start)
        start = start.tb_next
    if not frames:
        return []
    lines = ["Traceback (most recent call last):\n"]
    if len(frames) > FRAMES_FIRST + FRAMES_LAST:
        skipped = len(frames) - FRAMES_FIRST - FRAMES_LAST
        lines += _format(frames[:FRAMES_FIRST])
        lines.append(f"  ... ({skipped} frames) ...\n")
        return lines + _format(frames[-FRAMES_LAST:])
    return lines + _format(frames)


def _format(frames: list[TracebackType]) -> list[str]:
    pairs = ((frame.tb_frame, frame.tb_lineno) for frame in frames)
    return traceback.StackSummary.extract(pairs).format()
