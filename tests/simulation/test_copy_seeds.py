"""Retries and forks under crashes: what was done stays done, the rest is done, nothing is lost."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Sequence

import pytest
from typing_extensions import override

from outlast import Retry, Signal, Stream, step, this_step, wf, workflow
from outlast._engine.verbs import forks
from outlast._execution.bodies.body import Body
from outlast._execution.calls.children import ChildCalls
from outlast._execution.calls.operations import failure_in
from outlast._execution.runs.copying import Cut, StreamsPast
from outlast._messages.payloads import typed_payload
from outlast._records import Record
from outlast._store import decisions as decide
from outlast._store.rows import Message, RunRow
from outlast._store.transactions import Transaction
from outlast.errors import RunClosed, UsageError
from outlast.testing.loop import Deadlock
from outlast.testing.machines import FaultPlan, Machine
from outlast.types import CLOSED_STATUSES, ForkKeys, RunId
from tests.simulation.outside import PART, SEEDS, Outside, play_all, play_first, play_part

RUNS = 4
FORKED = "forked_from"
word = Signal("sim.copied_word", int)
lines = Stream("sim.copied_lines", int)
_broken: set[str] = set()  # runs whose second part fails still; the world outside


class Broken(Exception):
    """The world outside is not as it should be."""


@step(name="sim.copied_part", retry=Retry(attempts=1))
async def part(n: int, number: int) -> int:
    """Take a while; the second part fails as long as it is broken."""
    await asyncio.sleep(0.2)
    if number == 2 and this_step().run_id in _broken:
        raise Broken(f"part {number} of {n}")
    return n + number


@workflow(name="sim.copied_child")
async def copied_child(n: int) -> int:
    """Have something done by a child."""
    return await part(n, 7)


@workflow(name="sim.copied_left")
async def copied_left(n: int) -> int:
    """Go on when the parent has failed, and end before its retry or after."""
    await wf.sleep(0.1 * n)
    return await part(n, 8)


@workflow(name="sim.copied")
async def copied(n: int) -> list[int]:
    """Steps, a timer, a signal, children and a stream."""
    await lines.write(n)
    first = await part(n, 0)
    below, _, _ = await asyncio.gather(copied_child(n), part(n, 1), wf.sleep(0.3))
    heard = await word.receive()
    await lines.write(n + 1)
    left = wf.start(copied_left(n), on_parent_close="abandon")
    second = await part(n, 2)
    await lines.write(n + 2)
    return [first, below, heard, second, await left.result()]


class Shop(Outside):
    """Somebody who mends what is broken, and forks and retries runs meanwhile."""

    def __init__(self, seed: int) -> None:
        plan = FaultPlan(crash=0.03, fails=0.02, silent=0.02, pauses=0.004)
        super().__init__(seed, plan, live_runs_max=3)
        self.again: list[str] = []
        self.done: set[tuple[RunId, str]] = set()
        self.yard.on_commit = self.note
        self.yard.observe = self.look

    def note(self, _: Machine, batch: Sequence[Transaction]) -> None:
        """Remember what has become durable as done, whatever becomes of its run's journal."""
        for run in {transaction.run for transaction in batch if transaction.records}:
            records = self.yard.database.journal(run, 0)
            self.done.update((run, r.key) for r in records if is_done(r))

    def look(self, body: Body) -> None:
        """With one machine, nothing that is done is done again."""
        if len(self.yard.machines) == 1 and (body.run, body.key) in self.done:
            self.again.append(f"{body.key} of {body.run}")

    async def tell(self, run: str, n: int) -> None:
        body = typed_payload(word.adapter, n)
        message = Message(
            run=RunId(run),
            kind="signal",
            name=word.name,
            body=body,
            dedup=f"word {run}",
            at=self.yard.client.now(),
        )
        try:
            await self.send(message)
        except RunClosed:
            self.seen["told too late"] += 1

    async def fork(self, run: str) -> None:
        """Fork it at some record; a lost reply may make two forks of it."""
        records = self.yard.database.journal(RunId(run), 0)
        at = self.yard.loop.rng.randint(2, max(2, len(records)))
        try:
            keys: ForkKeys = "same" if self.yard.loop.rng.random() < 0.5 else "new"
            request = forks.ForkRequest(RunId(run), at, keys=keys)
            await self.until_done(lambda core: core.forks.fork(request))
        except UsageError:
            self.seen["no such point"] += 1
        else:
            self.seen["forked"] += 1

    async def retry(self, run: str) -> None:
        try:
            await self.until_done(lambda core: core.forks.retry(RunId(run)))
        except (RunClosed, UsageError):
            self.seen["retried already"] += 1  # the reply to the first one was lost
        else:
            self.seen["retried"] += 1

    async def one(self, n: int) -> None:
        rng = self.yard.loop.rng
        run = f"run-{n}"
        _broken.add(run)
        await self.start(copied.definition, run, n)
        await asyncio.sleep(rng.random() * 2)
        await self.tell(run, n)
        await self.fork(run)
        while True:
            await asyncio.sleep(rng.random())
            row = self.yard.database.rows[RunId(run)]
            if row.status == "completed":
                break
            if rng.random() < 0.3:
                _broken.discard(run)
            if row.status == "failed":
                if rng.random() < 0.3:
                    await self.fork(run)
                await self.retry(run)
        await self.fork(run)

    @override
    async def people(self) -> None:
        _broken.clear()
        await asyncio.gather(*(self.one(n) for n in range(RUNS)))
        self.yard.quiet()
        rows = self.yard.database.rows
        async with asyncio.timeout(300):
            while any(row.status not in CLOSED_STATUSES for row in rows.values()):
                for run, n in self.forks():
                    await self.tell(run, n)
                await asyncio.sleep(1)

    def forks(self) -> list[tuple[str, int]]:
        """Return the forks that are open, and what they are told."""
        rows = self.yard.database.rows.values()
        found = [row for row in rows if row.parent is None and row.status not in CLOSED_STATUSES]
        return [(row.id, number_of(row)) for row in found]

    @override
    def check(self) -> None:
        assert self.again == []
        database = self.yard.database
        for row in database.rows.values():
            if row.workflow != "sim.copied":
                continue
            records = database.journal(row.id, 0)
            assert [r.seq for r in records] == list(range(1, len(records) + 1))
            ends = Counter(r.key for r in records if r.kind in ("step_done", "timer_fired"))
            assert set(ends.values()) == {1}
            assert not database.mail_of(row.id, 10)
            if row.status == "failed" and FORKED in row.attributes:
                # Forked behind the failure, it begins with that.
                assert any(r.kind == "step_done" and failure_in(r.body) for r in records)
                self.seen["forked behind the failure"] += 1
                continue
            n = number_of(row)
            assert row.status == "completed", row
            returns = copied.definition.signature.returns
            assert returns.decode((row.output or b"")[1:]) == [n, n + 7, n, n + 2, n + 8]
            written = [(w.offset, w.count, w.kind) for w in database.streams(row.id)]
            assert written == [(0, 1, "data"), (1, 1, "data"), (2, 1, "data")]


