"""Killed at every record, and replayed from a journal: two questions to put to a workflow."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from typing_extensions import override

from outlast._authoring.workflow import Workflow
from outlast._codec import stored_json
from outlast._engine.reading.dry_replay import StillHost
from outlast._engine.reading.records import Record
from outlast._execution.calls.operations import ClosedBody, StartedBody, decode_body
from outlast._execution.loop.guards import install_guards
from outlast._execution.runs.workflow_run import LiveWorkflow
from outlast._handles.call import Call, WorkflowCall
from outlast._handles.declarations import Signal
from outlast._records import Record as StoredRecord
from outlast._registry import WorkflowDefinition, default_registry, known_error_types
from outlast._store.rows import RunRow
from outlast._store.transactions import NO_EFFECTS, Transaction
from outlast.errors import OutlastError, ReplayMismatch, UsageError
from outlast.testing.comparing import comparable
from outlast.testing.loop import Deadlock, new_sim_loop
from outlast.testing.machines import Machine
from outlast.testing.sim import AnyStep, Sim
from outlast.testing.world import SimWorld
from outlast.types import Lease, RunId

R = TypeVar("R")
T = TypeVar("T")
_TOKENS_SHOWN = 10  # in an error
Fakes = Mapping[AnyStep, Callable[..., object]]


class _KilledAt(Sim):
    """A simulation whose machine dies once, right after record `seq` of a run was committed."""

    def __init__(self, kill_at: int, run: str) -> None:
        super().__init__(seed=0, slow=0.0)
        self._kill_at = kill_at
        self._kill_run = run
        self.records = 0
        self._yard.on_commit = self._look

    def _look(self, machine: Machine, batch: Sequence[Transaction]) -> None:
        for transaction in batch:
            records = list(transaction.records)
            for start in (transaction.effects or NO_EFFECTS).starts:
                if start.row.id == self._kill_run:
                    records += start.records
            if transaction.run != self._kill_run:
                continue
            for record in records:
                self.records = max(self.records, record.seq)
                if record.seq == self._kill_at and machine.crashes == 0:
                    self._yard.crash(machine)

    async def advice(self) -> str:
        """Return what would let the run end: answers to its open tokens, or messages."""
        tokens = await self._drive(
            lambda: self._until_done(
                lambda core: core.store.list_tokens(None, _TOKENS_SHOWN, open_only=True)
            )
        )
        if not tokens:
            return (
                "Give it what it waits for in signals=; updates and actors that it needs are "
                "tested with Sim"
            )
        asked = "; ".join(f"{token.kind} {token.key!r} ({token.title!r})" for token in tokens)
        verb = "approve(token.id)" if tokens[0].kind == "approval" else "answer(token.id, value)"
        return (
            f"It waits for an answer to {asked}. Test it with Sim(crash=...) and answer there: "
            f"`async for token in sim.engine.tokens(): await sim.engine.{verb}`"
        )


async def crash_everywhere(
    call: Call[R],
    *,
    signals: Sequence[tuple[Signal[T], T]] = (),
    fakes: Fakes | None = None,
    ignore: Collection[str] = (),
    may_fail: bool = False,
) -> list[str]:
    """Run a workflow once for each record of its journal, killed right after that record.

    Each time another engine recovers it; the outcome must be that of an undisturbed run.
    Dates and times (`wf.now()`) count as equal, since a crash takes time.

    Args:
        signals: delivered before its first line.
        fakes: take the place of steps' bodies.
        ignore: names of fields and keys that may differ, anywhere in the result.
        may_fail: the undisturbed run may fail. Its failure is then the outcome to compare with.

    Returns:
        One line for each difference, with what was expected and what came; an empty list says that
        the workflow survives everywhere.

    Raises:
        UsageError: the run does not end even undisturbed, so there is no outcome to
            compare with: it waits for what `signals` does not give. The error names the open
            tokens and approvals. Or the undisturbed run fails, and `may_fail` is not given.
    """
    if not isinstance(call, WorkflowCall):
        raise UsageError(f"crash_everywhere takes a call of a workflow, got {call!r}")
    call.use()
    if isinstance(ignore, str):
        raise UsageError(f"ignore= is a collection of names, not one text: give [{ignore!r}]")
    left_out = frozenset(ignore)
    expected = await _outcome(call, 0, signals, fakes, left_out)
    if expected.error is not None and not may_fail:
        raise UsageError(
            f"crash_everywhere: the run fails, even without a crash: it {expected.text}. A run "
            "that fails at its first step shows nothing about the rest. Give the steps fakes=, or "
            "give may_fail=True if the failure is what you expect"
        ) from expected.error
    differences: list[str] = []
    for seq in range(1, expected.records + 1):
        outcome = await _outcome(call, seq, signals, fakes, left_out)
        if outcome.text != expected.text:
            differences.append(
                f"killed after record {seq}: expected {expected.text}; got {outcome.text}"
            )
    return differences


@dataclass(frozen=True, slots=True)
class _Outcome:
    """How a run ended, as one text to compare, and how many records it had by then."""

    text: str
    records: int
    error: Exception | None = None


async def _outcome(
    call: WorkflowCall[R],
    kill_at: int,
    signals: Sequence[tuple[Signal[T], T]],
    fakes: Fakes | None,
    ignore: frozenset[str],
) -> _Outcome:
    run = "crash-everywhere"
    sim = _KilledAt(kill_at, run)
    async with sim:
        for step, body in (fakes or {}).items():
            sim.fake(step, body)
        again: WorkflowCall[R] = WorkflowCall(call.definition, call.bound, call.place)
        try:
            value = await sim.run(again, id=run, signals=signals)
        except Deadlock as error:
            if not kill_at:
                raise UsageError(
                    f"crash_everywhere: the run does not end, even without a crash ({error}). "
                    f"{await sim.advice()}"
                ) from error
            return _Outcome(f"never ended: {error}. {await sim.advice()}", sim.records)
        except Exception as error:  # noqa: BLE001  # any end of the run is an outcome to compare
            return _Outcome(f"raised {type(error).__name__}: {error}", sim.records, error)
        return _Outcome(f"returned {comparable(value, ignore)}", sim.records)


async def replay(workflow: Workflow[..., R], journal: Iterable[Record]) -> None:
    """Replay a journal (of `Run.journal()`) against today's code, without running any step.

    Raises:
        ReplayMismatch: the code asks for something else than the journal has; with both lines.
    """
    stored = [record.stored for record in journal if record.stored is not None]
    if not stored or stored[0].kind != "run_started":
        raise UsageError("replay needs a whole journal, from its first record on")
    loop = asyncio.get_running_loop()
    done: asyncio.Future[ReplayMismatch | None] = loop.create_future()

    def call() -> None:
        # Not inside the task that awaits us: workflow code never runs in a host task.
        try:
            done.set_result(replay_end(workflow.definition, stored))
        except Exception as error:  # noqa: BLE001  # handed to the awaiting test
            done.set_exception(error)

    loop.call_soon(call)
    mismatch = await done
    if mismatch is not None:
        raise mismatch


def replay_end(definition: WorkflowDefinition, stored: list[StoredRecord]) -> ReplayMismatch | None:
    """Replay stored records and say where the code differs; call this from no task."""
    install_guards()
    closing = stored[-1] if stored[-1].kind == "run_closed" else None
    loop = new_sim_loop(0)
    host = _ReplayHost(SimWorld(loop, "replay"))
    live = LiveWorkflow(
        host,
        definition,
        _row_of(definition.name, stored[0]),
        Lease(0, "replay", stored[-1].epoch),
        stored if closing is None else stored[:-1],
    )
    live.begin()
    loop.drive(
        lambda: live.state != "replaying" or host.mismatch is not None,
        steps_max=10_000_000,
        now_max=float("inf"),
    )
    if host.mismatch is None and closing is not None:
        was_asked = any(record.kind == "cancel_requested" for record in stored)
        host.mismatch = _other_end(closing, host.closings, live.id, was_asked=was_asked)
    if live.state not in ("ended", "left"):
        live.leave()
    return host.mismatch


def _row_of(workflow: str, started: StoredRecord) -> RunRow:
    return RunRow(
        id=RunId(decode_body(started.body, StartedBody).id or "replay"),
        shard=0,
        workflow=workflow,
        version="",
        status="running",
        created_at=started.at,
    )


def _other_end(
    closing: StoredRecord, found: list[StoredRecord], run: str, *, was_asked: bool
) -> ReplayMismatch | None:
    expected = decode_body(closing.body, ClosedBody)
    if expected.status == "terminated" or (expected.status == "cancelled" and not was_asked):
        return None  # ended from outside: the code itself had not come to an end
    if not found:
        return ReplayMismatch(
            run, expected=f"its end ({expected.status})", actual="more, after its last record"
        )
    actual = decode_body(found[0].body, ClosedBody)
    if (actual.status, actual.outcome[:1]) != (expected.status, expected.outcome[:1]):
        return ReplayMismatch(
            run, expected=f"its end ({expected.status})", actual=f"another end ({actual.status})"
        )
    if expected.status == "completed" and actual.outcome != expected.outcome:
        return ReplayMismatch(
            run,
            expected=f"the result {stored_json(expected.outcome[1:])!r}",
            actual=f"the result {stored_json(actual.outcome[1:])!r}",
        )
    return None


class _ReplayHost(StillHost):
    """A host that keeps what the code comes to."""

    def __init__(self, world: SimWorld) -> None:
        super().__init__(world, default_registry, known_error_types(default_registry))
        self.mismatch: ReplayMismatch | None = None
        self._transactions: list[Transaction] = []

    @property
    def closings(self) -> list[StoredRecord]:
        """The ends that the code came to."""
        records = [r for t in self._transactions for r in t.records]
        return [record for record in records if record.kind == "run_closed"]

    @override
    def submit(self, transaction: Transaction) -> None:
        self._transactions.append(transaction)

    @override
    def run_parked(self, run: RunId, reason: str, error: OutlastError | None = None) -> None:
        if self.mismatch is None:
            if isinstance(error, ReplayMismatch):
                self.mismatch = error
            else:
                self.mismatch = ReplayMismatch(run, expected="what was recorded", actual=reason)
