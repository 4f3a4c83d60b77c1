"""What code above the runs may know of the run that executes, and have it do."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from outlast import Actor, Engine, Signal, Stream, Value, actor, handler, step, wf, workflow
from outlast._execution.run_context import (
    context_here,
    current_context,
    executing_run_id,
    executing_steps,
    in_run,
    is_silent,
    next_number,
)
from outlast._registry import default_registry
from outlast.errors import (
    DecodingError,
    HandlerFailed,
    NotInRun,
    Passivating,
    RunParked,
    WaitTimeout,
)
from outlast.types import RunId

level = Value("run_context.level", int)
lines = Stream("run_context.lines", str)
go = Signal("run_context.go", str)
seen: list[object] = []


@pytest.fixture(autouse=True)
def clean() -> None:
    seen.clear()


@step(name="run_context.twice")
async def twice(number: int, *, plus: int = 0) -> int:
    seen.append((in_run(), context_here()))
    return 2 * number + plus


def place_of(run: Callable[..., Coroutine[object, object, object]], offset: int) -> str:
    return f"execution/test_run_context.py:{run.__code__.co_firstlineno + offset}"


# ----------------------------------------------------------------------- where code executes
def test_outside_of_runs_there_is_no_context() -> None:
    assert not in_run()
    assert context_here() is None
    assert executing_steps() is None
    assert executing_run_id() == ""
    assert not is_silent()
    with pytest.raises(NotInRun, match="only in workflow code"):
        current_context()


@workflow(name="run_context.looks")
async def looks() -> list[str]:
    run = current_context()
    found = context_here()
    assert in_run()
    assert run.actor is None
    assert run.registry is default_registry
    assert not run.is_replaying
    await twice(1)
    assert run.now == wf.now().timestamp()
    return [run.id, "" if found is None else found.id, executing_run_id()]


async def test_code_of_a_run_finds_its_run(engine: Engine) -> None:
    assert await engine.run(looks(), id="a") == ["a", "a", "a"]


async def test_the_body_of_a_step_is_no_code_of_the_run(engine: Engine) -> None:
    await engine.run(looks(), id="a")

    assert seen == [(False, None)]


@workflow(name="run_context.leaves")
async def leaves() -> None:
    try:
        await go.receive()
    finally:
        seen.append(is_silent())
        try:
            current_context()
        except Passivating as error:
            seen.append(f"{error}")
            raise


async def test_code_of_a_run_that_leaves_memory_has_no_context(tmp_path: Path) -> None:
    async with Engine.open(tmp_path / "outlast.db") as engine:
        run = await engine.start(leaves(), id="a")
        while "signal" not in await run.why():  # noqa: ASYNC110  # it has no event
            await asyncio.sleep(0.005)

    assert seen == [True, "the run is leaving memory"]


# ---------------------------------------------------------------------------- what it may do
@workflow(name="run_context.issues")
async def issues() -> object:
    return await current_context().step(twice.definition, (3,), {"plus": 1})


@workflow(name="run_context.issues_elsewhere")
async def issues_elsewhere() -> object:
    return await current_context().step(twice.definition, (4,), place="mine.py:7")


async def test_a_step_is_issued_under_a_key_at_the_line_of_the_code(engine: Engine) -> None:
    run = await engine.start(issues(), id="a")
    other = await engine.start(issues_elsewhere(), id="b")

    assert (await run.result(), await other.result()) == (7, 8)
    done = [record async for record in run.journal() if record.kind == "step_done"]
    assert [record.key for record in done] == ["0#1:run_context.twice"]
    assert [record.place for record in done] == [place_of(issues.fn, 2)]
    done = [record async for record in other.journal() if record.kind == "step_done"]
    assert [record.place for record in done] == ["mine.py:7"]


@workflow(name="run_context.draws")
async def draws() -> tuple[float, float]:
    run = current_context()
    return run.random().random(), run.random().random()


async def test_chance_follows_from_the_run_and_the_place(engine: Engine) -> None:
    run = await engine.start(draws(), id="a")
    found = engine._core.scheduler.residents[RunId("a")]

    expected = [random.Random(f"{found.salt}:0#{n}:random").random() for n in (1, 2)]
    assert list(await run.result()) == expected


@workflow(name="run_context.shows")
async def shows() -> None:
    outputs = current_context().outputs
    outputs.set_value(level.name, level.adapter.encode(1))
    outputs.set_value(level.name, level.adapter.encode(2))
    outputs.write(lines.name, lines.adapter.encode("a"))
    await twice(1)
    outputs.write(lines.name, lines.adapter.encode("b"))
    outputs.set_attributes({"customer": 7, "city": "Bern"})
    outputs.set_attributes({"city": None})
    await go.receive()


async def test_what_a_run_shows_is_written_once_over_a_restart(tmp_path: Path) -> None:
    async with Engine.open(tmp_path / "outlast.db") as engine:
        run = await engine.start(shows(), id="a")
        while not (await run.info()).attributes:  # noqa: ASYNC110  # it has no event
            await asyncio.sleep(0.005)
    async with Engine.open(tmp_path / "outlast.db") as engine:
        run = engine.get("a", shows)
        await run.signal(go, "on")
        await run.result()

        events = [event async for event in run.stream(lines)]
        assert [event.value for event in events if event.kind == "data"] == ["a", "b"]
        assert await run.read(level) == 2
        assert (await run.info()).attributes == {"customer": 7}
        kinds = [record.kind async for record in run.journal()]
        assert kinds.count("value_set") == kinds.count("stream_written") == 2


@workflow(name="run_context.waits")
async def waits() -> list[str]:
    waits, said = current_context().waits, list[str]()
    before = current_context().now
    await waits.sleep(0.02)
    assert current_context().now >= before + 0.02
    await waits.until(lambda: True, None)
    try:
        await waits.until(lambda: False, 0.01)
    except WaitTimeout as error:
        said.append(f"{error}")
    value = await current_context().signals.receive_value(go.name, go.adapter, None)
    said.append(f"{value}")
    try:
        await current_context().signals.receive_value(go.name, go.adapter, 0.01)
    except WaitTimeout as error:
        said.append(f"{error}")
    return said


async def test_code_waits_for_the_clock_for_conditions_and_for_signals(engine: Engine) -> None:
    run = await engine.start(waits(), id="a", signals=[(go, "on")])

    assert await run.result() == [
        "the condition was not true within 10ms",
        "on",
        "no signal 'run_context.go' came within 10ms",
    ]


@workflow(name="run_context.scoped")
async def scoped() -> list[str]:
    said = list[str]()
    block = current_context().cancellation.enter(timeout=0.01)
    try:
        await go.receive()
    except asyncio.CancelledError as error:
        with pytest.raises(WaitTimeout, match="the scope's time of 10ms ran out"):
            block.leave(type(error))
        said.append("timed out")
    block = current_context().cancellation.enter()
    block.scope.is_cancelled = True
    assert block.leave(asyncio.CancelledError)
    assert not current_context().cancellation.enter().leave(None)
    await twice(1)
    return said


async def test_a_scope_stops_its_own_cancellation_and_no_other(engine: Engine) -> None:
    assert await engine.run(scoped(), id="a") == ["timed out"]


@workflow(name="run_context.reads")
async def reads(has_fit: bool) -> int:
    def read() -> int:
        assert not in_run()
        if not has_fit:
            raise DecodingError("$.x", "expected an int")
        return 7

    return await current_context().read("what was stored", read)


async def test_stored_data_is_read_outside_of_the_code(engine: Engine) -> None:
    assert await engine.run(reads(True), id="a") == 7
    with pytest.raises(RunParked, match=r"what was stored does not match .* expected an int"):
        await engine.run(reads(False), id="b")


@workflow(name="run_context.replayed")
async def replayed() -> str:
    seen.append((current_context().is_replaying, is_silent()))
    await twice(1)
    seen.append((current_context().is_replaying, is_silent()))
    return await go.receive()


async def test_code_can_tell_that_it_is_replayed(tmp_path: Path) -> None:
    async with Engine.open(tmp_path / "outlast.db") as engine:
        run = await engine.start(replayed(), id="a")
        while "signal" not in await run.why():  # noqa: ASYNC110  # it has no event
            await asyncio.sleep(0.005)
    first = [said for said in seen if said != (False, None)]
    seen.clear()
    async with Engine.open(tmp_path / "outlast.db") as engine:
        await engine.get("a").signal(go, "on")
        await engine.get("a").result()

    assert first == [(False, False), (False, False)]
    assert seen == [(True, True), (True, True)]


# ---------------------------------------------------------------------------------- of actors
@dataclass
class Notes:
    told: list[str] = field(default_factory=list[str])


@actor(name="run_context.Notebook", attempts=1)
class Notebook(Actor[Notes]):
    """Looks at its context, and has it do things."""

    @handler
    async def look(self) -> list[str]:
        run = current_context()
        found = run.actor
        assert found is not None
        assert found.definition is default_registry.find_actor(Notebook)
        signature = found.definition.handlers["note"].signature
        args = signature.encode(signature.bind(("by post",), {}))
        found.forward(run.id, "note", args, sender="another")
        found.notify(run.id, "note", {"text": "a notice"})
        return [run.id, *(link.partition("\n")[0] for link in found.chain)]

    @handler
    async def note(self, text: str) -> None:
        self.state.told.append(f"{self.sender}: {text}")

    @handler
    async def fail(self) -> None:
        await self.look()
        raise ValueError("nothing of it holds")

    @handler
    async def told(self) -> list[str]:
        return self.state.told

    @handler
    async def update(self) -> None:
        assert current_context().updates.unfinished() == []


async def test_what_a_handler_sends_goes_out_with_its_message(engine: Engine) -> None:
    notebook = engine.actor(Notebook, "a")

    assert await notebook.ask(Notebook.look) == [notebook.id, notebook.id]
    assert await notebook.ask(Notebook.told) == ["another: by post", f"{notebook.id}: a notice"]


async def test_what_a_failed_handler_has_sent_does_not(engine: Engine) -> None:
    notebook = engine.actor(Notebook, "a")
    with pytest.raises(HandlerFailed):
        await notebook.ask(Notebook.fail)

    assert await notebook.ask(Notebook.told) == []


async def test_actors_have_no_updates(engine: Engine) -> None:
    with pytest.raises(HandlerFailed, match="updates of actors: their handlers take messages"):
        await engine.actor(Notebook, "a").ask(Notebook.update)


# ------------------------------------------------------------------------------ numbers
@workflow
async def numbers() -> list[int]:
    return [next_number("a"), next_number("b"), next_number("a")]


@actor(name="run_context.Counted")
class Counted(Actor[int]):
    """Asks for numbers."""

    @handler
    async def number(self) -> int:
        return next_number("a")


async def test_numbers_are_counted_in_a_run_and_in_a_message(engine: Engine) -> None:
    assert await engine.run(numbers()) == [1, 1, 2]
    counted = engine.actor(Counted, "c")
    assert [await counted.ask(Counted.number) for _ in range(2)] == [1, 1]


def test_numbers_need_a_run() -> None:
    with pytest.raises(NotInRun):
        next_number("a")