def number_of(row: RunRow) -> int:
    """Return what a run, or the one it was forked from, was started with."""
    found = json.loads(row.attributes).get(FORKED, row.id)
    return int(str(found).rpartition("-")[2])


def is_done(record: Record) -> bool:
    """Whether it is the good end of a step."""
    return record.kind == "step_done" and failure_in(record.body) is None


@pytest.mark.parametrize("first", range(0, len(SEEDS), PART))
def test_copies_come_to_their_end_and_do_nothing_again(first: int) -> None:
    play_part(Shop, first)


def test_the_interesting_things_do_happen() -> None:
    seen = play_first(Shop, 40)

    assert seen["crashes"] > 40
    assert seen["retried"] > 40
    assert seen["forked"] > 100
    assert seen["forked behind the failure"] > 0


def test_a_retry_that_begins_at_the_start_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def cut_at_the_start(_: Sequence[Record]) -> Cut:
        return Cut(2)

    monkeypatch.setattr(forks, "cut_before_failure", cut_at_the_start)

    with pytest.raises(AssertionError):
        play_all(Shop)


def test_an_abandoned_child_that_is_started_again_is_found_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def never(_: RunRow, __: RunRow) -> bool:
        return False

    monkeypatch.setattr(decide, "stays", never)

    with pytest.raises(AssertionError):
        play_all(Shop)


def test_a_refused_start_that_a_crash_loses_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def forget(_: ChildCalls) -> None:
        """Make no start again."""

    monkeypatch.setattr(ChildCalls, "resume", forget)

    with pytest.raises(Deadlock):
        play_all(Shop)


def test_a_copy_without_its_streams_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_streams(_: Sequence[Record]) -> StreamsPast:
        return StreamsPast({}, frozenset(), frozenset())

    monkeypatch.setattr(StreamsPast, "read", no_streams)

    with pytest.raises(AssertionError):
        play_all(Shop)
