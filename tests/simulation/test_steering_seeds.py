"""Pausing and resuming under crashes: what is paused does nothing, and nothing is lost."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence

import pytest
from typing_extensions import override

from outlast import Signal, step, wf, workflow
from outlast._execution.runs.workflow_run import LiveWorkflow
from outlast._messages.payloads import typed_payload
from outlast._store.rows import Message, MessageKind
from outlast._store.transactions import Transaction
from outlast.errors import (
    RunClosed,
    UsageError,
)
from outlast.testing.machines import FaultPlan, Machine
from outlast.types import CLOSED_STATUSES, RunId
from tests.simulation.outside import PART, SEEDS, Outside, play_all, play_first, play_part

RUNS = 5
word = Signal("sim.steering_word", int)


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


class Desk(Outside):
    """Somebody who pauses and resumes runs, whatever happens to the machines."""

    def __init__(self, seed: int) -> None:
        plan = FaultPlan(crash=0.03, fails=0.02, silent=0.02, pauses=0.004, stale_max=0.005)
        super().__init__(seed, plan, live_runs_max=3)
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

    async def say(self, run: str, kind: MessageKind, *, name: str = "", body: bytes = b"") -> None:
        message = Message(
            run=RunId(run),
            kind=kind,
            name=name,
            body=body,
            dedup=f"{name}{run}" if kind == "signal" else "",
            at=self.yard.client.now(),
        )
        try:
            await self.send(message)
        except RunClosed:
            self.seen["too late"] += 1
        except UsageError:
            # Resumed already, and the answer was lost. One that is refused wrongly stays paused.
            self.seen["not paused"] += 1

    async def one(self, n: int) -> None:
        run, rng = f"run-{n}", self.yard.loop.rng
        await self.start(steering.definition, run, n)
        for turn in range(4):
            await asyncio.sleep(rng.random())
            await self.say(run, "pause")
            if turn == 1:
                body = typed_payload(word.adapter, n)
                await self.say(run, "signal", name=word.name, body=body)
            await asyncio.sleep(rng.random() * 2)
            self.seen[f"{self.yard.database.rows[RunId(run)].status} when resumed"] += 1
            await self.say(run, "resume")

    async def another(self, n: int) -> None:
        """Steer the same run at the same time."""
        run, rng = f"run-{n}", self.yard.loop.rng
        while not self.is_there(run):  # noqa: ASYNC110  # virtual time
            await asyncio.sleep(rng.random())
        for _ in range(6):
            await asyncio.sleep(rng.random())
            await asyncio.gather(self.say(run, "pause"), self.say(run, "pause"))
            await asyncio.sleep(rng.random() / 2)
            await self.say(run, "resume")

    @override
    async def people(self) -> None:
        runs = range(RUNS)
        await asyncio.gather(*(self.one(n) for n in runs), *(self.another(n) for n in runs))
        for n in runs:
            await self.say(f"run-{n}", "resume")
        self.yard.quiet()
        async with asyncio.timeout(300):
            while any(self.is_open(f"run-{n}") for n in range(RUNS)):  # noqa: ASYNC110  # virtual
                await asyncio.sleep(1)

    def is_there(self, run: str) -> bool:
        return RunId(run) in self.yard.database.rows

    def is_open(self, run: str) -> bool:
        return self.yard.database.rows[RunId(run)].status not in CLOSED_STATUSES

    @override
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


@pytest.mark.parametrize("first", range(0, len(SEEDS), PART))
def test_runs_that_are_paused_and_resumed_come_to_their_end(first: int) -> None:
    play_part(Desk, first)


def test_the_interesting_things_do_happen() -> None:
    seen = play_first(Desk, 20)

    assert seen["crashes"] > 20
    assert seen["paused when resumed"] > 50
    assert seen["running when resumed"] > 5


def test_a_row_that_is_written_before_all_is_quiet_is_found_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def pause_at_once(self: LiveWorkflow) -> None:
        if self.pausing is not None and not self.pausing.is_written and self.state == "live":
            self.pausing.is_written = True
            for message in self.pausing.asked:
                self._consume(message)
            self.summary.write("paused", resident=False)

    monkeypatch.setattr(LiveWorkflow, "_pause_if_quiet", pause_at_once)

    with pytest.raises(AssertionError):
        play_all(Desk)
