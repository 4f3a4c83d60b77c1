"""Pausing and resuming under crashes: what is paused does nothing, and nothing is lost."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from typing import TypeVar

import pytest

from outlast import Signal, step, wf, workflow
from outlast._codec import Bound
from outlast._engine.open_engine import CoreOptions, EngineCore
from outlast._engine.starts import StartRequest
from outlast._execution.payloads import typed_payload
from outlast._execution.workflow_run import LiveWorkflow
from outlast._registry import default_registry
from outlast._store.contract import Message, MessageKind, Transaction
from outlast.errors import (
    EngineClosed,
    LeaseLost,
    RunClosed,
    StoreError,
)
from outlast.testing.machines import FaultPlan, Machine, Yard
from outlast.types import CLOSED_STATUSES, RunId

T = TypeVar("T")
Work = Callable[[EngineCore], Coroutine[object, object, T]]
SEEDS = range(60)
RUNS = 5
word = Signal("sim.steering_word", int)
_PASSING = (ConnectionError, StoreError, EngineClosed, LeaseLost)


@step(name="sim.steered")
async def steered(n: int) -> int:
    """Take a while."""
    await asyncio.sleep(0.3)
    return n


@workflow(name="sim.steering")
async def steering(n: int) -> list[int]:
    """Steps, timers, signals and branches."""
    first = await steered(n)
    both = await asyncio.gather(steered(n + 1), wf.sleep(0.4))
    heard = await word.receive()
    return [first, both[0], heard, await steered(n + 2)]


class Desk:
    """Somebody who pauses and resumes runs, whatever happens to the machines."""

    def __init__(self, seed: int) -> None:
        plan = FaultPlan(crash=0.03, fails=0.02, silent=0.02, pauses=0.004)
        options = CoreOptions(owns_process=False, retention_seconds=None, live_runs_max=3)
        self.yard = Yard(
            seed, registry=default_registry, plan=plan, machines=1 + seed % 2, options=options
        )
        self.seen: Counter[str] = Counter()
        self.moved: list[str] = []
        self.yard.on_commit = self.look

    def look(self, machine: Machine, batch: Sequence[Transaction]) -> None:
        """Nothing of a run is recorded while its row says that it is paused."""
        for transaction in batch:
            row = self.yard.database.rows.get(transaction.run)
            if row is not None and row.status == "paused" and transaction.records:
                lease = transaction.lease
                if lease is not None and self.yard.database.leases.holds(lease):
                    self.moved.append(f"{transaction.run}: {transaction.records[-1].kind}")

    def machine(self) -> Machine:
        return self.yard.loop.rng.choice(self.yard.machines)

    async def until_done(self, work: Work[T]) -> T:
        while True:
            try:
                return await self.yard.attempt(work, self.machine())
            except _PASSING:
                await asyncio.sleep(0.05)

    async def send(self, run: str, kind: MessageKind, *, name: str = "", body: bytes = b"") -> None:
        message = Message(
            run=RunId(run),
            kind=kind,
            name=name,
            body=body,
            dedup=f"{name}{run}" if kind == "signal" else "",
            at=self.yard.client.now(),
        )
        try:
            await self.until_done(lambda core: core.send(message))
        except RunClosed:
            self.seen["too late"] += 1

    async def one(self, n: int) -> None:
        run, rng = f"run-{n}", self.yard.loop.rng
        bound = Bound((n,), {})
        request = StartRequest(definition=steering.definition, bound=bound, id=run, request=run)
        await self.until_done(lambda core: core.start(request))
        for turn in range(4):
            await asyncio.sleep(rng.random())
            await self.send(run, "pause")
            if turn == 1:
                body = typed_payload(word.adapter, n)
                await self.send(run, "signal", name=word.name, body=body)
            await asyncio.sleep(rng.random() * 2)
            self.seen[f"{self.yard.database.rows[RunId(run)].status} when resumed"] += 1
            await self.send(run, "resume")

    async def main(self) -> None:
        for machine in self.yard.machines:
            await self.yard.start(machine)
        await asyncio.gather(*(self.one(n) for n in range(RUNS)))
        self.yard.quiet()
        async with asyncio.timeout(300):
            while any(self.is_open(f"run-{n}") for n in range(RUNS)):  # noqa: ASYNC110  # virtual
                await asyncio.sleep(1)

    def is_open(self, run: str) -> bool:
        return self.yard.database.rows[RunId(run)].status not in CLOSED_STATUSES

    def check(self) -> None:
        assert self.moved == []
        for n in range(RUNS):
            run = RunId(f"run-{n}")
            row = self.yard.database.rows[run]
            assert row.status == "completed", row
            returns = steering.definition.signature.returns
            assert returns.decode((row.output or b"")[1:]) == [n, n + 1, n, n + 2]
            records = self.yard.database.journal(run, 0)
            assert [r.seq for r in records] == list(range(1, len(records) + 1))
            ends = Counter(r.key for r in records if r.kind in ("step_done", "timer_fired"))
            assert set(ends.values()) == {1}
            assert not self.yard.database.mail_of(run, 10)


def play(seed: int) -> Counter[str]:
    """Play one seed, check it, and say what happened."""
    logging.getLogger("outlast").setLevel(logging.CRITICAL)
    desk = Desk(seed)
    try:
        desk.yard.run(desk.main)
        desk.check()
    except BaseException as error:
        error.add_note(f"seed {seed}")
        raise
    finally:
        desk.yard.dispose()
    crashes = sum(machine.crashes for machine in desk.yard.machines)
    return desk.seen + Counter(crashes=crashes)


def play_all() -> None:
    """Play all seeds."""
    for seed in SEEDS:
        play(seed)


@pytest.mark.parametrize("first", range(0, len(SEEDS), 10))
def test_runs_that_are_paused_and_resumed_come_to_their_end(first: int) -> None:
    for seed in SEEDS[first : first + 10]:
        play(seed)


def test_the_interesting_things_do_happen() -> None:
    seen = sum((play(seed) for seed in SEEDS[:20]), Counter[str]())

    assert seen["crashes"] > 20
    assert seen["paused when resumed"] > 50
    assert seen["running when resumed"] > 5


def test_a_row_that_is_written_before_all_is_quiet_is_found_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def pause_at_once(self: LiveWorkflow) -> None:
        if self.pausing.is_asked and not self.pausing.is_written and self.state == "live":
            self.pausing.is_written = True
            for message in self.pausing.asked:
                self._consume(message)
            self.standing.write("paused", resident=False)

    monkeypatch.setattr(LiveWorkflow, "_pause_if_quiet", pause_at_once)

    with pytest.raises(AssertionError):
        play_all()
