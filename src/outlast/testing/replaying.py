"""Killed at every record, and replayed from a journal: two questions to put to a workflow."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextvars import copy_context
from typing import TypeVar

from outlast._engine.core import EngineCore
from outlast._engine.reader import Record
from outlast._execution.run import LiveRun
from outlast._registry import default_registry
from outlast._store.contract import RunRow, Transaction
from outlast.call import Call, WorkflowCall
from outlast.errors import ReplayMismatch, UsageError
from outlast.names import Signal
from outlast.step import Step
from outlast.testing.machines import FaultPlan, Machine, Yard
from outlast.testing.sim import Sim
from outlast.types import Lease, RunId
from outlast.workflow import Workflow

R = TypeVar("R")
T = TypeVar("T")
Fakes = Mapping[Step[..., object], Callable[..., object]]


class _KilledAt(Sim):
    """A simulation whose machine dies once, right after record `seq` of a run was committed."""

    def __init__(self, kill_at: int, run: str, *, before: bool) -> None:
        super().__init__(seed=0, slow=0.0)
        self._kill_at = kill_at
        self._kill_run = run
        self._before = before
        self.records = 0
        self._yard.on_commit = self._look

    def _look(self, machine: Machine, batch: Sequence[Transaction]) -> None:
        for transaction in batch:
            records = list(transaction.records)
            for start in transaction.starts:
                if start.row.id == self._kill_run:
                    records += start.records
            if transaction.run != self._kill_run:
                continue
            for record in records:
                self.records = max(self.records, record.seq)
                if record.seq == self._kill_at and machine.crashes == 0:
                    self._yard.crash(machine)


async def crash_everywhere(
    call: Call[R],
    *,
    signals: Sequence[tuple[Signal[T], T]] = (),
    fakes: Fakes | None = None,
) -> list[str]:
    """Run a workflow once for each record of its journal, killed right after that record.

    Each time another engine recovers it; the outcome must be that of a run that nobody killed.
    `signals` are delivered before its first line, `fakes` take the place of steps' bodies.

    Returns:
        One line for each difference; an empty list says that the workflow survives everywhere.
    """
    if not isinstance(call, WorkflowCall):
        raise UsageError(f"crash_everywhere takes a call of a workflow, got {call!r}")
    call.use()
    expected, records = await _outcome(call, 0, signals, fakes)
    differences: list[str] = []
    for seq in range(1, records + 1):
        outcome, _ = await _outcome(call, seq, signals, fakes)
        if outcome != expected:
            differences.append(f"killed after record {seq}: {outcome}, expected {expected}")
    return differences


async def _outcome(
    call: WorkflowCall[R], kill_at: int, signals: Sequence[tuple[Signal[T], T]], fakes: Fakes | None
) -> tuple[str, int]:
    run = "crash-everywhere"
    async with _KilledAt(kill_at, run, before=False) as sim:
        for step, body in (fakes or {}).items():
            sim.fake(step, body)
        again: WorkflowCall[R] = WorkflowCall(call.definition, call.bound, call.place)
        try:
            value = await sim.run(again, id=run, signals=signals)
        except Exception as error:  # any end of the run is an outcome to compare
            return f"raised {type(error).__name__}: {error}", sim.records
        return f"returned {value!r}", sim.records


async def replay(workflow: Workflow[..., R], journal: Iterable[Record]) -> None:
    """Replay a journal (of `Run.journal()`) against today's code, without running any step.

    Raises:
        ReplayMismatch: the code asks for something else than the journal has; with both lines.
    """
    stored = [record.stored for record in journal if record.stored is not None]
    if not stored or stored[0].kind != "run_started":
        raise UsageError("replay needs a whole journal, from its first record on")
    yard = Yard(0, registry=default_registry, plan=FaultPlan(slow=0.0), shards=1)
    found: list[str] = []
    open_records = [record for record in stored if record.kind != "run_closed"]

    def begin(core: EngineCore) -> None:
        row = RunRow(
            id=RunId("replay"),
            shard=0,
            workflow=workflow.definition.name,
            version="",
            status="running",
            created_at=stored[0].at,
        )
        live = LiveRun(
            _ReplayHost(core, found), workflow.definition, row, Lease(0, "", 0), open_records
        )
        live.begin()
        live.leave()
