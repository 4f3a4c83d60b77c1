"""A full disk: what is open waits, what is new is refused, and what ends work gets through."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from outlast import Engine, step, wf, workflow
from outlast.errors import RunCancelled, StoreFull
from tests.unit.engine import flows

CHUNK = 20_000
CHUNKS = 300


@step
async def chunk(n: int) -> bytes:
    """Return what fills a disk."""
    return bytes([n % 256]) * CHUNK


@workflow
async def fills() -> int:
    """Fill the disk."""
    return sum([len(await chunk(n)) for n in range(CHUNKS)])


@workflow
async def waits() -> None:
    """Wait until asked to stop."""
    await wf.sleep("1h")


async def until_refused(engine: Engine) -> None:
    """Start runs until there is no space for one more."""
    for _ in range(1_000):
        await engine.start(flows.sums(1))


async def test_cancel_gets_through_while_the_disk_is_full(small_disk: Path) -> None:
    filler = small_disk / "filler"
    filler.write_bytes(bytes(1_000_000))
    async with Engine.open(small_disk / "outlast.db") as engine:
        waiting = [await engine.start(waits()) for _ in range(3)]
        filling = await engine.start(fills())
        with pytest.raises(StoreFull, match="space"):
            await until_refused(engine)

        for run in waiting[:2]:
            await asyncio.wait_for(run.cancel("enough"), 30)
            with pytest.raises(RunCancelled):
                await run.result(timeout="30s")
        await asyncio.wait_for(waiting[2].terminate("enough"), 30)
        assert (await waiting[2].info()).status == "terminated"

        assert (await filling.info()).closed_at is None
        with pytest.raises(StoreFull):
            await until_refused(engine)
        filler.unlink()
        await filling.cancel("enough")
