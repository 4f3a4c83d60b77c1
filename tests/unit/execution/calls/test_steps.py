"""How steps end: values and errors, further attempts, timeouts, a run that is parked."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

import pytest

from outlast import Engine, step, workflow
from outlast.errors import (
    RunFailed,
    RunParked,
    Shutdown,
    StepFailed,
    StepTimeout,
)
from tests.unit.engine import flows

RAISED: dict[str, type[BaseException]] = {
    "cancelled": asyncio.CancelledError,
    "exit": SystemExit,
    "generator": GeneratorExit,
}


@dataclass
class Hostile:
    """A class that lets itself be made once, and raises when it is read back."""

    kind: str
    is_first: bool = False

    def __post_init__(self) -> None:
        if not self.is_first:
            raise RAISED[self.kind]
        self.is_first = False


@step
async def gives_hostile(kind: str) -> Hostile:
    """Return what cannot be read back."""
    return Hostile(kind, is_first=True)


@workflow
async def takes_hostile(kind: str) -> str:
    """Say what came."""
    try:
        await gives_hostile(kind)
    except StepFailed as error:
        return error.type_name
    except Exception as error:  # noqa: BLE001  # the point
        return type(error).__name__
    return "nothing"


@pytest.mark.parametrize("kind", RAISED)
async def test_a_result_that_raises_when_read_back_fails_its_step(
    engine: Engine, kind: str
) -> None:
    assert await engine.run(takes_hostile(kind), timeout="30s") == "EncodingError"


_may_end: list[bool] = []


@step(timeout="50ms")
async def stubborn() -> None:
    """Swallow the cancellation of the timeout."""
    while not _may_end:  # the test says so
        try:
            await asyncio.sleep(0.01)
        except asyncio.CancelledError:
            pass


@workflow
async def calls_stubborn() -> str:
    """Say how the step ended."""
    try:
        await stubborn()
    except StepTimeout:
        return "timed out"
    return "ended"


async def test_a_step_that_swallows_its_timeout_is_given_up(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("outlast.limits.STEP_UNWIND_SECONDS", 0.05)
    _may_end.clear()

    try:
        assert await engine.run(calls_stubborn(), timeout="30s") == "timed out"
    finally:
        _may_end.append(True)


@step
async def raises_shutdown() -> None:
    """Raise what only the engine may."""
    raise Shutdown("mine")


@workflow
async def calls_shutdown() -> None:
    """Let it through."""
    await raises_shutdown()


async def test_a_step_that_raises_shutdown_has_failed(engine: Engine) -> None:
    with pytest.raises(RunFailed, match="Shutdown"):
        await engine.run(calls_shutdown(), timeout="30s")


async def test_an_expected_error_of_a_step_is_a_value(engine: Engine) -> None:
    assert await engine.run(flows.catches(7)) == "Declined 7"


async def test_an_undeclared_error_of_a_step_comes_as_step_failed(engine: Engine) -> None:
    @workflow
    async def sees() -> str:
        try:
            return await flows.decline_undeclared(3)
        except StepFailed as error:
            return f"{error.type_name}|{error.message}"

    assert await engine.run(sees()) == "Declined|declined with code 3"


async def test_a_step_is_tried_again_until_it_succeeds(engine: Engine) -> None:
    @workflow
    async def tries() -> int:
        return await flows.third_time("retry")

    assert await engine.run(tries()) == 3
    assert flows.calls.count("retry") >= 3


async def test_a_step_that_takes_too_long_fails(engine: Engine) -> None:
    @workflow
    async def waits() -> str:
        try:
            await flows.too_slow()
        except StepTimeout as error:
            return error.kind
        return "in time"

    assert await engine.run(waits()) == "run"


async def test_a_step_that_spent_its_attempts_may_park_the_run(engine: Engine) -> None:
    @workflow
    async def careful() -> str:
        return await flows.parks("park")

    flows.calls.clear()
    run = await engine.start(careful())

    with pytest.raises(RunParked, match="failed after 2 attempts"):
        await run.result(timeout="30s")
    assert (await run.info()).status == "parked"
    assert "failed after 2 attempts" in await run.why()
    await run.resume()
    assert await run.result(timeout="30s", parked="wait") == "mended"


cut_short: list[str] = []


@step
async def is_cut_short(mark: str) -> str:
    """Take long the first time."""
    cut_short.append(mark)
    if cut_short.count(mark) == 1:
        await asyncio.sleep(30)
    return mark


@workflow
async def takes_long(mark: str) -> str:
    """One step."""
    return await is_cut_short(mark)


async def test_a_step_that_a_shutdown_has_ended_is_done_by_the_next_engine(tmp_path: Path) -> None:
    path = tmp_path / "outlast.db"
    async with Engine.open(path) as engine:
        await engine.start(takes_long("long"), id="r")
        async with asyncio.timeout(30):
            while not cut_short:  # noqa: ASYNC110  # it has no event
                await asyncio.sleep(0.005)
        await engine.drain(grace="10ms")

    async with Engine.open(path) as engine:
        assert await engine.get("r", takes_long).result("30s") == "long"


begun: list[int] = []


@step
async def running_noted(n: int) -> int:
    begun.append(n)
    return n


async def test_the_steps_of_a_new_run_begin_in_the_order_in_which_they_were_asked_for(
    engine: Engine,
) -> None:
    @workflow
    async def wide() -> list[int]:
        return await asyncio.gather(*(running_noted(n) for n in range(30)))

    for _ in range(5):
        begun.clear()
        assert await engine.run(wide()) == begun == list(range(30))
