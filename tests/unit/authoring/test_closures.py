"""`wf.step`: a function on the spot as a step, in its caller's context, under a key of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from outlast import Actor, Engine, Err, Ok, actor, handler, this_step, wf, workflow
from outlast.errors import (
    NotInRun,
    OutcomeUnknown,
    RunFailed,
    StepFailed,
    StepTimeout,
    UsageError,
)
from outlast.testing import crash_everywhere
from outlast.types import Retry

who = ContextVar("who", default="nobody")
ran: list[object] = []


@pytest.fixture(autouse=True)
def clean() -> None:
    ran.clear()


@dataclass
class Receipt:
    order: str
    cents: int


class Declined(Exception):
    """The card was not good."""


async def done_keys(engine: Engine, run: str) -> list[str]:
    journal = engine.get(run).journal()
    return [record.key async for record in journal if record.kind == "step_done"]


# ------------------------------------------------------------------------------------ values
@workflow
async def charges(order: str) -> Receipt:
    cents = 40

    async def charge() -> Receipt:
        ran.append(order)
        return Receipt(order, cents)

    return await wf.step("charge", charge)


async def test_a_closure_runs_once_and_gives_its_value(engine: Engine) -> None:
    run = await engine.start(charges("7"), id="c")
    assert await run.result() == Receipt("7", 40)
    assert ran == ["7"]
    assert await done_keys(engine, "c") == ["0#1:charge"]


async def nine() -> int:
    return 9


@workflow
async def lambdas() -> list[object]:
    return [
        await wf.step("plain", lambda: [1, {"a": None}]),
        await wf.step("of a coroutine function", lambda: nine()),
        await wf.step("typed", lambda: Receipt("8", 1), returns=Receipt) == Receipt("8", 1),
        await wf.step("threaded", lambda: threading.current_thread() is threading.main_thread()),
    ]


async def test_a_lambda_will_do(engine: Engine) -> None:
    assert await engine.run(lambdas()) == [[1, {"a": None}], 9, True, False]


@workflow
async def untyped() -> object:
    return await wf.step("untyped", lambda: Receipt("8", 1))


async def test_without_a_type_a_value_is_json_like(engine: Engine) -> None:
    with pytest.raises(RunFailed, match="Receipt"):
        await engine.run(untyped())


# ------------------------------------------------------------------------------------ context
@workflow
async def contextual() -> list[str]:
    who.set("caller")

    async def look() -> str:
        seen = who.get()
        who.set("body")
        return seen

    async def branch(name: str) -> str:
        who.set(name)
        return await wf.step("look", look)

    seen = [await wf.step("look", look), who.get()]
    return [*seen, *await asyncio.gather(branch("a"), branch("b"))]


async def test_a_body_has_a_copy_of_its_callers_context(engine: Engine) -> None:
    assert await engine.run(contextual()) == ["caller", "caller", "a", "b"]


@workflow
async def contextual_retries() -> list[str]:
    who.set("caller")

    async def look() -> None:
        ran.append(who.get())
        who.set("attempt")
        if len(ran) < 3:
            raise ValueError

    await wf.step("look", look, retry=Retry(attempts=3, first=0))
    return [f"{name}" for name in ran]


async def test_each_attempt_has_a_copy_of_its_own(engine: Engine) -> None:
    assert await engine.run(contextual_retries()) == ["caller"] * 3


# ------------------------------------------------------------------------------------ options
@workflow
async def declines() -> str:
    def refuse() -> str:
        raise Declined("no")

    match await wf.step("a", refuse).catch(Declined):
        case Ok(_):
            return "paid"
        case Err(error):
            assert type(error) is Declined
    try:
        await wf.step("b", refuse, raises=(Declined,))
    except Declined:
        pass
    try:
        await wf.step("c", refuse)
    except StepFailed as failed:
        return failed.type_name
    return "paid"


async def test_errors_come_back_as_those_of_steps(engine: Engine) -> None:
    assert await engine.run(declines()) == "Declined"


@workflow
async def too_slow() -> str:
    async def wait() -> str:
        await asyncio.Event().wait()
        return ""

    try:
        return await wf.step("wait", wait, timeout="20ms")
    except StepTimeout as error:
        return type(error).__name__


async def test_a_timeout_ends_it(engine: Engine) -> None:
    assert await engine.run(too_slow()) == "StepTimeout"


@workflow
async def wrong(what: str) -> str:
    calls: dict[str, Callable[[], object]] = {
        "no function": lambda: wf.step("x", 7),  # type: ignore[call-overload]  # the point
        "no name": lambda: wf.step("", nine),
        "retries at most once": lambda: wf.step("x", nine, once="at_most", retry=Retry(attempts=2)),
    }
    try:
        calls[what]()
    except UsageError as error:
        return str(error)
    return "taken"


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("no function", "the body of step 'x' is a function without parameters, not 7"),
        ("no name", "a step's name"),
        ("retries at most once", "step 'x': an at-most-once step cannot have 2 attempts"),
    ],
)
async def test_what_makes_no_sense_is_refused(engine: Engine, what: str, said: str) -> None:
    assert (await engine.run(wrong(what))).startswith(said)


def test_outside_of_a_run_there_is_no_such_step() -> None:
    with pytest.raises(NotInRun):
        wf.step("x", nine)


# ------------------------------------------------------------------------------------ keys
@workflow
async def keyed(order: list[str]) -> list[str]:
    async def one(key: str) -> str:
        async def body() -> str:
            ran.append(key)
            return key

        return await wf.step("one", body, key=key)

    return await asyncio.gather(*(one(key) for key in order))


async def test_a_given_key_takes_the_place_of_the_place(engine: Engine) -> None:
    await engine.run(keyed(["a/1", "b:2", "c%"]), id="k")
    assert sorted(await done_keys(engine, "k")) == ["=a/1:one", "=b%3A2:one", "=c%25:one"]


@workflow
async def keyed_twice(first: str, second: str) -> str:
    await wf.step(first, nine, key="k")
    try:
        await wf.step(second, nine, key="k")
    except UsageError as error:
        return str(error)
    return "taken"


@pytest.mark.parametrize("second", ["a", "b"])
async def test_a_key_is_used_once_in_a_run(engine: Engine, second: str) -> None:
    assert "has used the key 'k' before" in await engine.run(keyed_twice("a", second))


orders: list[list[str]] = []


async def first_token(engine: Engine) -> str:
    async with asyncio.timeout(10):
        while True:
            async for token in engine.tokens():
                return token.id
            await asyncio.sleep(0.01)


@workflow
async def reordered() -> list[str]:
    done = await keyed.fn(orders[-1])
    await wf.token(str, key="go").wait()
    return sorted(done)


async def test_code_may_change_the_order_and_the_tasks_of_keyed_steps(tmp_path: Path) -> None:
    path = str(tmp_path / "outlast.db")
    orders.append(["a", "b", "c"])
    async with Engine.open(path) as engine:
        await engine.start(reordered(), id="r")
        token = await first_token(engine)
    orders.append(["c", "a", "b"])
    async with Engine.open(path) as engine:
        await engine.answer(token, "yes")
        assert await engine.get("r").result() == ["a", "b", "c"]
    assert ran == ["a", "b", "c"]


# ------------------------------------------------------------------------------------ crashes
def square(number: int) -> int:
    return number * number


@workflow
async def mixed() -> list[object]:
    async def body() -> int:
        return len(who.get())

    found: list[object] = [await wf.step("sized", body, key="first")]
    found += await asyncio.gather(*(wf.step("of many", partial(square, n)) for n in range(3)))
    try:
        await wf.step("failing", lambda: 1 // 0, key="second", raises=(ZeroDivisionError,))
    except ZeroDivisionError:
        found.append("caught")
    return found


async def test_a_crash_at_any_record_changes_nothing() -> None:
    assert await crash_everywhere(mixed()) == []


@workflow
async def once_only() -> str:
    try:
        await wf.step("pay", lambda: "paid", once="at_most", key="pay")
    except OutcomeUnknown as unknown:
        return f"unknown: {unknown}"
    return "paid"


async def test_at_most_once_holds_for_closures(engine: Engine) -> None:
    await engine.run(once_only(), id="o")
    kinds = [record.kind async for record in engine.get("o").journal()]
    assert kinds.count("step_intent") == 1


# ------------------------------------------------------------------------------------ actors
@actor(name="closures.Till")
class Till(Actor[int]):
    """Takes money."""

    @handler
    async def outside_key(self) -> str:
        return await wf.step("take", lambda: this_step().key, key="take", returns=str)

    @handler
    async def take(self, cents: int) -> int:
        self.state += await wf.step("take", lambda: cents, key="take", returns=int)
        return self.state


async def test_each_message_of_an_actor_has_keys_of_its_own(engine: Engine) -> None:
    till = engine.actor(Till, "1")
    assert await till.ask(Till.take, 2) == 2
    assert await till.ask(Till.take, 3) == 5


async def test_the_outside_world_tells_a_key_of_one_message_from_that_of_the_next(
    engine: Engine,
) -> None:
    till = engine.actor(Till, "1")
    keys = [await till.ask(Till.outside_key) for _ in range(2)]
    assert keys == ["closures.Till/1/1=take:take", "closures.Till/1/2=take:take"]
