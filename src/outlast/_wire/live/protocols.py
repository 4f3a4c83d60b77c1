"""The protocols in which pages follow a stream, and what encodes each.

`raw` is our own, for streams of any kind. The others encode what agents say: `outlast.agents`
registers their encodings when a program loads it, so a server without agents knows none of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias, get_args

from outlast.errors import UsageError
from outlast.types import RunId, Status, StreamProtocol

Encode: TypeAlias = Callable[[int, str], Sequence[bytes]]
"""Encodes one value, by its offset and its writer."""

PROTOCOLS: tuple[str, ...] = get_args(StreamProtocol)


class ProtocolEncoder(Protocol):
    """Encodes the values of one stream, in order, as events of a protocol.

    What it returns depends on what it was given only: the same values give the same bytes. Each
    item is the `data:` lines of one server-sent event, with the empty line that ends it.
    """

    @property
    def can_retract(self) -> bool:
        """Whether the protocol can take back what a client was sent; else it begins anew."""
        ...

    def parse(self, value: bytes) -> Encode:
        """Return what encodes a value that is given as JSON; may be called on any thread.

        Raises (this, and what it returns):
            ValueError: the protocol cannot express it.
        """
        ...

    def begin(self) -> Sequence[bytes]:
        """Return what comes first."""
        ...

    def retract(self, offset: int, writer: str) -> Sequence[bytes]:
        """Return what takes back the values of a writer, if the protocol can."""
        ...

    def end(self, error: str, status: Status | None) -> Sequence[bytes]:
        """Return what comes last: of a failure, when `error` says what has failed."""
        ...

    def close(self) -> None:
        """Let go of what it holds; it is not used any more."""
        ...


MakeEncoder: TypeAlias = Callable[[RunId, str], ProtocolEncoder]
"""Makes the encoder of a run, by its id and the mark of its past."""


@dataclass(frozen=True, slots=True)
class Encoding:
    """A protocol: `load` gives what makes its encoders, and takes its time.

    It raises a UsageError where the protocol's packages are missing.
    """

    load: Callable[[], MakeEncoder]
    headers: tuple[tuple[str, str], ...] = ()


_encodings: dict[str, Encoding] = {}


def register_encoding(protocol: StreamProtocol, encoding: Encoding) -> None:
    """Make a protocol known in this process."""
    _encodings[protocol] = encoding


def encoding_of(protocol: str) -> Encoding:
    """Return how a protocol other than `raw` is encoded.

    Raises:
        UsageError: there is no such protocol, or the program has no agents.
    """
    check_protocol(protocol)
    found = _encodings.get(protocol)
    if found is None:
        raise UsageError(
            f"the protocol {protocol!r} is for programs with agents: pip install "
            f"'outlast[agents]', and import outlast.agents in the program"
        )
    return found


def check_protocol(protocol: str) -> None:
    """Refuse what is no protocol.

    Raises:
        UsageError: with those that there are.
    """
    if protocol not in PROTOCOLS:
        raise UsageError(f"protocol is one of {', '.join(PROTOCOLS)}, not {protocol[:50]!r}")
