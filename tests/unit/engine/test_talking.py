"""Signals, values, streams, cancellation and children."""

from __future__ import annotations

import asyncio
import contextlib

import msgspec
import pytest

from outlast import Actor, Engine, Run, actor, handler, wf, workflow
from outlast.errors import (
    ChildFailed,
    DecodingError,
    EncodingError,
    RunCancelled,
    RunClosed,
    RunFailed,
    RunTerminated,
    SignalConflict,
    WaitTimeout,
)
from tests.unit.engine import flows


async def until_waiting(run: Run[object]) -> None:
    """Return when the run waits for something."""
    async with asyncio.timeout(30):
        while "waiting for" not in await run.why():  # noqa: ASYNC110  # it has no event
            await asyncio.sleep(0.005)


async def test_a_signal_reaches_the_run(engine: Engine) -> None:
    run = await engine.start(flows.decides())
    await run.signal(flows.decision, flows.Decision(True, "ann"))

    assert await run.result(timeout="30s") == "True by ann"


async def test_a_signal_by_plain_name_takes_json(engine: Engine) -> None:
    run = await engine.start(flows.decides())
    await run.signal("decision", {"approved": False, "by": "bob"})

    assert await run.result(timeout="30s") == "False by bob"


async def test_a_signal_of_the_wrong_type_is_refused(engine: Engine) -> None:
    run = await engine.start(flows.decides())

    with pytest.raises((DecodingError, EncodingError)):
        await run.signal("decision", {"approved": "perhaps"})


async def test_signals_are_buffered_in_order(engine: Engine) -> None:
    run = await engine.start(flows.collects(5))
    for n in range(5):
        await run.signal(flows.number, n)

    assert await run.result(timeout="30s") == [0, 1, 2, 3, 4]


async def test_signals_of_the_start_come_before_the_first_line(engine: Engine) -> None:
    run = await engine.start(flows.collects(2), signals=[(flows.number, 7), (flows.number, 8)])

    assert await run.result(timeout="30s") == [7, 8]


async def test_a_dedup_key_delivers_once(engine: Engine) -> None:
    run = await engine.start(flows.collects(2))
    await run.signal(flows.number, 1, dedup="click")
    await run.signal(flows.number, 1, dedup="click")

    with pytest.raises(SignalConflict):
        await run.signal(flows.number, 2, dedup="click")
    await run.signal(flows.number, 3)
    assert await run.result(timeout="30s") == [1, 3]


async def test_a_closed_run_takes_no_signal(engine: Engine) -> None:
    run = await engine.start(flows.sums(1))
    await run.result()

    with pytest.raises(RunClosed):
        await run.signal(flows.number, 1)


async def test_a_value_can_be_read_from_outside(engine: Engine) -> None:
    run = await engine.start(flows.decides())
    async with asyncio.timeout(30):
        while await run.read(flows.progress) is None:  # noqa: ASYNC110  # it has no event
            await asyncio.sleep(0.005)

    assert await run.read(flows.progress) == 0.5
    assert await run.read("progress") == 0.5
    assert await run.read("other") is None


async def test_a_stream_has_every_value_once_and_takes_back_dead_attempts(engine: Engine) -> None:
    run = await engine.start(flows.streams())
    live = [event async for event in run.stream(flows.tokens)]
    await run.result()

    late = [event async for event in run.stream(flows.tokens)]

    def surviving(events: list[object]) -> list[object]:
        return events

    assert [e.value for e in late if e.kind == "data"] == ["a", "b", "c", "d2", "e2"]
    kept: list[tuple[str, str | None]] = []
    for event in live:
        if event.kind == "retract":
            kept = [k for k in kept if k[0] != event.writer]
        elif event.kind == "data":
            kept.append((event.writer, event.value))
    assert [value for _, value in kept] == ["a", "b", "c", "d2", "e2"]
    assert late[-1].kind == "end"
    offsets = [event.offset for event in live]
    assert offsets == sorted(set(offsets))
    assert surviving([]) == []


async def test_a_stream_goes_on_from_an_offset(engine: Engine) -> None:
    run = await engine.start(flows.streams())
    await run.result()
    everything = [event async for event in run.stream(flows.tokens)]

    rest = [event async for event in run.stream(flows.tokens, offset=everything[2].offset)]

    assert [e.value for e in rest if e.kind == "data"] == ["c", "d2", "e2"]


async def test_cancelling_ends_a_run_with_its_cleanup(engine: Engine) -> None:
    flows.calls.clear()
    run = await engine.start(flows.cleans_up())
    await until_waiting(run)
    await run.cancel("enough")

    with pytest.raises(RunCancelled, match="enough"):
        await run.result(timeout="30s")
    assert flows.calls.count("cleanup") == 3


async def test_a_swallowed_cancellation_comes_again(engine: Engine) -> None:
    run = await engine.start(flows.swallows())
    await until_waiting(run)
    await run.cancel()

    with pytest.raises(RunCancelled):
        await run.result(timeout="30s")


async def test_code_that_catches_a_cancellation_may_complete(engine: Engine) -> None:
    run = await engine.start(flows.returns_anyway())
    await until_waiting(run)
    await run.cancel()

    assert await run.result(timeout="30s") == "caught"


