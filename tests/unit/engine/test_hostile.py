"""What a newcomer's attack found: odd values and odd code harm their own run only, and say so."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import pytest

from outlast import Engine, Retry, step, wf, workflow
from outlast.errors import (
    RegistrationError,
    RunFailed,
    Shutdown,
    StepFailed,
    StepTimeout,
    UsageError,
)
from tests.unit.engine import flows

NEVER = ["1e12", "1e13", "1e18", "inf"]


@workflow
async def sleeps(seconds: str) -> str:
    """Sleep as stock asyncio does."""
    await asyncio.sleep(float(seconds))
    return "awake"


@workflow
async def waits_within(seconds: str) -> str:
    """Wait for something that comes, with a bound that never does."""
    async with asyncio.timeout(float(seconds)):
        await asyncio.wait_for(asyncio.sleep(0.01), float(seconds))
    return "awake"


@pytest.mark.parametrize("seconds", NEVER)
async def test_a_sleep_for_ever_is_a_wait_like_any_other(tmp_path: Path, seconds: str) -> None:
    for _ in range(2):
        async with Engine.open(tmp_path / "outlast.db") as engine:
            run = await engine.start(sleeps(seconds), id="long")
            neighbour = await engine.run(flows.sums(3))

            assert neighbour == 6
            async with asyncio.timeout(30):
                while "timer" not in await run.why():  # noqa: ASYNC110  # it has no event
                    await asyncio.sleep(0.01)
            assert [i.id async for i in engine.runs("status:waiting,running")] == ["long"]
    async with Engine.open(tmp_path / "outlast.db", read_only=True) as reader:
        assert (await reader.get("long").info()).wake_at is not None


async def test_a_bound_that_never_comes_is_no_bound(engine: Engine) -> None:
    assert await engine.run(waits_within("inf"), timeout="30s") == "awake"


async def test_not_a_number_fails_the_run_that_asks_for_it(engine: Engine) -> None:
    with pytest.raises(RunFailed, match="NaN"):
        await engine.run(sleeps("nan"), timeout="30s")
    assert await engine.run(sleeps("0.01"), timeout="30s") == "awake"


@pytest.mark.parametrize("reason", [5, b"x", None, "\udcff", "x" * 20_000])
async def test_a_reason_that_is_no_text_is_refused(engine: Engine, reason: object) -> None:
    run = await engine.start(flows.naps(30))

    with pytest.raises(UsageError, match="the reason"):
        await run.cancel(cast("str", reason))
    with pytest.raises(UsageError, match="the reason"):
        await run.terminate(cast("str", reason))

    await run.cancel("enough")


@pytest.mark.parametrize(
    "make",
    [
        lambda: Retry(attempts=3, never_on=cast("tuple[type[BaseException]]", ValueError)),
        lambda: Retry(attempts=3, never_on=cast("tuple[type[BaseException]]", 5)),
        lambda: Retry(attempts=cast("int", 1.5)),
        lambda: Retry(attempts=cast("int", "a")),
        lambda: Retry(attempts=3, factor=1e308),
        lambda: Retry(attempts=3, factor=math.nan),
    ],
)
def test_a_retry_that_cannot_be_is_refused(make: Callable[[], Retry]) -> None:
    with pytest.raises(RegistrationError, match="Retry"):
        step(retry=make())(_nothing)


@pytest.mark.parametrize("name", ["", "x" * 300, cast("str", 5), "a\nb"])
def test_a_name_that_cannot_be_is_refused(name: str) -> None:
    with pytest.raises(RegistrationError, match="name"):
        step(name=name)(_nothing)
    with pytest.raises(RegistrationError, match="name"):
        workflow(name=name)(_nothing_either)


async def _nothing() -> None: ...


async def _nothing_either() -> None: ...


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


_mended: list[bool] = []


@workflow
async def named_child() -> int:
    """Do a little."""
    return await flows.add(1, 2)


@workflow
async def parent_of_named() -> int:
    """Fail after the child, until mended."""
    child = wf.start(named_child(), id=f"{wf.run_id}-0")
    value = await child.result()
    if not _mended:
        raise ValueError("not yet")
    return value


async def test_a_failed_parent_starts_again_with_its_named_children(engine: Engine) -> None:
    _mended.clear()
    with pytest.raises(RunFailed, match="not yet"):
        await engine.run(parent_of_named(), id="parent", timeout="30s")
    _mended.append(True)

    assert await engine.run(parent_of_named(), id="parent", timeout="30s") == 3


async def test_a_name_that_is_none_is_refused(engine: Engine) -> None:
    run = await engine.start(flows.naps(30))

    with pytest.raises(UsageError, match="value's name"):
        await run.read(cast("str", 5))
    with pytest.raises(UsageError, match="stream's name"):
        async for _ in run.stream(cast("str", 5)):
            pass
    with pytest.raises(UsageError, match="parked"):
        await run.result(parked=cast("None", "x"))  # type: ignore[arg-type]  # the point
    with pytest.raises(UsageError, match="attribute"):
        await engine.start(flows.naps(0), attributes=cast("dict[str, str]", {1: 2}))
    await run.terminate()


@pytest.mark.parametrize(
    "options", [{"url": 5}, {"live_runs_max": "x"}, {"resources": 5}, {"registry": 5}]
)
def test_an_engine_is_not_opened_with_odd_things(options: dict[str, object]) -> None:
    opening = cast("Callable[..., Engine]", Engine.open)

    with pytest.raises(UsageError, match=next(iter(options))):
        opening(**options)


async def test_text_with_a_lone_surrogate_is_refused_in_words(engine: Engine) -> None:
    bad = "a\ud800"
    calls: list[Callable[[], Awaitable[object]]] = [
        lambda: engine.start(flows.decides(), id=bad),
        lambda: anext(aiter(engine.runs(f"workflow:{bad}"))),
        lambda: engine.token(bad),
        lambda: engine.answer(bad, 1),
        lambda: engine.approve(bad, by="ann"),
        lambda: engine.diff(bad, "r"),
        lambda: anext(aiter(engine.actors(bad))),
        lambda: engine.actor_info(bad, "k"),
        lambda: engine.actor_info("k", bad),
        lambda: engine.get("r").signal(bad, 1, allow_undeclared=True),
        lambda: engine.get("r").signal("n", 1, dedup=bad, allow_undeclared=True),
        lambda: engine.get("r").cancel(bad),
        lambda: engine.get("r").read(bad),
        lambda: anext(aiter(engine.get("r").stream(bad))),
    ]
    for call in calls:
        with pytest.raises(UsageError):
            await call()
