"""What a fork or a retry runs again: shown before, under the same keys or new ones."""

from __future__ import annotations

import asyncio
import random
import uuid
from pathlib import Path

import pytest

from outlast import (
    Engine,
    RerunChild,
    RerunSignal,
    RerunStep,
    Run,
    Signal,
    step,
    this_step,
    wf,
    workflow,
)
from outlast.client import Client
from outlast.errors import RunClosed, RunFailed, UsageError

word = Signal("rerun_word", str)
keys: list[str] = []
broken: set[str] = set()


@pytest.fixture(autouse=True)
def _clean() -> None:
    keys.clear()
    broken.clear()


async def until_asked(run: Run[str], *, children: int = 1, heard: int = 0) -> None:
    """Return when the run waits for a signal behind `heard` others, and its children have ended."""
    async with asyncio.timeout(30):
        while True:
            why = await run.why()  # first: what it says has its records then
            kinds = [record.kind async for record in run.journal()]
            has_heard = kinds.count("signal") >= heard
            if "signal 'rerun_word'" in why and has_heard and kinds.count("child_done") == children:
                return
            await asyncio.sleep(0.005)


@step
async def charge(order: str) -> str:
    keys.append(this_step().key)
    if order in broken:
        raise ValueError(order)
    return order


@step(where="process")
def key_in_process() -> str:
    return this_step().key


@workflow
async def charged_child(order: str) -> str:
    return await charge(order)


@workflow
async def ordering(order: str) -> str:
    await charge(order)
    child = wf.start(charged_child(f"{order} child"))
    first = await word.receive()
    await child.result()
    return first + await word.receive()


@workflow
async def in_process() -> tuple[str, str]:
    await charge("before")
    return await key_in_process(), wf.run_id


@workflow
async def draws() -> list[str]:
    first = f"{random.random()} {uuid.uuid4()} {wf.uuid()}"
    await charge("between")
    return [first, f"{random.random()} {uuid.uuid4()} {wf.uuid()}"]


async def test_a_fork_with_the_same_keys_runs_steps_under_the_keys_of_its_origin(
    engine: Engine,
) -> None:
    run = await engine.start(ordering("o"), id="origin")
    await until_asked(run)

    forked = await run.fork("charge", keys="same")
    await until_asked(forked)
    again = await forked.fork("charge")
    await until_asked(again)
    for each in (run, forked, again):
        await each.signal(word, "a")
        await each.signal(word, "b")
        assert await each.result("30s") == "ab"

    assert len(keys) == 6
    assert len(set(keys)) == 2
    assert all(key.startswith("origin") for key in keys)


async def test_a_fork_with_new_keys_has_effects_of_its_own(engine: Engine) -> None:
    run = await engine.start(ordering("o"), id="origin")
    await until_asked(run)

    forked = await run.fork("charge", keys="new")
    await until_asked(forked)

    assert len(set(keys)) == 4
    assert sum(key.startswith(forked.id) for key in keys) == 2


async def test_a_process_step_of_a_fork_has_the_key_of_the_origin(tmp_path: Path) -> None:
    async with Engine.open(tmp_path / "o.db") as engine:
        run = await engine.start(in_process(), id="origin")
        key, _ = await run.result("30s")
        forked = await run.fork("key_in_process")
        other = await run.fork("key_in_process", keys="new")

        assert await forked.result("30s") == (key, forked.id)
        assert (await other.result("30s"))[0].startswith(other.id)


async def test_new_keys_come_with_new_chance_and_the_same_keys_with_the_same(
    engine: Engine,
) -> None:
    run = await engine.start(draws())
    first, second = await run.result("30s")
    same = await run.fork("charge")
    new = await run.fork("charge", keys="new")

    assert await same.result("30s") == [first, second]
    drawn = await new.result("30s")
    assert drawn[0] == first
    assert all(a != b for a, b in zip(drawn[1].split(), second.split(), strict=True))


