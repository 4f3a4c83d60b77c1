"""Answers that cannot come: waits in a circle, parked actors, asks that ran out."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from dataclasses import dataclass

import pytest

from outlast import (
    Actor,
    ActorParked,
    AskTimeout,
    Child,
    Engine,
    RunFailed,
    Supervisor,
    actor,
    handler,
    step,
    wf,
    workflow,
)
from outlast.errors import HandlerFailed, RunNotFound

gates: dict[str, asyncio.Event] = {}


@pytest.fixture(autouse=True)
def _gates() -> None:
    gates.clear()


@dataclass
class Nothing:
    n: int = 0


@step
async def waiting_gate(name: str) -> None:
    await gates.setdefault(name, asyncio.Event()).wait()


@actor(attempts=1)
class Crossing(Actor[Nothing]):
    """Asks another one, after its gate has opened."""

    @handler
    async def cross(self, other: str) -> str:
        await waiting_gate(self.key)
        return await wf.actor(Crossing, other).ask(Crossing.plain)

    @handler
    async def cross_in_time(self, other: str) -> str:
        await waiting_gate(self.key)
        ref = wf.actor(Crossing, other).options(timeout="300ms")
        try:
            return await ref.ask(Crossing.plain)
        except AskTimeout:
            return "timed out"

    @handler
    async def cross_or_not(self, other: str) -> str:
        await waiting_gate(self.key)
        try:
            async with asyncio.timeout(0.3):
                return await wf.actor(Crossing, other).ask(Crossing.plain)
        except TimeoutError:
            return "gave up"

    @handler
    async def look(self, other: str) -> int:
        await waiting_gate(self.key)
        return await wf.actor(Crossing, other).ask(Crossing.seen)

    @handler
    async def wait_for_run(self, run: str) -> object:
        await waiting_gate(self.key)
        return await wf.get(run).result()

    @handler
    async def plain(self) -> str:
        return self.key

    @handler(read=True)
    async def seen(self) -> int:
        return self.state.n

    @handler
    async def draws(self) -> str:
        return secrets.token_hex(4)  # refused: parks the actor


@workflow
async def waiting_asks(key: str) -> str:
    return await wf.actor(Crossing, key).ask(Crossing.plain)


@workflow
async def waiting_child(key: str) -> str:
    await waiting_gate("child")
    return await wf.actor(Crossing, key).ask(Crossing.plain)


@workflow
async def waiting_parent(key: str) -> str:
    return await waiting_child(key)


async def until(engine: Engine, run: str, text: str) -> None:
    """Return when a run, or an actor that may not be there yet, waits for this."""
    async with asyncio.timeout(30):
        while True:
            with contextlib.suppress(RunNotFound):
                if text in await engine.get(run).why():
                    return
            await asyncio.sleep(0.01)


def named(key: str) -> str:
    """Return the id of an actor."""
    return f"{Crossing.__module__}.Crossing/{key}"


async def crossing(engine: Engine, keys: str, verb: str = "cross") -> list[object]:
    """Let each of these actors ask the next one at once, the last one the first."""
    handlers = {"cross": Crossing.cross, "in_time": Crossing.cross_in_time}
    asks = [
        asyncio.create_task(
            engine.actor(Crossing, key).ask(handlers[verb], keys[(n + 1) % len(keys)])
        )
        for n, key in enumerate(keys)
    ]
    for key in keys:
        await until(engine, named(key), "waiting_gate")
    for key in keys:
        gates.setdefault(key, asyncio.Event()).set()
    async with asyncio.timeout(30):
        return list(await asyncio.gather(*asks, return_exceptions=True))


@pytest.mark.parametrize("keys", ["ab", "abc", "abcde"])
async def test_waits_in_a_circle_of_chains_are_refused_once(engine: Engine, keys: str) -> None:
    answers = await crossing(engine, keys)

    refused = [answer for answer in answers if isinstance(answer, HandlerFailed)]
    assert len(refused) == 1, answers
    assert refused[0].type_name == "CallCycle"
    assert "is itself waiting for this answer" in refused[0].message
    assert len([answer for answer in answers if isinstance(answer, str)]) == len(keys) - 1


async def test_a_circle_with_a_timeout_is_left_to_the_timeout(engine: Engine) -> None:
    answers = await crossing(engine, "ab", "in_time")

    assert all(isinstance(answer, str) for answer in answers)
    assert "timed out" in answers


async def test_one_that_may_go_on_otherwise_is_no_reason_to_refuse(engine: Engine) -> None:
    a, b = engine.actor(Crossing, "a"), engine.actor(Crossing, "b")
    first = asyncio.create_task(a.ask(Crossing.cross_or_not, "b"))
    second = asyncio.create_task(b.ask(Crossing.cross, "a"))
    for key in "ab":
        await until(engine, named(key), "waiting_gate")
    gates.setdefault("a", asyncio.Event()).set()
    seen = asyncio.create_task(until(engine, named("a"), "the answer of actor"))
    # On a slow machine it has given up before it is seen to wait.
    await asyncio.wait([seen, first], return_when=asyncio.FIRST_COMPLETED)
    seen.cancel()
    gates.setdefault("b", asyncio.Event()).set()

    assert await asyncio.wait_for(first, 30) == "gave up"
    assert await asyncio.wait_for(second, 30) == "a"


async def test_reading_handlers_answer_in_a_circle(engine: Engine) -> None:
    a, b = engine.actor(Crossing, "a"), engine.actor(Crossing, "b")
    asks = [
        asyncio.create_task(a.ask(Crossing.look, "b")),
        asyncio.create_task(b.ask(Crossing.look, "a")),
    ]
    for key in "ab":
        await until(engine, named(key), "waiting_gate")
    for key in "ab":
        gates.setdefault(key, asyncio.Event()).set()

    assert await asyncio.wait_for(asyncio.gather(*asks), 30) == [0, 0]


async def test_a_circle_over_the_result_of_a_run_and_its_child_is_refused(engine: Engine) -> None:
    a = engine.actor(Crossing, "a")
    waits = asyncio.create_task(a.ask(Crossing.wait_for_run, "parent"))
    await until(engine, named("a"), "waiting_gate")
    parent = await engine.start(waiting_parent("a"), id="parent")
    gates.setdefault("a", asyncio.Event()).set()
    await until(engine, named("a"), "the end of run parent")
    await until(engine, "parent", "child run")

    gates.setdefault("child", asyncio.Event()).set()

    with pytest.raises(RunFailed, match="CallCycle"):
        await parent.result(timeout=30)
    with pytest.raises(HandlerFailed):
        await asyncio.wait_for(waits, 30)


# ------------------------------------------------------------------------------- parked
async def test_an_ask_without_a_timeout_to_a_parked_actor_says_so(engine: Engine) -> None:
    ref = engine.actor(Crossing, "p")
    with pytest.raises(ActorParked, match="secrets"):
        await asyncio.wait_for(ref.ask(Crossing.draws), 30)

    with pytest.raises(ActorParked, match="is parked"):
        await asyncio.wait_for(ref.ask(Crossing.plain), 30)
    with pytest.raises(AskTimeout, match="it is parked"):
        await ref.options(timeout="200ms").ask(Crossing.plain)


async def test_a_workflow_goes_on_waiting_for_a_parked_actor(engine: Engine) -> None:
    with pytest.raises(ActorParked):
        await engine.actor(Crossing, "p").ask(Crossing.draws)

    run = await engine.start(waiting_asks("p"), id="r")
    await until(engine, "r", "the answer of actor")

    assert (await run.info()).status in ("running", "waiting")


async def test_an_expired_ask_under_its_dedup_key_is_an_ask_timeout(engine: Engine) -> None:
    ref = engine.actor(Crossing, "e")
    busy = asyncio.create_task(ref.ask(Crossing.cross, "f"))
    await until(engine, named("e"), "waiting_gate")
    with pytest.raises(AskTimeout):
        await ref.options(timeout="50ms", dedup="k").ask(Crossing.plain)
    gates.setdefault("e", asyncio.Event()).set()
    assert await busy == "f"
    async with asyncio.timeout(30):
        while not [x async for x in engine.dead_letters()]:  # noqa: ASYNC110  # no event
            await asyncio.sleep(0.01)

    with pytest.raises(AskTimeout, match="deadline") as raised:
        await ref.options(dedup="k").ask(Crossing.plain)
    assert raised.value.is_final


async def test_an_order_to_a_parked_member_is_acknowledged_at_once(engine: Engine) -> None:
    with pytest.raises(ActorParked):
        await engine.actor(Crossing, "m").ask(Crossing.draws)
    team = Supervisor("orders", [Child(Crossing, key="m"), Child(Crossing, key="n")])

    async with asyncio.timeout(30):
        await engine.apply(team)
        await engine.apply(Supervisor("orders", [Child(Crossing, key="n")]))