async def test_cancelling_stops_a_step_in_flight(engine: Engine) -> None:
    @workflow
    async def busy() -> None:
        await flows.too_slow.options(timeout="1m")()

    run = await engine.start(busy())
    await until_waiting(run)
    await run.cancel()

    with pytest.raises(RunCancelled):
        await run.result(timeout="30s")


async def test_a_terminated_run_runs_no_more_code(engine: Engine) -> None:
    flows.calls.clear()
    run = await engine.start(flows.cleans_up())
    await until_waiting(run)
    await run.terminate("now")

    with pytest.raises(RunTerminated, match="now"):
        await run.result(timeout="30s")
    assert flows.calls == []


async def test_cancelling_twice_or_after_the_end_is_harmless(engine: Engine) -> None:
    run = await engine.start(flows.sums(1))
    await run.result()
    await run.cancel()
    await run.cancel()
    await run.terminate()

    assert (await run.info()).status == "completed"


async def test_a_delayed_run_that_is_cancelled_runs_no_code(engine: Engine) -> None:
    run = await engine.start(flows.fails("ran"), delay="1h")
    await run.cancel("changed my mind")

    with pytest.raises(RunCancelled, match="changed my mind"):
        await run.result(timeout="30s")


async def test_a_scope_that_runs_out_raises_wait_timeout(engine: Engine) -> None:
    assert await engine.run(flows.bounded()) == "late"


@pytest.mark.parametrize(
    ("policy", "ends"), [("cancel", "cancelled"), ("terminate", "terminated"), ("abandon", None)]
)
async def test_children_follow_their_policy(engine: Engine, policy: str, ends: str | None) -> None:
    parent = await engine.start(flows.parent_of(0.4, policy))
    assert await parent.result() == "closed"
    kid = engine.get(f"{parent.id}-kid", flows.naps)

    if ends is None:
        assert await kid.result(timeout="30s") == "awake"
    else:
        with pytest.raises((RunCancelled, RunTerminated)):
            await kid.result(timeout="30s")
        assert (await kid.info()).status == ends
    assert (await kid.info()).parent == parent.id


async def test_a_failed_child_raises_child_failed_with_its_cause(engine: Engine) -> None:
    @workflow
    async def parent() -> str:
        try:
            await flows.fails("broken")
        except ChildFailed as error:
            return f"{type(error.cause).__name__}: {error.cause}"
        return "fine"

    assert "broken" in await engine.run(parent())


async def test_a_run_can_wait_for_and_signal_another(engine: Engine) -> None:
    @workflow
    async def tells(other: str) -> list[int]:
        handle = wf.get(other)
        await handle.signal(flows.number, 5)
        return msgspec.convert(await handle.result(), list[int])

    other = await engine.start(flows.collects(1))

    assert await engine.run(tells(other.id)) == [5]


async def test_waiting_for_a_signal_can_run_out(engine: Engine) -> None:
    @workflow
    async def waits() -> str:
        try:
            await flows.number.receive(timeout="20ms")
        except WaitTimeout:
            return "late"
        return "came"

    assert await engine.run(waits()) == "late"


async def test_until_and_first_wait_for_what_comes(engine: Engine) -> None:
    @workflow
    async def waits() -> list[object]:
        seen: list[int] = []

        async def collect() -> None:
            async for n in flows.number:
                seen.append(n)

        task = asyncio.create_task(collect())
        await wf.until(lambda: len(seen) >= 2)
        task.cancel()
        name, value = await wf.first(slow=wf.sleep("1h"), fast=flows.add(1, 2))
        return [seen, name, value]

    run = await engine.start(waits(), signals=[(flows.number, 1)])
    await run.signal(flows.number, 2)

    assert await run.result(timeout="30s") == [[1, 2], "fast", 3]


async def test_runs_are_listed_by_what_they_are(engine: Engine) -> None:
    await engine.run(flows.sums(1), id="a", attributes={"customer": "42"})
    nap = await engine.start(flows.naps(100), id="b", attributes={"customer": "43"})
    await until_waiting(nap)

    async def ids(query: str) -> list[str]:
        return [info.id async for info in engine.runs(query)]

    assert await ids("") == ["b", "a"]
    assert await ids("status:completed") == ["a"]
    assert await ids("status:waiting") == ["b"]
    assert await ids("customer:43 since:1h") == ["b"]
    assert await ids("workflow:sums") == ["a"]
    assert await ids("workflow:nothing") == []


@actor
class TalkingDouble(Actor[None]):
    @handler
    async def double(self, n: int) -> int:
        return 2 * n


async def test_a_journal_shows_what_another_run_answered(engine: Engine) -> None:
    @workflow
    async def asks(good: str, bad: str) -> int:
        await wf.get(good).result()
        with contextlib.suppress(RunFailed):
            await wf.get(bad).result()
        return await wf.actor(TalkingDouble, "d").ask(TalkingDouble.double, 4)

    good = await engine.start(flows.sums(2))
    bad = await engine.start(flows.fails("no luck"))
    run = await engine.start(asks(good.id, bad.id))
    assert await run.result() == 8

    shown = [(r.value, r.error) async for r in run.journal() if r.kind == "step_done"]

    assert shown == [
        ({"status": "completed", "result": 2}, None),
        ({"status": "failed", "result": None}, "ValueError: no luck"),
        (8, None),
    ]
