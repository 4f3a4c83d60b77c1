"""One seed: machines that crash, pause and lose leases, clients that start, signal and cancel.

`run_seed` raises `Violated` with what does not hold. The same seed gives the same trace hash.
"""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar
from unittest import mock

from outlast import limits
from outlast._engine.open_engine import CoreOptions
from outlast._engine.verbs.starts import StartRequest
from outlast._execution.calls.operations import failure_in
from outlast._handles.call import Call, WorkflowCall
from outlast._messages.payloads import typed_payload
from outlast._registry import default_registry
from outlast._store.memory.database import MemoryDatabase
from outlast._store.memory.store import MemoryStore
from outlast._store.rows import Message, MessageKind
from outlast.errors import (
    AskTimeout,
    EngineClosed,
    MailboxFull,
    RunClosed,
    RunNotFound,
    StoreFull,
    StoreUnavailable,
)
from outlast.testing.loop import Deadlock
from outlast.testing.machines import FaultPlan, Work, Yard
from outlast.testing.replaying import replay_end
from outlast.types import CLOSED_STATUSES, RunId
from tests.simulation.invariants import (
    Observer,
    Violated,
    check_journal,
    journal_of,
    require,
    signals_in,
)
from tests.simulation.workload import KEPT, child, listener, message, mixed, patient, stubborn

T = TypeVar("T")
PASSING = (ConnectionError, StoreFull, StoreUnavailable, EngineClosed)
_WORK_SECONDS = 60.0
# Longer than any pause, lease or series of faults keeps a machine from answering.
_PATIENCE_SECONDS = 600.0
QUIET_SECONDS = 3_600.0


@dataclass(slots=True)
class Expected:
    """What clients were promised."""

    started: dict[str, str] = field(default_factory=dict[str, str])
    signals: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    cancelled: set[str] = field(default_factory=set[str])
    terminated: set[str] = field(default_factory=set[str])


@dataclass(frozen=True, slots=True)
class Report:
    """What one seed saw: the trace hash, and how often the interesting things happened."""

    trace: str
    crashes: int
    fenced: int
    passivated: int
    runs: int