async def test_new_chance_is_the_same_again_on_replay(tmp_path: Path) -> None:
    async with Engine.open(tmp_path / "o.db") as engine:
        run = await engine.start(held(), id="r")
        await until_asked(run, children=0)
        forked = await run.fork("charge", keys="new")
        await until_asked(forked, children=0)
        assert "chance_renewed" in [r.kind async for r in forked.journal()]
    drawn = drawn_by_run.copy()
    assert drawn[forked.id] != drawn["r"]

    async with Engine.open(tmp_path / "o.db") as engine:
        drawn_by_run.clear()
        await engine.get(forked.id).signal(word, "go")
        await engine.get(forked.id).result("30s")

    assert drawn_by_run[forked.id] == drawn[forked.id]


drawn_by_run: dict[str, float] = {}


@workflow
async def held() -> str:
    await charge("x")
    drawn_by_run[wf.run_id] = random.random()
    return await word.receive()


async def test_the_plan_names_what_runs_again_and_what_stays_behind(engine: Engine) -> None:
    run = await engine.start(ordering("o"), id="origin")
    await until_asked(run)
    await run.signal(word, "a")
    await until_asked(run, heard=1)
    await run.pause()
    await run.signal(word, "unread")
    [(step_key, place), *_] = [
        (r.key, r.place) async for r in run.journal() if r.kind == "step_done"
    ]
    assert "test_rerun_plans.py:" in place

    plan = await run.fork_plan("charge")
    new = await run.fork_plan("charge", keys="new", signals="copy")

    key = f"origin/{step_key}"
    assert plan.steps == (RerunStep(step_key, charge.name, "completed", key, place),)
    assert [type(child) for child in plan.children] == [RerunChild]
    assert plan.children[0].id.startswith("origin.")
    assert [s.name for s in plan.signals_left] == ["rerun_word", "rerun_word"]
    assert plan.signals_left[1] == RerunSignal("rerun_word", None)
    assert (plan.records_kept, plan.steps_kept, plan.signals_copied) == (1, 0, ())
    assert [s.idempotency_key for s in new.steps] == [None]
    assert (new.signals_left, len(new.signals_copied)) == ((), 2)
    assert [info.id async for info in engine.runs("workflow:ordering")] == ["origin"]


async def test_signals_are_copied_when_that_is_asked_for(engine: Engine) -> None:
    run = await engine.start(ordering("o"), id="origin")
    await until_asked(run)
    await run.signal(word, "a", dedup="k")
    await until_asked(run, heard=1)
    await run.pause()
    await run.signal(word, "unread")

    forked = await run.fork("charge", signals="copy")

    assert await forked.result("30s") == "aunread"
    left = await run.fork("charge")
    await until_asked(left)
    assert "signal" not in [r.kind async for r in left.journal()]


async def test_the_plan_of_a_retry_names_the_step_that_failed(engine: Engine) -> None:
    broken.add("o")
    run = await engine.start(ordering("o"), id="failing")
    with pytest.raises(Exception, match="ValueError"):
        await run.result("30s")

    plan = await run.retry_plan()

    assert [(s.name, s.outcome) for s in plan.steps] == [(charge.name, "failed")]
    assert plan.steps[0].idempotency_key == keys[0]
    broken.clear()
    await run.retry()
    await until_asked(run)
    assert keys[1] == keys[0]
    with pytest.raises(UsageError, match="it has not failed"):
        await run.retry_plan()


@workflow
async def waiting_child(name: str) -> str:
    try:
        return await word.receive()
    finally:
        async with wf.shield(grace="1h"):
            if name == "stops":
                await word.receive()


@workflow
async def with_children() -> list[str]:
    started = [
        wf.start(waiting_child("goes on"), id="fixed", on_parent_close="abandon"),
        wf.start(waiting_child("ended"), on_parent_close="abandon"),
        wf.start(waiting_child("stops"), on_parent_close="cancel"),
        wf.start(waiting_child("gone"), on_parent_close="terminate"),
    ]
    await word.receive()
    await charge("parent")
    return [await child.result() for child in started]


async def until_children_stand(engine: Engine, *standing: str) -> None:
    """Return when the children of `p` have these statuses, in the order of their keys."""
    async with asyncio.timeout(30):
        while True:
            ids = ["fixed", "p.0-2", "p.0-3", "p.0-4"]
            found = {info.id: info.status async for info in engine.runs("parent:p")}
            if [found.get(each) for each in ids] == list(standing):
                return
            await asyncio.sleep(0.005)


