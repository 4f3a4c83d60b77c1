"""Verbs for one run that meet each other, or its way out of memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from outlast import Engine, Run, Signal, step, wf, workflow
from outlast._store.rows import Message, RunRow
from outlast._store.sqlite.store import SqliteStore
from outlast.errors import RunNotFound
from outlast.types import OnParentClose, RunId

word = Signal("at_once.word", int)


@step
async def at_once_step(n: int) -> int:
    return n


@workflow
async def at_once_waits() -> int:
    return await at_once_step(await word.receive())


@workflow
async def at_once_parent(policy: OnParentClose) -> int:
    return await wf.start(at_once_waits(), id="r", on_parent_close=policy).result()


class Slow:
    """A store whose answers are old: the run has left memory when its row is heard of."""

    def __init__(self, engine: Engine, monkeypatch: pytest.MonkeyPatch, first: int) -> None:
        store = engine._core.store
        assert isinstance(store, SqliteStore)
        self._read = store.read_run
        self._residents = engine._core.scheduler.residents
        self._reads = 0
        self._first = first
        self.was_read = asyncio.Event()
        monkeypatch.setattr(store, "read_run", self.read_run)

    async def read_run(self, run: RunId) -> RunRow | None:
        self._reads += 1
        number, row = self._reads, await self._read(run)
        if number >= self._first:
            self.was_read.set()
        if number >= self._first and run in self._residents:
            async with asyncio.timeout(1.0):
                while run in self._residents:  # noqa: ASYNC110  # it has no event
                    await asyncio.sleep(0.001)
        return row


async def waiting(engine: Engine) -> Run[int]:
    run = await engine.start(at_once_waits(), id="r")
    await says(run, "waiting for signal")
    return run


async def says(run: Run[int], text: str) -> None:
    async with asyncio.timeout(30):
        while text not in await why_of(run):  # noqa: ASYNC110  # it has no event
            await asyncio.sleep(0.005)


async def why_of(run: Run[int]) -> str:
    try:
        return await run.why()
    except RunNotFound:
        return ""  # a child whose start is on its way


async def test_two_pauses_at_once_leave_a_run_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Engine.open(tmp_path / "o.db") as engine:
        run = await waiting(engine)
        Slow(engine, monkeypatch, first=4)
        await asyncio.gather(run.pause(), run.pause())
        monkeypatch.undo()

        async with asyncio.timeout(30):
            while (await run.info()).status != "paused":  # noqa: ASYNC110  # it has no event
                await asyncio.sleep(0.005)
        assert [record.seq async for record in run.journal()] == [1]
        await run.resume()
        await run.signal(word, 7)
        assert await run.result("30s") == 7


async def test_a_run_that_ends_beside_a_pause_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Engine.open(tmp_path / "o.db") as engine:
        run = await waiting(engine)
        slow = Slow(engine, monkeypatch, first=2)
        pausing = asyncio.create_task(run.pause())
        reading = asyncio.create_task(slow.was_read.wait())
        await asyncio.wait([pausing, reading], return_when=asyncio.FIRST_COMPLETED)
        reading.cancel()
        await run.terminate()
        await asyncio.wait([pausing])
        monkeypatch.undo()

        assert (await run.info()).status == "terminated"
        records = [record.seq async for record in run.journal()]
        assert records == list(range(1, len(records) + 1))


@pytest.mark.parametrize("is_paused", [False, True])
@pytest.mark.parametrize("is_file", [False, True])
async def test_a_run_is_retried_at_once_after_it_was_terminated(
    tmp_path: Path, *, is_file: bool, is_paused: bool
) -> None:
    async with Engine.open(tmp_path / "o.db" if is_file else f"memory://{tmp_path.name}") as engine:
        run = await waiting(engine)
        if is_paused:
            await run.pause()
            await status_becomes(run, "paused")
        await run.terminate()
        await run.retry()

        await run.signal(word, 7)
        assert await run.result("30s") == 7


def meet(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, kind: str, happens: Callable[[Engine], None]
) -> None:
    """Have something happen to run "r" just before a message of this kind reaches it."""
    scheduler = engine._core.scheduler
    deliver = scheduler.deliver

    def after(message: Message, number: int) -> None:
        if message.kind == kind and message.run == "r":
            happens(engine)
        deliver(message, number)

    monkeypatch.setattr(scheduler, "deliver", after)


def leaves(engine: Engine) -> None:
    engine._core.residency.passivate(engine._core.scheduler.residents[RunId("r")])


def parks(engine: Engine) -> None:
    engine._core.scheduler.run_parked(RunId("r"), "it cannot go on")


async def status_becomes(run: Run[int], status: str) -> None:
    async with asyncio.timeout(30):
        while (await run.info()).status != status:  # noqa: ASYNC110  # it has no event
            await asyncio.sleep(0.005)


async def test_a_pause_that_meets_a_run_on_its_way_out_of_memory_pauses_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Engine.open(tmp_path / "o.db") as engine:
        run = await waiting(engine)
        meet(engine, monkeypatch, "pause", leaves)
        await run.pause()

        await status_becomes(run, "paused")
        await run.signal(word, 7)
        assert [record.seq async for record in run.journal()] == [1]
        await run.resume()
        assert await run.result("30s") == 7


async def test_a_pause_that_meets_a_run_which_is_being_parked_pauses_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Engine.open(tmp_path / "o.db") as engine:
        run = await waiting(engine)
        meet(engine, monkeypatch, "pause", parks)
        await run.pause()

        await status_becomes(run, "paused")
        assert "it was parked: it cannot go on" in await run.why()
        await run.resume()
        await run.signal(word, 7)
        assert await run.result("30s") == 7


async def test_a_parents_end_that_meets_a_child_which_is_being_parked_terminates_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Engine.open(tmp_path / "o.db") as engine:
        parent = await engine.start(at_once_parent("terminate"))
        run = engine.get("r", at_once_waits)
        await says(parent, "child run r")
        await says(run, "waiting for signal")
        meet(engine, monkeypatch, "terminate", parks)
        await parent.terminate()

        await status_becomes(run, "terminated")
