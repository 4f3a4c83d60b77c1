"""Who did what from outside: a row of the audit, written in the transaction of what was done.

Who handles a request says so for all that is done in it (`acting_as`); the first transaction that
the request commits carries its row. What the program does by itself has none.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal, Protocol, TypeAlias

import msgspec

from outlast import limits
from outlast.types import RunId

Via: TypeAlias = Literal["http", "socket", "command"]
VIAS: tuple[Via, ...] = ("http", "socket", "command")


class AuditRow(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One thing that was done, or tried.

    `outcome` is "done", or why not in a word; the store says it when that hangs on what it holds.
    `is_traffic`: it is what applications do all the time, and is kept for a shorter time.
    """

    number: int = 0  # given by the store, ascending
    at: int
    caller: str
    role: str
    via: Via
    verb: str
    target: str
    run: RunId
    reason: str = ""
    outcome: str = ""
    is_traffic: bool = False


class AuditReads(Protocol):
    """Part of the contract of a store: reading."""

    async def read_audit(
        self, before: int | None, limit: int, *, run: RunId | None, caller: str | None
    ) -> list[AuditRow]:
        """Return rows numbered below `before`, newest first: of a run, of a caller, or all."""
        ...


class AuditUpkeep(Protocol):
    """Part of the contract of a store: what keeps it small."""

    async def prune_audit(
        self, before: int, traffic_before: int, traffic_max: int, caller_max: int
    ) -> int:
        """Delete what is older; of traffic, and of each caller, all but the newest rows.

        Returns how many.
        """
        ...


class Acting(msgspec.Struct, kw_only=True, eq=False):
    """Somebody who has something done; what of it is written first carries the row."""

    caller: str
    role: str
    via: Via
    verb: str
    target: str
    run: RunId  # that is named, if one is
    is_traffic: bool
    reason: str = ""
    outcome: str = ""  # of what was asked and commits nothing, unless it is done
    is_written: bool = False

    def row(self, now: int, run: RunId, outcome: str = "") -> AuditRow:
        """Return the row, which is written once."""
        self.is_written = True
        return AuditRow(
            at=now,
            caller=self.caller,
            role=self.role,
            via=self.via,
            verb=self.verb,
            target=self.target,
            run=run,
            reason=self.reason[: limits.AUDIT_REASON_CHARS_MAX],
            outcome=outcome,
            is_traffic=self.is_traffic,
        )

    def on(self, run: RunId) -> Acting:
        """Return the same, for one of several runs."""
        made = Acting(
            caller=self.caller,
            role=self.role,
            via=self.via,
            verb=self.verb,
            target=run,
            run=run,
            is_traffic=self.is_traffic,
        )
        made.reason = self.reason
        return made


_acting: ContextVar[Acting | None] = ContextVar("acting", default=None)


def acting() -> Acting | None:
    """Return who has done what is done here; None for the program itself."""
    return _acting.get()


@contextmanager
def acting_as(who: Acting | None) -> Generator[None]:
    """Do what is in this block for somebody."""
    before = _acting.set(who)
    try:
        yield
    finally:
        _acting.reset(before)


def because(reason: str) -> None:
    """Say why it is done, if somebody gave a reason."""
    who = _acting.get()
    if who is not None and reason:
        who.reason = reason


def doing(verb: str, target: str | None = None) -> None:
    """Say more exactly what is done."""
    who = _acting.get()
    if who is not None:
        who.verb = verb
        who.target = who.target if target is None else target


def came_to(outcome: str) -> None:
    """Say what came of what was asked, when that commits nothing."""
    who = _acting.get()
    if who is not None:
        who.outcome = outcome


def once_more() -> None:
    """What was written is not how it ended: what is done next has a row too."""
    who = _acting.get()
    if who is not None:
        who.is_written = False


@contextmanager
def on_the_way(verb: str, run: RunId, reason: str) -> Generator[None]:
    """Do in this block what must be done first, which has a row of its own."""
    who = _acting.get()
    part = None if who is None else who.on(run)
    if part is not None:
        part.verb, part.reason = verb, reason
    with acting_as(part):
        yield


def only_looking() -> None:
    """Nothing is done: it has no row."""
    who = _acting.get()
    if who is not None:
        who.is_written = True


def rows_of_fork(now: int, original: RunId, made: RunId) -> tuple[AuditRow, ...]:
    """Return the rows of a fork, by which it is found under both runs."""
    who = _acting.get()
    if who is None or who.is_written:
        return ()
    who.target = f"{original} {made}"
    return who.row(now, original), who.row(now, made)


def rows_for(now: int, run: RunId) -> tuple[AuditRow, ...]:
    """Return what a transaction carries that does what was asked, for the first of them."""
    who = _acting.get()
    return () if who is None or who.is_written else (who.row(now, run),)
