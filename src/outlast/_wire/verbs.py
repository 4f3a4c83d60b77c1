"""The verbs of an engine that the handlers of the wire call: `Engine` and `Client` have them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Protocol, TypeVar

from outlast._engine.reading.diffs import RunDiff
from outlast._handles.call import Call
from outlast.types import (
    BulkAction,
    BulkOutcome,
    Duration,
    ForkKeys,
    ForkSignals,
    OnConflict,
    RerunPlan,
    Reuse,
    RunInfo,
)

R = TypeVar("R")


class RunVerbs(Protocol):
    """What is done with one run."""

    @property
    def id(self) -> str:
        """The run's id."""
        ...

    @property
    def created(self) -> bool:
        """Whether the call that gave this handle made the run."""
        ...

    async def info(self) -> RunInfo:
        """Return what is known of it."""
        ...

    async def why(self) -> str:
        """Return what it waits for, or how it ended."""
        ...

    async def signal(
        self, name: str, value: object, *, dedup: str | None = None, allow_undeclared: bool = False
    ) -> None:
        """Send a signal."""
        ...

    async def cancel(self, reason: str = "", grace: Duration | None = None) -> None:
        """Ask it to stop."""
        ...

    async def terminate(self, reason: str = "") -> None:
        """End it now."""
        ...

    async def pause(self, *, reason: str = "") -> None:
        """Let it begin nothing new."""
        ...

    async def resume(self, *, reason: str = "") -> None:
        """Let it go on."""
        ...

    async def discard(self, *, reason: str = "") -> None:
        """Make the message that it cannot read a dead letter."""
        ...

    async def retry(self, *, reason: str = "") -> None:
        """Let it go on from where it failed."""
        ...

    async def retry_plan(self) -> RerunPlan:
        """Return what a retry would run again."""
        ...

    async def fork(
        self,
        at: int | str,
        input: Mapping[str, object] | None = None,
        *,
        keys: ForkKeys = "same",
        signals: ForkSignals = "leave",
        reason: str = "",
    ) -> RunVerbs:
        """Start a new run from a point of its past."""
        ...

    async def fork_plan(
        self, at: int | str, *, keys: ForkKeys = "same", signals: ForkSignals = "leave"
    ) -> RerunPlan:
        """Return what a fork would run again."""
        ...


class Verbs(Protocol):
    """What is done with an engine, here or at the other end of a wire."""

    async def start(
        self,
        call: Call[R],
        *,
        id: str | None = None,
        on_conflict: OnConflict = "attach",
        reuse: Reuse = "if_failed",
        attributes: Mapping[str, str | int | float | bool] | None = None,
        delay: Duration | None = None,
        timeout: Duration | None = None,
    ) -> RunVerbs:
        """Start a run, or attach to the one that has this id."""
        ...

    def get(self, run_id: str) -> RunVerbs:
        """Return a handle on a run."""
        ...

    async def count(self, query: str = "") -> int:
        """Return how many runs match a query."""
        ...

    async def diff(self, a: str, b: str) -> RunDiff:
        """Return where two runs part."""
        ...

    async def redrive(self, number: int) -> None:
        """Redeliver a dead letter."""
        ...


class EngineVerbs(Verbs, Protocol):
    """What is done with an engine in the process that it is in."""

    def bulk(
        self, action: BulkAction, query: str, *, reason: str = ""
    ) -> AsyncIterator[BulkOutcome]:
        """Do one thing to every run that a query wants."""
        ...
