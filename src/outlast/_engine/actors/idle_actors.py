"""Actors that rest: their rows, kept in memory so that the next message needs no reading.

Invariants:
  * an actor that is here has nothing in its mailbox, and no other process writes its store;
  * an actor that comes into memory, by whatever way, is here no more: its row would grow old.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass

from outlast import limits
from outlast._engine.scheduling.scheduler import Scheduler
from outlast._execution.actors.actor_memory import ActorMemory
from outlast._execution.actors.actor_run import LiveActor
from outlast._store.rows import Message, RunRow
from outlast._store.transactions import StartRun
from outlast._world import Timer
from outlast.types import RunId

_OUTCOMES_KEPT_MAX = 64  # a resting actor that remembers more is read again from the store


@dataclass(slots=True)
class _Resting:
    row: RunRow
    memory: ActorMemory | None  # None: there is nothing to remember
    until: float = math.inf  # of the monotonic clock


class IdleActors:
    """The actors of one engine that are a row in memory."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._resting: OrderedDict[RunId, _Resting] = OrderedDict()
        self._sweep_timer: Timer | None = None

    def start_of(self, actor: RunId) -> StartRun | None:
        """Return what creates an actor, None when it is known to be there."""
        if actor in self._scheduler.residents or actor in self._resting:
            return None
        world = self._scheduler.world
        row = RunRow(
            id=actor,
            shard=self._scheduler.shard_of(actor),
            workflow=actor.partition("/")[0],
            version="",
            status="waiting",
            created_at=world.now(),
            resident=False,
            digest=world.rng.getrandbits(64).to_bytes(8, "big"),
            kind="actor",
        )
        return StartRun(row, (), "never")

    def created(self, row: RunRow) -> None:
        """An actor has come to be: nothing of it need be read for its first message."""
        is_ours = self._scheduler.owns(row.id) and not self._scheduler.store.is_shared
        if is_ours and row.id not in self._scheduler.residents:
            self._keep(row, None)

    def forget(self, actor: RunId) -> None:
        """An actor takes nothing more, or has come into memory."""
        self._resting.pop(actor, None)

    def wake(self, message: Message) -> bool:
        """Bring a resting actor into memory with its next message; False when it must be read."""
        resting = self._resting.get(message.run)
        if resting is None or self._scheduler.run_locks.is_held(message.run):
            return False
        memory = resting.memory or ActorMemory()
        live = self._scheduler.admit(resting.row, [], memory)
        if live is None:
            return False
        live.accept(message)
        self._scheduler.begin(live)
        return True

    def _keep(self, row: RunRow, memory: ActorMemory | None) -> None:
        world = self._scheduler.world
        definition = self._scheduler.registry.actors.get(row.workflow)
        idle = definition.idle_seconds if definition is not None else 0.0
        self._resting[row.id] = _Resting(row, memory, world.monotonic() + idle)
        if len(self._resting) > limits.ACTOR_ROWS_MAX:
            self._resting.popitem(last=False)
        if self._sweep_timer is None:
            self._sweep_timer = world.call_later(limits.ACTOR_SWEEP_SECONDS, self._sweep)

    def _sweep(self) -> None:
        """Let go of the rows of those that have been idle for as long as their class says."""
        self._sweep_timer = None
        world = self._scheduler.world
        now = world.monotonic()
        for actor in [actor for actor, resting in self._resting.items() if resting.until <= now]:
            del self._resting[actor]
        if self._resting and not self._scheduler.is_closing:
            self._sweep_timer = world.call_later(limits.ACTOR_SWEEP_SECONDS, self._sweep)

    def stop(self) -> None:
        """Look at nothing any more."""
        if self._sweep_timer is not None:
            self._sweep_timer.cancel()
            self._sweep_timer = None

    def rested(self, live: LiveActor) -> None:
        """Keep the row of an actor that left memory."""
        memory = live.ends.memory
        is_whole = live.is_idle and live.row.wake_at is None and live.row.status == "waiting"
        # A conversation can be long: it is read again with the next message.
        has_history = any(history.entries for history in memory.histories.values())
        is_small = len(memory.outcomes) <= _OUTCOMES_KEPT_MAX and not has_history
        if (
            is_whole
            and is_small
            and not (live.turns.has_left_mail or self._scheduler.store.is_shared)
        ):
            self._keep(live.row, None if memory == ActorMemory() else memory)
