"""A simulation has every verb of an engine, in virtual time and over crashes."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest

from outlast import (
    Actor,
    Signal,
    Stream,
    Topic,
    Update,
    Value,
    actor,
    handler,
    step,
    this_step,
    wf,
    workflow,
)
from outlast.errors import (
    NotInRun,
    RunCancelled,
    RunParked,
    RunTerminated,
    TokenAnswered,
    UnknownSignal,
)
from outlast.testing import Sim

number = Signal("simverbs.number", int)
double = Update("simverbs.double", int, int)
share = Value("simverbs.share", float)
lines = Stream("simverbs.lines", str)
news = Topic("simverbs.news", str)


@workflow
async def approved() -> bool:
    return (await wf.approve("ok?", timeout="3d")).approved


@workflow
async def asks_for_number() -> int:
    return await wf.token(int).wait()


@step
async def noted(n: int) -> int:
    return n


@workflow
async def sim_adds() -> int:
    @double.handler
    async def doubles(n: int) -> int:
        return 2 * n

    share.set(0.5)
    await lines.write("a")
    await lines.write("b")
    total = await noted(1)
    return total + await number.receive()


@dataclass
class Heard:
    items: list[str] = field(default_factory=list[str])


@actor
class Listener(Actor[Heard]):
    @handler(topic=news)
    async def on_news(self, text: str) -> None:
        self.state.items.append(text)

    @handler
    async def add(self, text: str) -> int:
        self.state.items.append(text)
        return len(self.state.items)

    @handler(read=True)
    async def items(self) -> list[str]:
        return self.state.items


async def test_a_run_is_approved_in_virtual_time() -> None:
    async with Sim(seed=1) as sim:
        for answer in (True, False):
            run = await sim.start(approved())
            await sim.advance(1)
            [token] = [t async for t in sim.tokens()]
            await (sim.approve if answer else sim.reject)(token.id, by="ann")
            assert await sim.result(run) is answer
            with pytest.raises(TokenAnswered):
                await sim.engine.approve(token.id, by="bob")


async def test_a_token_is_answered() -> None:
    async with Sim(seed=2) as sim:
        run = await sim.start(asks_for_number())
        await sim.advance(1)
        [token] = [t async for t in sim.tokens()]
        await sim.answer(token.id, 7)
        assert await sim.result(run) == 7


@pytest.mark.parametrize("crash", [0.0, 0.2])
async def test_a_handle_on_a_run_has_all_its_verbs(crash: float) -> None:
    async with Sim(seed=7, crash=crash) as sim:
        run = await sim.engine.start(sim_adds(), id="r")
        assert (run.id, run.created) == ("r", True)
        assert await run.update(double, 4) == 8
        assert await run.read(share) == 0.5
        assert (await run.info()).status in ("running", "waiting")
        await run.pause()
        await sim.advance(60)
        assert "paused" in await run.why()
        await run.resume()
        with pytest.raises(UnknownSignal):
            await run.signal("simverbs.numbr", 1)
        await run.signal(number, 5)
        assert await run.result() == 6
        assert [e.value async for e in run.stream(lines) if e.kind == "data"] == ["a", "b"]
        assert [r.kind async for r in run.journal()][-1] == "run_closed"
        assert [i.id async for i in sim.engine.runs("workflow:sim_adds")] == ["r"]

        forked = await run.fork("noted", signals="copy")
        assert await forked.result() == 6
        assert sim.effects(noted) == 1


async def test_runs_are_cancelled_and_terminated() -> None:
    async with Sim(seed=4) as sim:
        first, second = await sim.start(sim_adds()), await sim.start(sim_adds())
        await sim.get(first).cancel("enough")
        await sim.get(second, sim_adds).terminate("enough")
        with pytest.raises(RunCancelled):
            await sim.result(first)
        with pytest.raises(RunTerminated):
            await sim.get(second, sim_adds).result()


@pytest.mark.parametrize("crash", [0.0, 0.2])
async def test_actors_are_asked_told_and_published_to(crash: float) -> None:
    async with Sim(seed=5, crash=crash) as sim:
        listener = sim.actor(Listener, "a")
        assert await listener.ask(Listener.add, "x") == 1
        await listener.tell(Listener.add, "y")
        await listener.options(dedup="k").tell(Listener.add, "z")
        await listener.options(dedup="k").tell(Listener.add, "z")
        await sim.engine.unsubscribe(news, listener)
        await sim.publish(news, "unheard")
        await sim.engine.subscribe(news, listener, Listener.on_news)
        await sim.publish(news, "heard")
        await sim.advance(60)

        assert await listener.ask(Listener.items) == ["x", "y", "z", "heard"]
        assert [a.id async for a in sim.engine.actors(Listener)] == [listener.id]


async def test_a_handle_has_no_more_than_its_class() -> None:
    async with Sim(seed=6) as sim:
        with pytest.raises(AttributeError):
            getattr(sim.engine, "nothing")  # noqa: B009  # what the type checker refuses


def test_this_step_outside_names_the_way_to_test() -> None:
    with pytest.raises(NotInRun, match=r"outlast\.testing\.step_context"):
        this_step()


@pytest.mark.parametrize("seed", range(12))
async def test_verbs_that_crashes_cut_off_are_called_again_as_the_same(seed: int) -> None:
    async with Sim(seed=seed, crash=0.2) as sim:
        run = await sim.engine.start(approved())
        assert await sim.engine.run(sim_two()) == 2
        tokens = [token async for token in sim.tokens()]
        while not tokens:
            await sim.advance(0.1)
            tokens = [token async for token in sim.tokens()]
        await sim.approve(tokens[0].id, by="bob")

        assert await run.result() is True
        assert len([info async for info in sim.engine.runs()]) == 2


@workflow
async def sim_two() -> int:
    return await noted(1) + await noted(1)


@step(name="sim_verbs.lasting")
async def lasting() -> str:
    """Take some seconds."""
    for _ in range(20):
        await asyncio.sleep(1)
    return "lasted"


@workflow(name="sim_verbs.one_lasting")
async def one_lasting() -> str:
    """Have one long step."""
    return await lasting()


@workflow(name="sim_verbs.parent_of_lasting")
async def parent_of_lasting() -> str:
    """Have a child with a long step."""
    return await one_lasting()


async def test_a_run_is_given_by_its_id_or_by_a_handle() -> None:
    async with Sim() as sim:
        run = await sim.engine.start(one_lasting())

        assert await sim.result(run) == await sim.result(run.id) == "lasted"
        records = await sim.journal(run)
        assert [r.kind for r in records] == [r.kind for r in await sim.journal(run.id)]
        assert await sim.get(run).why() == await run.why()


async def killed_again_and_again(sim: Sim, run: str) -> None:
    """Kill the machine, each time when it is back, until it gives up a run."""
    for _ in range(100):
        if [info.id async for info in sim.engine.runs("status:parked")]:
            return
        sim.crash()
        await sim.advance(2)
    raise AssertionError(f"{run} is not parked after 100 deaths")


async def test_a_run_that_is_parked_after_six_deaths_goes_on_when_resumed() -> None:
    async with Sim() as sim:
        run = await sim.engine.start(one_lasting())
        await killed_again_and_again(sim, run.id)
        with pytest.raises(RunParked, match="the process died 6 times while running it"):
            await sim.result(run)

        await sim.get(run).resume()

        assert await sim.result(run) == "lasted"


async def test_a_run_that_waits_for_a_parked_child_says_so() -> None:
    async with Sim() as sim:
        run = await sim.engine.start(parent_of_lasting(), id="p")
        await killed_again_and_again(sim, run.id)

        with pytest.raises(Exception, match=r"run 'p' waits, .* run 'p\.0-1' is parked: "):
            await sim.result(run)
