"""The bill: what the model's process has generated, one line a response.

It is written by that process alone, which knows nothing of outlast: the ledger and the
conversations are held against it.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec


class Usage(msgspec.Struct, frozen=True):
    """The tokens of a response, as OpenAI names them."""

    prompt_tokens: int = 0
    completion_tokens: int = 0

    @property
    def tokens(self) -> int:
        """All of them."""
        return self.prompt_tokens + self.completion_tokens


class Billed(msgspec.Struct, frozen=True):
    """A response that was generated.

    `fingerprint` stands for the messages that were sent: the same question has the same one.
    `is_delivered` says whether the client was there until its end.
    """

    number: int
    fingerprint: str
    usage: Usage
    is_delivered: bool


class _Question(msgspec.Struct):
    messages: msgspec.Raw = msgspec.Raw(b"")


def fingerprint_of(body: bytes) -> str:
    """Return what stands for the messages of a request."""
    messages = msgspec.json.decode(body, type=_Question).messages
    return hashlib.sha256(bytes(messages)).hexdigest()[:16]


def note(log: Path, billed: Billed) -> None:
    """Append a line."""
    with log.open("ab") as file:
        file.write(msgspec.json.encode(billed) + b"\n")


def read_bill(log: Path) -> list[Billed]:
    """Return what was generated, in order."""
    lines = log.read_bytes().splitlines() if log.exists() else []
    return [msgspec.json.decode(line, type=Billed) for line in lines]
