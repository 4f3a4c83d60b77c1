"""Verbs for one run that meet: one leaves memory while another reads its row."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from outlast import Engine, Run, Signal, step, workflow
from outlast._store.contract import RunRow
from outlast._store.sqlite.store import SqliteStore
from outlast.types import RunId

word = Signal("at_once.word", int)


@step
async def at_once_step(n: int) -> int:
    return n


@workflow
async def at_once_waits() -> int:
    return await at_once_step(await word.receive())


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
    async with asyncio.timeout(30):
        while "waiting for signal" not in await run.why():  # noqa: ASYNC110  # it has no event
            await asyncio.sleep(0.005)
    return run


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
