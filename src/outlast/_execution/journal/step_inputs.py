"""What steps were given, as their first record says it.

Replay gives a step its arguments again, so they are recorded for people only, and that must cost
a step next to nothing. Small arguments are written out. Of a large one the record says which
earlier record of the run has the same value, or else only how large it was.

Invariant: what is recorded here decides nothing; a journal without it replays alike.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from outlast import limits
from outlast._records import VALUE
from outlast._shapes import is_dict


class StepInput(msgspec.Struct, frozen=True, array_like=True):
    """The arguments of a step.

    `small` are those that are written out. `large` has the others' sizes in bytes, each with the
    `seq` of the record whose value it is, 0 when there is none.
    """

    small: dict[str, object] = {}
    large: dict[str, tuple[int, int]] = {}


_encode = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(StepInput)


def decode_input(given: bytes) -> StepInput | None:
    """Return the arguments that a record has, None when it has none."""
    return _decoder.decode(given) if given else None


class StepInputs:
    """Writes down what the steps of one run are given; knows which records have large values."""

    __slots__ = ("_seqs",)

    def __init__(self) -> None:
        self._seqs: dict[int, int] = {}  # of hashes, which this process gives, and keeps

    def known(self, seq: int, outcome: bytes) -> None:
        """Take note of what a step returned: another one may be given it."""
        size = len(outcome) - 1
        is_hashed = limits.STEP_ARGUMENT_BYTES_MAX < size <= limits.STEP_ARGUMENT_HASHED_BYTES_MAX
        if not is_hashed or outcome[:1] != VALUE:
            return
        if len(self._seqs) < limits.STEP_VALUES_KNOWN_MAX:
            self._seqs[hash(outcome[1:])] = seq

    def known_arguments(self, seq: int, call: bytes) -> None:
        """Take note of what the run itself was given: steps may be given parts of it."""
        if len(call) <= limits.STEP_ARGUMENT_BYTES_MAX:
            return
        arguments: object = msgspec.msgpack.decode(call)
        if is_dict(arguments):
            for value in arguments.values():
                self.known(seq, VALUE + _encode(value))

    def recorded(self, name: str, wire: Mapping[object, object]) -> bytes:
        """Return what the first record of a step says of its arguments."""
        if not wire or name.startswith("outlast."):
            return b""
        try:
            if len(wire) > _FEW:
                return self._by_reference(wire)
            for value in wire.values():
                if type(value) is str:
                    if len(value) > _SHORT:
                        return self._by_reference(wire)
                elif type(value) not in _SCALARS:
                    return self._by_reference(wire)
            return _encode((wire, {}))
        except (OverflowError, UnicodeEncodeError):
            return b""  # it cannot be stored, which whoever has to store it says better

    def _by_reference(self, wire: Mapping[object, object]) -> bytes:
        small: dict[str, object] = {}
        large: dict[str, tuple[int, int]] = {}
        left = limits.STEP_INPUT_BYTES_MAX
        for name, value in wire.items():
            if (
                isinstance(value, str | bytes)
                and len(value) > limits.STEP_ARGUMENT_HASHED_BYTES_MAX
            ):
                large[f"{name}"] = (0, len(value))
                continue
            data = _encode(value)
            if len(data) <= min(left, limits.STEP_ARGUMENT_BYTES_MAX):
                small[f"{name}"] = value
                left -= len(data)
            else:
                large[f"{name}"] = (self._seqs.get(hash(data), 0), len(data))
        return _encode((small, large)) if len(small) + len(large) <= _MANY else b""


_SCALARS = frozenset((int, float, bool, type(None)))
_FEW, _MANY = 8, 100
_SHORT = 100
