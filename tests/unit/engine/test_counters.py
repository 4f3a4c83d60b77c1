"""Counters of an engine: each failed attempt counts, whatever comes after it."""

from __future__ import annotations

import pytest

from outlast import Engine, Retry, step, this_step, workflow
from outlast.errors import RunFailed


@step(retry=Retry(attempts=3, first="1ms"))
async def flaky() -> int:
    if this_step().attempt < 3:
        raise ConnectionError("not yet")
    return 1


@step
async def broken() -> int:
    raise ConnectionError("for good")


@step
async def unfit() -> int:
    return "no int"  # type: ignore[return-value]  # wrong on purpose


@workflow
async def calls(name: str) -> int:
    match name:
        case "flaky":
            return await flaky()
        case "broken":
            return await broken()
        case _:
            return await unfit()


@pytest.mark.parametrize(("name", "count"), [("flaky", 2), ("broken", 1), ("unfit", 1)])
async def test_every_failed_attempt_is_counted(engine: Engine, name: str, count: int) -> None:
    if name == "flaky":
        assert await engine.run(calls(name)) == 1
    else:
        with pytest.raises(RunFailed):
            await engine.run(calls(name))

    assert engine._core.events.attempts_failed == count
