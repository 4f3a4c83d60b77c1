"""A request's body as JSON data: counted before it is read, read once, each key once.

Invariants:
  * nothing is made of a body that has more nodes than the limit: a reader in C would hold the
    interpreter for long, and each node costs a walk of ours as much as a large text;
  * whatever is malformed is a `Problem`, never another error.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from outlast import limits
from outlast._codec.jsontext import RepeatedName, members_once
from outlast._shapes import is_dict, is_list
from outlast._wire.formats.problems import Problem

_DEPTH_MAX = limits.DEPTH_MAX + 2  # a value, as one argument of the input
_TOO_DEEP = Problem(400, "malformed", f"the body is nested more than {_DEPTH_MAX} levels deep")
_PIECE_BYTES = 64 * 1024  # between two pieces another thread may go on


def json_of(data: bytes) -> object:
    """Return a body as JSON data.

    Raises:
        Problem: 400 no JSON, or a key twice; 422 too many nodes.
    """
    counted = _counted(data)
    if counted is not None and counted.nodes > limits.HTTP_NODES_MAX:
        raise Problem(
            422,
            "too-many-nodes",
            f"the body has {counted.nodes:,} JSON values; the limit is "
            f"{limits.HTTP_NODES_MAX:,}: send large data as one string, or store it elsewhere "
            "and send its address",
        )
    try:
        value = _decode(data)
    except RecursionError:
        raise _TOO_DEEP from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Problem(400, "malformed", f"the body is not JSON: {error}") from None
    keys = _keys_in(value, _DEPTH_MAX)
    if keys is None:
        raise _TOO_DEEP
    if keys != (_count(data) if counted is None else counted).keys:
        # Numbers are left as text: one of a million digits takes seconds to read.
        try:
            json.loads(data, object_pairs_hook=members_once, parse_int=str, parse_float=str)
        except RepeatedName as error:
            text = f"the body has the key {error.name[:50]!r} twice in one object: give it once"
            raise Problem(400, "malformed", text) from None
    return value


@dataclass(slots=True)
class _Counts:
    nodes: int = 1
    keys: int = 0


def _counted(data: bytes) -> _Counts | None:
    """Return the counts of a body that may have too many nodes; None of others."""
    separators = len(data) - len(data.translate(None, b",[{"))
    return _count(data) if separators >= limits.HTTP_NODES_MAX else None


def _count(data: bytes) -> _Counts:
    """Return how many nodes and keys a JSON text has; of one that is none, anything."""
    counts = _Counts()
    is_text = False
    opening = b""  # at the end of a piece: what it opens may be empty
    begin = 0
    while begin < len(data):
        piece = data[begin : begin + _PIECE_BYTES]
        begin += len(piece)
        if (len(piece) - len(piece.rstrip(b"\\"))) % 2:
            piece += data[begin : begin + 1]  # what is escaped
            begin += 1
        piece = piece.replace(b"\\\\", b"").replace(b'\\"', b"")
        parts = piece.split(b'"')
        outside = b'"'.join(parts[1 if is_text else 0 :: 2]).translate(None, b" \t\r\n")
        outside = opening + outside
        is_text ^= len(parts) % 2 == 0
        opening = outside[-1:] if outside[-1:] in (b"[", b"{") and not is_text else b""
        outside = outside[: len(outside) - len(opening)]
        empty = outside.count(b"[]") + outside.count(b"{}")
        counts.nodes += len(outside) - len(outside.translate(None, b",[{")) - empty
        counts.keys += len(outside) - len(outside.translate(None, b":"))
    return counts


def _float(text: str) -> float:
    """Return a number. The parser's own way takes 7 us for one of seventeen digits, in one go."""
    number = float(text)
    if math.isinf(number):
        raise ValueError("a number is out of range")
    return number


_decode: Callable[[bytes], object] = msgspec.json.Decoder(float_hook=_float).decode


def _keys_in(value: object, levels: int) -> int | None:
    """Return how many keys there are in JSON data; None if it is nested too deep."""
    keys = 0
    level: list[object] = [value]
    while level:
        lists = [item for item in level if is_list(item)]
        dicts = [item for item in level if is_dict(item)]
        if not lists and not dicts:
            return keys
        if levels <= 0:
            return None
        levels -= 1
        keys += sum(map(len, dicts))
        level = [item for inside in lists for item in inside]
        level += [item for inside in dicts for item in inside.values()]
    return keys
