"""A retry, or a plan of one, that meets a start anew under the same id."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from outlast import Engine
from outlast._records import Record
from outlast._store.rows import StreamRow
from outlast.errors import RunFailed, UsageError
from outlast.types import RunId
from tests.unit.engine.drawing import broken, calls, hears, three


@pytest.fixture(autouse=True)
def _clean() -> None:
    calls.clear()
    broken.clear()


async def test_a_retry_is_told_that_its_run_was_started_anew_meanwhile(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken.add("b")
    run = await engine.start(three(), id="r")
    with pytest.raises(RunFailed):
        await run.result()
    forks = engine._core.forks
    streams = forks._streams

    async def started_first(old: RunId, new: RunId, records: Sequence[Record]) -> list[StreamRow]:
        await engine.start(three(), id="r", reuse="if_failed")
        return await streams(old, new, records)

    monkeypatch.setattr(forks, "_streams", started_first)

    with pytest.raises(UsageError, match="started anew meanwhile"):
        await run.retry()


async def test_a_plan_is_refused_when_its_run_is_started_anew_meanwhile(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken.add("b")
    run = await engine.start(three(), id="r")
    with pytest.raises(RunFailed):
        await run.result()
    store = engine._core.forks._store
    read = store.read_journal

    async def started_first(run: RunId, *args: object) -> list[Record]:
        broken.clear()
        await engine.start(hears(), id=run, reuse="if_failed")
        return await read(run)

    monkeypatch.setattr(store, "read_journal", started_first)

    with pytest.raises(UsageError, match="started anew while the plan was made"):
        await run.retry_plan()
