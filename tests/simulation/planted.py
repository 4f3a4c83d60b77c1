"""Bugs planted by hand, to prove that the simulation would find them.

Each is a patch of one place of the engine. `find` runs seeds until one of them fails.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from unittest import mock

from outlast._engine.messages import Messages
from outlast._engine.recovery import Reconciler, Recovery
from outlast._engine.scheduler import Scheduler
from outlast._execution.cancelling import Cancelling
from outlast._execution.children import ChildCalls
from outlast._execution.inbox import Inbox
from outlast._execution.loop import RunLoop
from outlast._execution.operations import StepOperation
from outlast._execution.run import LiveRun
from outlast._execution.steps import StepCalls
from outlast._journal.writer import Writer, _Entry
from outlast._records import Record
from outlast._store.contract import PLAIN_RECEIPT, CommitId, CommitResult, Message
from outlast._store.memory import MemoryDatabase, MemoryLeases
from outlast.errors import CommitUnknown, StoreError
from outlast.testing.loop import Deadlock
from outlast.types import Lease, RunId
from tests.simulation.invariants import Violated
from tests.simulation.scenario import run_seed

SEEDS_MAX = 2_000


@dataclass(frozen=True, slots=True)
class Planted:
    """One bug: where it is, what is wrong there."""

    name: str
    holder: type[object]
    attribute: str
    replacement: Callable[..., object]

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Let the engine have the bug."""
        with mock.patch.object(self.holder, self.attribute, self.replacement):
            yield


async def _acknowledges_early(self: Writer, batch: list[_Entry]) -> list[CommitResult]:
    # Hands out success at once; the commit goes on behind everybody's back.
    self._number += 1
    commit_id = CommitId(self._owner, self._number)
    transactions = [e.transaction for e in batch]

    async def later() -> None:
        await self._store.commit(commit_id, transactions)

    self._world.spawn(later(), name="late commit")
    return [PLAIN_RECEIPT for _ in batch]


def _any_epoch(self: MemoryLeases, lease: Lease) -> bool:
    return True


async def _no_takeover(self: Reconciler) -> None:
    await self._recovery.wake_due()


async def _recovers_nothing(self: Recovery, leases: list[Lease]) -> None:
    await self.wake_due()


def _never_wakes(self: LiveRun) -> None:
    return None


_deliver_cancel = Cancelling.deliver


def _cancels_once(self: Cancelling) -> bool:
    cancelled = _deliver_cancel(self)
    self._scopes.clear()
    return cancelled


_deliver_attempt = StepCalls.deliver_attempt


def _forgets_attempts(self: StepCalls, record: Record) -> None:
    _deliver_attempt(self, record)
    operation = self.pending.get(record.key)
    if operation is not None and self._journal.is_replaying:
        operation.attempt = 0


def _forgets_dedups(self: Inbox, name: str, payload: bytes) -> None:
    self._buffers.setdefault(name, _deque()).append(payload)
    self.unread += 1
    self.dedups.clear()
    self._wake_next(name)


def _deque() -> _Payloads:
    from collections import deque

    return deque()


async def _guesses(self: Writer, commit_id: CommitId) -> list[CommitResult] | None:
    self._number += 1
    return None


async def _believes(self: Writer, commit_id: CommitId) -> list[CommitResult] | None:
    raise StoreError(f"the outcome of {commit_id} is taken for a failure")


def _timers_from_now(self: RunLoop, until: float) -> list[tuple[float, str]]:
    return [(until, self.next_timer()[1])] if self.next_timer() else []  # type: ignore[index]


def _drops_child_ends(self: Scheduler, message: Message, number: int) -> None:
    live = self.residents.get(message.run)
    if live is not None and message.kind != "child_done":
        self.on_mail(message.run)
