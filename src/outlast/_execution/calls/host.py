"""What a run in memory asks of the engine around it."""

from __future__ import annotations

from typing import Protocol

from outlast._execution.calls.operations import KnownErrors, StepOperation
from outlast._registry import Registry
from outlast._store.rows import Message
from outlast._store.transactions import StartRun, Transaction
from outlast._world import Timer, World
from outlast.errors import OutlastError
from outlast.types import RunId


class RunHost(Protocol):
    """The engine as one run sees it; all of it is called from host-loop callbacks."""

    # Attributes, not properties: a step looks at the time a dozen times.
    world: World
    """Time, chance and tasks."""
    registry: Registry
    """Declared signals, steps and workflows."""
    only_replays: bool
    """Runs stop where their records end (`replayed`), and end by no other way than that."""

    @property
    def known_errors(self) -> KnownErrors:
        """Error classes that may come back as themselves in any run."""
        ...

    def submit(self, transaction: Transaction) -> None:
        """Queue a transaction of this run; its result comes back to `LiveRun.committed`."""
        ...

    def start_body(self, run: RunId, operation: StepOperation, *, fence: int) -> None:
        """Run the body of a step; its outcome comes back to `LiveRun.step_ended`."""
        ...

    def stop_body(self, run: RunId, key: str) -> None:
        """Tell a running body that its outcome is no longer awaited."""
        ...

    def attempt_failed(self, run: RunId, operation: StepOperation, failure: bytes) -> None:
        """Count and log an attempt at a step that failed."""
        ...

    def why_queued(self) -> str:
        """Return why a body that needs a thread has none, in words for people."""
        ...

    def call_at(self, run: RunId, at: int) -> Timer:
        """Call `LiveRun.wake` at a wall-clock time."""
        ...

    def run_changed(self, run: RunId) -> None:
        """Note that what the run waits for may have changed."""
        ...

    def replayed(self, run: RunId) -> None:
        """Note that all records are delivered; asked only of a host that `only_replays`."""
        ...

    def run_closed(self, run: RunId) -> None:
        """Note that the run's last record is durable."""
        ...

    def run_parked(self, run: RunId, reason: str, error: OutlastError | None = None) -> None:
        """Take the run out of memory: it cannot go on without a person, or other code."""
        ...

    def answered(self, message: Message, outcome: bytes) -> None:
        """What came of a message that somebody waits for is durable."""
        ...

    def shard_of(self, run: RunId) -> int:
        """Return the shard that a run id belongs to."""
        ...


class ActorHost(RunHost, Protocol):
    """The engine as one actor sees it."""

    def actor_rests(self, actor: RunId) -> None:
        """Let an actor leave memory: it has nothing to do, and its row says all of it."""
        ...

    def actor_reads_on(self, actor: RunId) -> None:
        """Give an actor the next part of what is in its mailbox."""
        ...

    def actor_start(self, actor: RunId) -> StartRun | None:
        """Return what creates an actor that is written to, None when it is known to be there."""
        ...