class Scenario:
    """Everything of one seed."""

    def __init__(self, seed: int, *, store_class: Callable[..., MemoryStore] = MemoryStore) -> None:
        self.seed = seed
        chance = random.Random(f"plan {seed}")
        # Swarm: each seed switches kinds of faults on and off, since faults can hide each other.
        plan = FaultPlan(
            crash=chance.choice((0.0, 0.01, 0.04)),
            slow=chance.choice((0.0, 0.05, 0.2)),
            fails=chance.choice((0.0, 0.0, 0.03)),
            silent=chance.choice((0.0, 0.0, 0.05)),
            pauses=chance.choice((0.0, 0.0, 0.004)),
        )
        options = CoreOptions(
            owns_process=False,
            retention_seconds=None,
            live_runs_max=chance.choice((1, 2, 4, 1_000)),
            tail_records_max=chance.choice((50, 200_000)),
        )
        self.yard = Yard(
            seed,
            registry=default_registry,
            plan=plan,
            machines=chance.choice((1, 2, 3)),
            shards=4,
            options=options,
            store_class=store_class,
        )
        # Of its own chance, so that older seeds explore what they did.
        jumping = random.Random(f"clocks {seed}")
        self.clock_jumps = jumping.choice((0.0, 0.0, 0.02))
        self.yard.plan.jumps = self.clock_jumps
        self.observer = Observer(self.yard)
        self.yard.on_commit = self.observer.committed
        self.yard.observe = self.observer.body_started
        self.expected = Expected()
        self.signals_max = chance.choice((2, 3, 10_000, 10_000))
        self.fenced = 0
        self.passivated = 0

    @property
    def rng(self) -> random.Random:
        """The seed's chance."""
        return self.yard.loop.rng

    # ----------------------------------------------------------------------- clients
    async def _call(self, work: Work[T]) -> T:
        """Call some machine until it answers, as a client with retries does."""
        while True:
            machine = self.rng.choice(self.yard.machines)
            try:
                return await asyncio.wait_for(self.yard.attempt(work, machine), _PATIENCE_SECONDS)
            except (*PASSING, AskTimeout) as error:
                if isinstance(error, AskTimeout) and error.is_final:
                    raise
                await asyncio.sleep(self.rng.random() * 0.5)
            except TimeoutError:
                waited = f"no answer in {_PATIENCE_SECONDS:g} seconds, and {machine.node} is up"
                raise Violated(f"I11: {waited}") from None

    async def start(self, run: str, call: Call[object]) -> None:
        """Start a run under an id, over all failures."""
        if not isinstance(call, WorkflowCall):
            raise TypeError(f"{call!r} is no call of a workflow")
        request = StartRequest(
            definition=call.definition, bound=call.bound, id=run, request=f"start of {run}"
        )
        await self._call(lambda core: core.start(request))
        self.expected.started[run] = call.definition.name

    async def send(
        self, run: str, kind: MessageKind, *, name: str = "", body: bytes = b"", dedup: str = ""
    ) -> bool:
        """Send a message, over all failures; False when the run had ended."""
        at = self.yard.client.now()
        sent = Message(run=RunId(run), kind=kind, name=name, body=body, dedup=dedup, at=at)
        while True:
            try:
                await self._call(lambda core: core.send(sent))
            except RunClosed:
                return False
            except MailboxFull:
                await asyncio.sleep(1)
            else:
                return True

    async def sender(self, run: str, who: str, count: int) -> None:
        """Send numbered messages, each safe before the next."""
        for number in range(count):
            dedup = f"{who}-{number}"
            body = typed_payload(message.adapter, (who, number))
            if await self.send(run, "signal", name="message", body=body, dedup=dedup):
                self.expected.signals.setdefault(run, []).append(dedup)
            await asyncio.sleep(self.rng.random() * self.rng.choice((0.01, 0.1, 3)))

    async def client(self, number: int) -> None:
        """One client's life."""
        await asyncio.sleep(self.rng.random() * 10)
        kind = number % 5
        run = f"run-{number}"
        if kind in (0, 1):
            await self.start(run, mixed(number))
        elif kind == 2:
            await self.start(run, listener(6))
            await asyncio.gather(self.sender(run, "ann", 3), self.sender(run, "bob", 3))
        else:
            await self.start(run, patient(number) if kind == 3 else stubborn(number))
            await asyncio.sleep(self.rng.random() * 20)
            how: MessageKind = "terminate" if self.rng.random() < 0.2 else "cancel"
            if await self.send(run, how, name="enough"):
                (self.expected.cancelled if how == "cancel" else self.expected.terminated).add(run)
        if self.rng.random() < 0.3:
            await self._call(lambda core: core.reader.info(RunId(run)))

    # -------------------------------------------------------------------------- a seed
    async def main(self) -> None:
        """Faults for a while, then quiet until everything has ended."""
        machines = self.yard.machines
        for machine in machines:
            share = None if len(machines) == 1 else 2
            await self.yard.start(machine, shards_max=share)
        clients = [
            self.yard.client.spawn(self.client(n), name=f"client {n}")
            for n in range(5 + self.seed % 6)
        ]
        await asyncio.wait(clients, timeout=_WORK_SECONDS)
        self.yard.quiet()
        await asyncio.gather(*clients)
        await self._until_all_ended()

    async def _resume_suspects(self) -> None:
        """Do as an operator: let go on what chance killed so often that it was parked."""
        crashes = sum(machine.crashes for machine in self.yard.machines)
        for row in list(self.yard.database.rows.values()):
            if row.parked_as == "suspect":
                blamed = f"I11: {row.id} is blamed for {row.crash_count} of {crashes} crashes"
                require(2 * limits.CRASHES_MAX <= row.crash_count <= crashes, blamed)
                await self.send(row.id, "resume")

    async def _until_all_ended(self) -> None:
        waited = 0.0
        while open_runs := self._open():
            require(
                waited < QUIET_SECONDS,
                f"I11: an hour without faults, and still open: {open_runs}",
            )
            await self._resume_suspects()
            await asyncio.sleep(5)
            waited += 5

    def _open(self) -> list[str]:
        rows = self.yard.database.rows.values()
        return [
            f"{r.id} {r.status} ({r.waiting_for})" for r in rows if r.status not in CLOSED_STATUSES
        ]

    def check(self) -> None:
        """All invariants, at the end."""
        require(not self.observer.violations, "; ".join(self.observer.violations[:3]))
        broken = [u for u in self.yard.loop.unhandled if not is_expected(u)]
        require(not broken, f"an error reached nobody: {broken[:2]}")
        database = self.yard.database
        for run, workflow in self.expected.started.items():
            row = database.rows.get(RunId(run))
            require(row is not None and row.workflow == workflow, f"I1: {run} was acknowledged")
        for row in database.rows.values():
            records = journal_of(database, row.id)
            check_journal(row.id, records)
            mismatch = replay_end(default_registry.workflows[row.workflow], records)
            require(mismatch is None, f"I12: {row.id} replays differently: {mismatch}")
        for run, dedups in self.expected.signals.items():
            self._check_signals(RunId(run), dedups)
        for run in self.expected.cancelled:
            status = database.rows[RunId(run)].status
            # A clock that jumps ahead may end what it waits for before the request is read.
            may_have_ended = self.clock_jumps > 0 and status == "completed"
            require(
                status == "cancelled" or may_have_ended,
                f"I9: {run} was cancelled and ended as {status}",
            )
        for row in database.rows.values():
            self._check_outcome(row.id)
        self._check_executions()

    def _check_executions(self) -> None:
        """I5: beyond its attempts, a step runs again only where an owner was lost under it."""
        losses = sum(m.crashes for m in self.yard.machines)
        losses += sum(e.fenced for e in self.yard.events)
        attempts: dict[str, int] = {}
        for row in self.yard.database.rows.values():
            for record in journal_of(self.yard.database, row.id):
                if record.kind in ("step_done", "attempt_failed"):
                    key = f"{row.id}/{record.key}"
                    attempts[key] = max(attempts.get(key, 1), record.attempt)
        for step, keys in self.yard.executions.by_step.items():
            for key, bodies in keys.items():
                allowed = attempts.get(key, 1) + losses
                # A cancelled wait leaves no record of the attempt that was cut off.
                what = f"I5: {step} {key} ran {bodies} times, {allowed} at most"
                require(bodies <= allowed + 1, what)

    def _check_signals(self, run: RunId, dedups: list[str]) -> None:
        found = [dedup for _, dedup in signals_in(journal_of(self.yard.database, run))]
        require(len(found) == len(set(found)), f"I6: {run} got a message twice: {found}")
        missing = set(dedups) - set(found)
        require(not missing, f"I1: {run} lost acknowledged messages: {missing}")
        for who in ("ann", "bob"):
            numbers = [d for d in found if d.startswith(who)]
            require(numbers == sorted(numbers), f"I6: {run} got {who}'s messages out of order")

    def _check_outcome(self, run: RunId) -> None:
        row = self.yard.database.rows[run]
        failure = failure_in(row.output or b"")
        if row.workflow == child(0).definition.name:
            return
        require(
            row.status != "failed",
            f"I12: {run} failed: {failure and failure.message} {failure and failure.traceback}",
        )
        if row.workflow == mixed(0).definition.name:
            result = default_registry.workflows[row.workflow].signature.returns.decode(
                (row.output or b"\x00")[1:]
            )
            require(isinstance(result, list) and True in result, f"I7: {run} woke early: {result}")


