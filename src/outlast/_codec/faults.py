"""What goes wrong between values and bytes, before it has become a public error.

A `Fault` starts where the value does not fit, without knowing where that is; each container
that it passes on its way out adds its own segment. So the path costs nothing while all is well.

Invariants:
  * a fault never calls code of the value that it reports: no `repr`, no `str`;
  * the text of a path and of a list of faults is bounded.
"""

from __future__ import annotations

from collections.abc import Sequence

from outlast.errors import DecodingError, EncodingError
from outlast.limits import DEPTH_MAX
from outlast.secret import ADVICE

FAULTS_SHOWN_MAX = 20
"""Faults named in one message; a caller repairs some and asks again."""

SEGMENT_CHARS_MAX = 60
"""One key in a path; keys come from outside and can be megabytes."""

TOO_DEEP = f"nested deeper than {DEPTH_MAX} levels, or contains itself"


class Fault(Exception):
    """A value or a datum does not fit; holds one or more (path segments, reason)."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.found: list[tuple[list[str], str]] = [([], reason)]

    @classmethod
    def together(cls, faults: Sequence[Fault]) -> Fault:
        """Return one fault that stands for all of them."""
        merged = cls("several faults")
        merged.found = [entry for fault in faults for entry in fault.found]
        return merged

    def under(self, segment: str) -> Fault:
        """Move every path one level down, below `segment`; returns itself for `raise`."""
        for segments, _ in self.found:
            segments.append(segment)
        return self

    def encoding_error(self) -> EncodingError:
        """Return the public error for a value that cannot be stored."""
        error = EncodingError(*self._path_and_reason())
        error.faults = self._lines()[:FAULTS_SHOWN_MAX]
        return error

    def decoding_error(self) -> DecodingError:
        """Return the public error for data that does not fit its declared type."""
        error = DecodingError(*self._path_and_reason())
        error.faults = self._lines()[:FAULTS_SHOWN_MAX]
        return error

    def _lines(self) -> tuple[tuple[str, str], ...]:
        return tuple(("$" + "".join(reversed(segments)), reason) for segments, reason in self.found)

    def _path_and_reason(self) -> tuple[str, str]:
        lines = self._lines()
        if len(lines) == 1:
            return lines[0]
        shown = "; ".join(f"{path}: {reason}" for path, reason in lines[:FAULTS_SHOWN_MAX])
        rest = len(lines) - FAULTS_SHOWN_MAX
        more = f"; and {rest} more" if rest > 0 else ""
        return "$", f"{len(lines)} faults: {shown}{more}"


class SecretFault(Fault):
    """Somebody wants to store a `Secret`."""

    def __init__(self) -> None:
        super().__init__(ADVICE)


def key_segment(key: object) -> str:
    """Return the path segment of a mapping's key, without calling code of the key."""
    if type(key) is str:
        if len(key) <= SEGMENT_CHARS_MAX:
            return f".{key}" if key.isidentifier() else f"[{key!a}]"
        return f"[{key[:SEGMENT_CHARS_MAX]!a}...]"
    if type(key) is int:
        return f"[{key}]" if -(2**64) < key < 2**64 else "[an int beyond 64 bits]"
    return f"[{type_name(type(key))} key]"


def type_name(cls: type) -> str:
    """Return the name of a class for a message, whatever its metaclass does."""
    name: object = type.__getattribute__(cls, "__qualname__")
    return name if type(name) is str else "?"


def error_text(error: BaseException) -> str:
    """Return a short text of an error from a class of the user's."""
    try:
        text = f"{error}"
    except Exception:  # noqa: BLE001 - a user's __str__ may raise anything
        text = "(its text cannot be read)"
    return f"{type_name(type(error))}: {text[:500]}"
