"""What a run waits for, in words: as it is now, and as it was kept."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from outlast import Actor, ChildFailed, Engine, RunFailed, actor, handler, step, workflow
from outlast._execution.why import with_lengths
from outlast._store.sqlite.opening import open_reader
from tests.unit.actors.busy import Busy

KEPT = "waiting for a timer, due at 2026-11-29 14:00:30 UTC; signal 'go'"
AT = 1_795_960_800 * 1_000_000  # 2026-11-29 14:00:00 UTC


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0, "due in 30.0s"), (20, "due in 10.0s"), (30, "due now"), (90, "due now")],
)
def test_what_is_due_is_counted_from_now(seconds: int, told: str) -> None:
    now = AT + seconds * 1_000_000
    assert with_lengths(KEPT, now) == f"waiting for a timer, {told}; signal 'go'"


def test_a_text_without_a_time_is_told_as_it_was_kept() -> None:
    assert (
        with_lengths("waiting for signal 'due at noon'", AT) == "waiting for signal 'due at noon'"
    )


@dataclass
class Nothing:
    """No state."""


_refused = asyncio.Event()


@actor(attempts=2)
class Refusing(Actor[Nothing]):
    """Fails, and is tried again much later."""

    @handler
    async def refuse(self) -> None:
        _refused.set()
        raise ValueError("no")


@workflow
async def why_sleeps() -> None:
    await asyncio.sleep(3600)


@step
async def why_forever() -> None:
    await asyncio.get_running_loop().create_future()


@workflow
async def why_works() -> None:
    await why_forever()


async def test_a_run_out_of_memory_tells_how_long_is_left(tmp_path: Path) -> None:
    path = tmp_path / "o.db"
    async with Engine.open(path) as engine:
        await engine.start(why_sleeps(), id="r")
    async with Engine.open(path, read_only=True) as reading:
        why = await reading.get("r").why()

    reader = open_reader(path)
    [[kept]] = reader.execute("SELECT waiting_for FROM runs").fetchall()
    reader.close(True)
    assert re.search(r"a timer, due at \d{4}-\d\d-\d\d [\d:]{8} UTC$", f"{kept}")
    assert re.search(r"a timer, due in 59m \d+(\.\d+)?s$|due in 1h$", why)


async def test_what_a_reader_is_told_of_a_step_at_work_is_since_when(tmp_path: Path) -> None:
    path = tmp_path / "o.db"
    async with Engine.open(path) as engine, Engine.open(path, read_only=True) as reading:
        run = await engine.start(why_works(), id="r")
        async with asyncio.timeout(30):
            while "attempt 1 running for" not in await run.why():  # noqa: ASYNC110  # no event
                await asyncio.sleep(0.01)
            # Its row follows within a second or so.
            while "running since 2" not in await reading.get("r").why():  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        await run.terminate()


@workflow
async def why_child() -> None:
    raise ValueError("no")


@workflow
async def why_parent() -> None:
    await why_child()


async def test_a_failed_child_leaves_nothing_out_of_what_is_told(engine: Engine) -> None:
    run = await engine.start(why_parent(), id="p")
    with pytest.raises(RunFailed, match=ChildFailed.__name__) as failed:
        await run.result()

    assert "left out" not in failed.value.traceback


async def test_an_actor_says_what_it_waits_for(engine: Engine) -> None:
    busy = engine.actor(Busy, "a")
    await busy.ask(Busy.add, "first")
    run = engine.get(busy.id)

    assert await run.why() == "idle: waiting for a message"

    await busy.options(delay="1h").tell(Busy.add, "later")
    async with asyncio.timeout(10):
        why = await run.why()
        while why == "about to look at its messages":
            await asyncio.sleep(0)
            why = await run.why()
    assert why.startswith("idle until a delayed message or a reminder, due in ")


async def test_an_actor_says_that_a_message_is_tried_again(engine: Engine) -> None:
    failing = engine.actor(Refusing, "a")
    await failing.tell(Refusing.refuse)
    await _refused.wait()

    why = await engine.get(failing.id).why()

    assert why.startswith("waiting for the next attempt at a message that failed, due in ")