def busy_rows(database: MemoryDatabase) -> list[str]:
    """Return what has still something to do or to read: for actors, which have no end."""
    return [
        f"{row.id} {row.status} ({row.waiting_for})"
        for row in database.rows.values()
        if row.resident or database.mail_of(row.id, 1)
    ]


def is_expected(unhandled: dict[str, object]) -> bool:
    """Whether an unhandled error is a refusal that a client's call has seen."""
    error = unhandled.get("exception")
    return isinstance(error, (*PASSING, RunClosed, MailboxFull, RunNotFound))


def play(scenario: Scenario, module: str) -> Report:
    """Run a scenario to its end, check everything, and return what it saw.

    Raises:
        Violated: with what does not hold, and how to see it again.
    """
    KEPT.clear()
    try:
        with mock.patch.object(limits, "SIGNALS_BUFFERED_MAX", scenario.signals_max):
            scenario.yard.run(scenario.main, seconds_max=20_000)
        scenario.check()
        return Report(
            trace=f"{scenario.yard.loop.trace:08x}",
            crashes=sum(m.crashes for m in scenario.yard.machines),
            fenced=sum(e.fenced for e in scenario.yard.events),
            passivated=sum(e.runs_passivated for e in scenario.yard.events),
            runs=len(scenario.yard.database.rows),
        )
    except (Violated, Deadlock) as error:
        raise Violated(f"{error}\nreproduce: python -m {module} {scenario.seed}") from error
    finally:
        scenario.yard.dispose()


def run_seed(seed: int, *, store_class: Callable[..., MemoryStore] = MemoryStore) -> Report:
    """Run one seed and check everything.

    Raises:
        Violated: with the seed and what does not hold.
    """
    return play(Scenario(seed, store_class=store_class), "tests.simulation.scenario")


def print_seeds(run: Callable[[int], object]) -> None:
    """Run the seeds of the command line, `7` or `0-400`, and print what came of each."""
    for argument in sys.argv[1:]:
        first, _, last = argument.partition("-")
        for seed in range(int(first), int(last or first) + 1):
            print(seed, run(seed))


if __name__ == "__main__":
    print_seeds(run_seed)
