"""A part of what there is: names without values, counts without messages, some of a journal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import msgspec

from outlast._records import Kind
from outlast.types import RunId, Status


@dataclass(frozen=True, slots=True)
class Part:
    """What is wanted of a journal: records of some kinds, or as many as fit.

    With `bytes_max` the record with which the bodies reach it is the last; `from_end` counts from
    the journal's end.
    """

    kinds: frozenset[Kind] | None = None
    bytes_max: int | None = None
    from_end: bool = False


WHOLE = Part()


class RunGlance(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """What statistics are made of: a run without its values. Of an error there is the beginning."""

    id: RunId
    workflow: str
    version: str
    status: Status
    created_at: int
    started_at: int | None
    closed_at: int | None
    error: str | None


GLANCE_ERROR_CHARS = 300


class GlimpseVerbs(Protocol):
    """What is there, without its values."""

    async def read_value_names(self, run: RunId) -> list[str]:
        """Return the names of the values that the run has set, in order."""
        ...

    async def count_open_tokens(self, limit: int) -> int:
        """Return how many tokens wait for an answer, `limit` at most."""
        ...

    async def count_mail(self, run: RunId, limit: int) -> tuple[int, int | None]:
        """Return how many messages wait for a run, up to `limit`, and when the oldest was sent."""
        ...