async def test_plans_tell_what_becomes_of_children_as_the_retry_then_does(engine: Engine) -> None:
    broken.add("parent")
    run = await engine.start(with_children(), id="p")
    await until_children_stand(engine, "waiting", "waiting", "waiting", "waiting")
    await run.signal(word, "go on")
    with pytest.raises(RunFailed):
        await run.result("30s")
    await engine.get("p.0-2").terminate()
    await until_children_stand(engine, "waiting", "terminated", "waiting", "terminated")
    before = [(await engine.get(each).info()).created_at for each in ("fixed", "p.0-2")]

    retry, fork = await run.retry_plan(), await run.fork_plan("charge")

    assert [(c.id, c.action, c.status) for c in retry.children] == [
        ("fixed", "attach", "waiting"),
        ("p.0-2", "attach", "terminated"),
        ("p.0-3", "wait", "waiting"),
        ("p.0-4", "start", "terminated"),
    ]
    assert [c.action for c in fork.children] == ["refuse", "start", "start", "start"]

    broken.clear()
    await run.retry()
    await until_children_stand(engine, "waiting", "terminated", "waiting", "waiting")
    await engine.get("fixed").signal(word, "done")
    with pytest.raises(RunFailed, match="ChildFailed"):
        await run.result("30s")
    after = [(await engine.get(each).info()).created_at for each in ("fixed", "p.0-2")]
    assert after == before
    assert (await run.retry_plan()).children[0] == RerunChild(
        retry.children[1].key, "p.0-2", "attach", "terminated"
    )


async def test_a_fork_of_a_fork_is_not_told_that_derived_ids_are_in_use(engine: Engine) -> None:
    run = await engine.start(ordering("o"), id="origin")
    await until_asked(run)
    await run.signal(word, "a")
    await run.signal(word, "b")
    await run.result("30s")
    forked = await run.fork(max([r.seq async for r in run.journal()]))

    plan = await forked.fork_plan("charge")

    assert [(c.id.partition(".")[0], c.action) for c in plan.children] == [("origin", "start")]
    assert (await run.fork_plan("charge")).children[0].status == "completed"


async def test_a_completed_run_has_no_retry_plan(engine: Engine) -> None:
    run = await engine.start(charged_child("o"))
    await run.result("30s")

    with pytest.raises(RunClosed):
        await run.retry_plan()


async def test_a_step_in_flight_is_in_the_plan(engine: Engine) -> None:
    begun, go = asyncio.Event(), asyncio.Event()
    gates["gate"] = begun, go
    run = await engine.start(gated(), id="gated")
    await begun.wait()

    plan = await run.fork_plan(2)
    go.set()
    await run.result("30s")

    assert [(s.name, s.outcome) for s in plan.steps] == [(gate.name, "unfinished")]


gates: dict[str, tuple[asyncio.Event, asyncio.Event]] = {}


@step
async def gate() -> None:
    begun, go = gates["gate"]
    begun.set()
    await go.wait()


@workflow
async def gated() -> None:
    await gate()


@pytest.mark.parametrize("wrong", [{"keys": "old"}, {"signals": "move"}])
async def test_a_choice_that_there_is_not_is_refused(
    engine: Engine, wrong: dict[str, object]
) -> None:
    run: Run[str] = await engine.start(charged_child("o"))
    await run.result("30s")

    with pytest.raises(UsageError, match="is '"):
        await run.fork(2, **wrong)  # type: ignore[arg-type]  # wrong on purpose


async def test_the_owners_socket_tells_the_plan(tmp_path: Path) -> None:
    async with Engine.open(tmp_path / "o.db") as engine:
        run = await engine.start(charged_child("o"), id="r")
        await run.result("30s")
        async with Client(f"{tmp_path / 'o.db'}") as client:
            plan = await client.get("r").fork_plan("charge")
            forked = await client.get("r").fork("charge", keys="new")

        assert plan == await run.fork_plan("charge")
        assert await engine.get(forked.id).result("30s") == "o"
        assert keys[1].startswith(forked.id)
