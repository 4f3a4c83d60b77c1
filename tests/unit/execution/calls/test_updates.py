"""Updates: validated, handled as tasks of the run, answered once for each id."""

from __future__ import annotations

import asyncio

import pytest

from outlast import Engine, Run, limits
from outlast.errors import (
    DecodingError,
    EngineClosed,
    MailboxFull,
    RunClosed,
    RunFailed,
    RunNotFound,
    RunParked,
    UpdateAborted,
    UpdateConflict,
    UpdateFailed,
    UpdateRejected,
    UsageError,
    WaitTimeout,
)
from tests.unit.execution.calls import carts
from tests.unit.execution.calls.carts import Item, Receipt, add_item, done, remove


async def kinds(run: Run[object]) -> list[str]:
    return [record.kind async for record in run.journal()]


async def until(run: Run[object], kind: str, count: int = 1) -> None:
    async with asyncio.timeout(30):
        while (await kinds(run)).count(kind) < count:  # noqa: ASYNC110  # it has no event
            await asyncio.sleep(0.002)


async def test_a_handler_answers(engine: Engine) -> None:
    run = await engine.start(carts.cart())

    assert await run.update(add_item, Item("tea")) == Receipt(1, "r-tea")
    assert await run.update(add_item, Item("cup")) == Receipt(2, "r-cup")
    assert await run.update(remove, "tea") == 1
    await run.signal(done, "ok")
    assert await run.result(timeout="30s") == ["cup"]
    assert [k for k in await kinds(run) if k.startswith("update")] == [
        "update_accepted",
        "update_done",
    ] * 3


async def test_a_validator_refuses_and_leaves_no_record(engine: Engine) -> None:
    run = await engine.start(carts.cart(room=1))
    await run.update(add_item, Item("tea"))
    before = await kinds(run)

    with pytest.raises(UpdateRejected, match="the cart is full: 1 items") as refused:
        await run.update(add_item, Item("cup"), id="second")
    assert refused.value.reason == "the cart is full: 1 items"
    await run.update(remove, "tea")
    assert await run.update(add_item, Item("cup"), id="second") == Receipt(1, "r-cup")
    assert len(await kinds(run)) == len(before) + 5  # taken out, and put in with a step


async def test_a_validator_sees_what_the_update_before_has_done(engine: Engine) -> None:
    run = await engine.start(carts.cart(room=2))
    asked = [run.update(add_item, Item(f"i{n}")) for n in range(5)]
    told = await asyncio.gather(*asked, return_exceptions=True)

    assert sum(isinstance(one, Receipt) for one in told) == 2
    assert sum(isinstance(one, UpdateRejected) for one in told) == 3


async def test_a_handler_that_raises_is_the_callers_trouble(engine: Engine) -> None:
    run = await engine.start(carts.cart())

    with pytest.raises(UpdateFailed, match="there is no such thing") as failed:
        await run.update(add_item, Item("cursed"))
    assert failed.value.type_name == "LookupError"
    with pytest.raises(UpdateFailed, match="ValueError"):
        await run.update(remove, "nothing")
    await run.signal(done, "ok")
    assert await run.result(timeout="30s") == ["cursed"]


async def test_the_same_id_is_the_same_update(engine: Engine) -> None:
    run = await engine.start(carts.cart())
    first = await asyncio.gather(*[run.update(add_item, Item("tea"), id="a") for _ in range(3)])

    assert first == [Receipt(1, "r-tea")] * 3
    with pytest.raises(UpdateConflict, match="'a' was used for another update"):
        await run.update(add_item, Item("cup"), id="a")
    with pytest.raises(UpdateConflict):
        await run.update(remove, "tea", id="a")
    await run.signal(done, "ok", dedup="a")  # keys of signals are another matter
    assert await run.result(timeout="30s") == ["tea"]
    assert await run.update(add_item, Item("tea"), id="a") == Receipt(1, "r-tea")
    with pytest.raises(UpdateConflict):
        await run.update(add_item, Item("cup"), id="a")
    with pytest.raises(RunClosed):
        await run.update(add_item, Item("cup"), id="b")


async def test_by_plain_name_an_update_is_json(engine: Engine) -> None:
    run = await engine.start(carts.cart())

    assert await run.update("add_item", {"name": "tea"}, id="a") == {"position": 1, "by": "r-tea"}
    assert await run.update(add_item, Item("tea"), id="a") == Receipt(1, "r-tea")
    with pytest.raises(DecodingError, match="cents"):
        await run.update("add_item", {"name": "tea", "cents": "many"})
    with pytest.raises(UsageError, match="no update 'adds' is declared"):
        await run.update("adds", 1)


async def test_an_update_waits_for_its_handler(engine: Engine) -> None:
    run = await engine.start(carts.late_cart())
    with pytest.raises(WaitTimeout, match="it goes on"):
        await run.update(add_item, Item("tea"), id="tea", timeout="50ms")
    cup = asyncio.ensure_future(run.update(add_item, Item("cup")))
    assert "update_accepted" not in await kinds(run)
    await run.signal(done, "ok")

    assert await run.update(add_item, Item("tea"), id="tea") == Receipt(1, "late")
    assert await cup == Receipt(2, "late")
    assert await run.result(timeout="30s") == ["tea", "cup"]


async def test_a_run_that_ends_first_refuses_what_waits(engine: Engine) -> None:
    run = await engine.start(carts.late_cart())
    tea = asyncio.ensure_future(run.update(add_item, Item("tea")))
    await asyncio.sleep(0.02)
    await run.terminate()

    with pytest.raises(RunClosed):
        await tea
    with pytest.raises(RunClosed):
        await run.update(add_item, Item("tea"))
    with pytest.raises(RunNotFound):
        await engine.get("nobody").update(add_item, Item("tea"))


async def test_a_run_waits_for_its_handlers(engine: Engine) -> None:
    run = await engine.start(carts.slow_cart())
    receipt = await run.update(add_item, Item("tea"))

    assert receipt == Receipt(2, "slow")
    assert await run.result(timeout="30s") == ["tea came", "tea went"]


async def test_why_names_handlers_at_work(engine: Engine) -> None:
    run = await engine.start(carts.slow_cart(seconds=2.0))
    tea = asyncio.ensure_future(run.update(add_item, Item("tea")))
    async with asyncio.timeout(30):
        while "its handler of update" not in await run.why():  # noqa: ASYNC110  # as above
            await asyncio.sleep(0.005)
    await tea


async def test_an_abandoned_handler_is_cancelled_and_said_to_be(engine: Engine) -> None:
    run = await engine.start(carts.slow_cart(abandons=True))

    with pytest.raises(UpdateAborted):
        await run.update(add_item, Item("tea"), id="a")
    assert await run.result(timeout="30s") == ["tea came", "tea went"]
    with pytest.raises(UpdateAborted):
        await run.update(add_item, Item("tea"), id="a")


@pytest.mark.parametrize(
    ("run_ends", "status"), [("returns", "completed"), ("raises", "failed"), ("cleans", "failed")]
)
async def test_an_aborted_update_says_how_its_run_ended(
    engine: Engine, run_ends: str, status: str
) -> None:
    run = await engine.start(carts.cut_cart(run_ends))
    hangs = asyncio.ensure_future(run.update(add_item, Item("tea"), id="a"))
    await until(run, "update_accepted")
    await (run.cancel("enough") if run_ends == "cleans" else run.signal(done, "now"))

    with pytest.raises(UpdateAborted, match=rf"ended \({status}\)") as told:
        await hangs
    with pytest.raises(UpdateAborted) as again:
        await run.update(add_item, Item("tea"), id="a")
    assert (await run.info()).status == told.value.status == again.value.status == status


@pytest.mark.parametrize("verb", ["cancel", "terminate"])
async def test_the_end_of_the_run_aborts_handlers(engine: Engine, verb: str) -> None:
    carts.allowed.clear()
    run = await engine.start(carts.cart())
    hangs = asyncio.ensure_future(run.update(add_item, Item("slow"), id="a"))
    await until(run, "update_accepted")
    await (run.cancel("enough") if verb == "cancel" else run.terminate("enough"))

    with pytest.raises(UpdateAborted, match="accepted and then aborted"):
        await hangs
    with pytest.raises(UpdateAborted):
        await run.update(add_item, Item("slow"), id="a")
    assert (await run.info()).status == ("cancelled" if verb == "cancel" else "terminated")


async def test_a_validator_may_only_look(engine: Engine) -> None:
    run = await engine.start(carts.meddling())
    for what in ("step", "value", "task", "timer", "random", "coroutine", "verdict"):
        with pytest.raises(UpdateRejected, match=r"may only read|plain function"):
            await run.update(carts.meddle, what)
    assert [k for k in await kinds(run) if k != "run_began"] == ["run_started"]
    assert await run.update(carts.meddle, "nothing") == "nothing"
    assert await run.result(timeout="30s") == "nothing"


async def test_a_validator_that_wakes_the_workflow_parks_the_run(engine: Engine) -> None:
    run = await engine.start(carts.meddling())

    with pytest.raises(UpdateRejected, match="changed what the run waits for"):
        await run.update(carts.meddle, "wake")
    with pytest.raises(RunParked, match="its validator of update 'meddle' changed"):
        await run.result(timeout="30s")
    await run.resume()  # it is replayed without what the validator did
    assert await run.update(carts.meddle, "nothing") == "nothing"
    assert await run.result(timeout="30s") == "nothing"


async def test_what_a_run_cannot_declare(engine: Engine) -> None:
    assert await engine.run(carts.declares_twice()) == [
        "this run already has a handler of update 'remove'",
        "the validator of update 'remove' is a plain function: it may not wait",
        "on_close is 'wait' or 'abandon', not 'never'",
    ]


async def test_one_run_updates_another(engine: Engine) -> None:
    run = await engine.start(carts.cart(room=2))
    buyer = await engine.start(carts.buyer(run.id, ["tea", "cursed", "cup"]))

    assert await buyer.result(timeout="30s") == ["1 r-tea", "UpdateFailed", "UpdateRejected"]


async def test_an_update_in_a_step_goes_under_its_key(engine: Engine) -> None:
    run = await engine.start(carts.cart())

    assert await engine.run(carts.buys_in_a_step(run.id)) == 1
    await run.signal(done, "ok")
    assert await run.result(timeout="30s") == ["tea"]


async def test_a_paused_run_answers_when_it_goes_on(engine: Engine) -> None:
    run = await engine.start(carts.cart())
    await run.pause()
    async with asyncio.timeout(30):
        while (await run.info()).status != "paused":  # noqa: ASYNC110  # as above
            await asyncio.sleep(0.005)
    tea = asyncio.ensure_future(run.update(add_item, Item("tea")))
    await asyncio.sleep(0.05)
    assert not tea.done()
    await run.resume()

    assert await asyncio.wait_for(tea, 30) == Receipt(1, "r-tea")


async def test_it_goes_on_after_a_restart(url: str) -> None:
    carts.allowed.clear()
    async with Engine.open(url) as engine:
        run = await engine.start(carts.cart(), id="cart")
        await run.update(add_item, Item("tea"), id="a")
        slow = asyncio.ensure_future(run.update(add_item, Item("slow"), id="b"))
        await until(run, "update_accepted", 2)
        await engine.drain(grace=0)
    with pytest.raises(EngineClosed):
        await slow
    carts.allowed.append("slow")
    async with Engine.open(url) as engine:
        run = engine.get("cart", carts.cart)
        assert await run.update(add_item, Item("slow"), id="b") == Receipt(2, "r-slow")
        assert await run.update(add_item, Item("tea"), id="a") == Receipt(1, "r-tea")
        await run.signal(done, "ok")
        assert await run.result(timeout="30s") == ["tea", "slow"]
        assert (await kinds(run)).count("update_done") == 2


async def test_a_fork_keeps_what_was_answered(engine: Engine) -> None:
    run = await engine.start(carts.cart())
    await run.update(add_item, Item("tea"), id="a")
    await run.signal(done, "ok")
    await run.result(timeout="30s")
    last = max([r.seq async for r in run.journal() if r.kind == "signal"])
    other = await run.fork(at=last)

    assert await other.update(add_item, Item("tea"), id="a") == Receipt(1, "r-tea")
    assert await other.update(add_item, Item("cup"), id="b") == Receipt(2, "r-cup")
    await other.signal(done, "ok")
    assert await other.result(timeout="30s") == ["tea", "cup"]


async def test_a_run_out_of_memory_is_brought_in(url: str) -> None:
    async with Engine.open(url, live_runs_max=1) as engine:
        runs = [await engine.start(carts.cart()) for _ in range(4)]
        for n in range(3):
            for run in runs:
                assert (await run.update(add_item, Item(f"i{n}"))).position == n + 1
        assert engine._core.events.runs_passivated > 0


async def test_too_many_that_wait_are_refused(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "UPDATES_WAITING_MAX", 2)
    run = await engine.start(carts.late_cart())
    for n in range(2):
        with pytest.raises(WaitTimeout):
            await run.update(add_item, Item(f"i{n}"), timeout="20ms")

    with pytest.raises(MailboxFull, match="has 2 unread messages"):
        await run.update(add_item, Item("one too many"))


async def test_more_handlers_than_may_run_wait(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "UPDATES_RUNNING_MAX", 1)
    run = await engine.start(carts.cart())
    told = await asyncio.gather(*(run.update(add_item, Item(f"i{n}")) for n in range(3)))

    assert sorted(one.position for one in told) == [1, 2, 3]
    order = [k for k in await kinds(run) if k.startswith("update")]
    assert order == ["update_accepted", "update_done"] * 3


async def test_a_parked_run_answers_when_it_goes_on(engine: Engine) -> None:
    carts.allowed.clear()
    run = await engine.start(carts.fails_once(parks=True))
    await run.update(add_item, Item("tea"), id="a")
    await run.signal(done, "x")
    with pytest.raises(RunParked):
        await run.result(timeout="30s")
    assert await run.update(add_item, Item("tea"), id="a") == Receipt(1, "r-tea")
    cup = asyncio.ensure_future(run.update(add_item, Item("cup")))
    await asyncio.sleep(0.02)
    assert not cup.done()
    carts.allowed.append("x")
    await run.resume()

    assert await cup == Receipt(2, "r-cup")
    assert await run.result(timeout="30s") == ["tea", "cup"]


async def test_a_run_that_is_retried_keeps_its_updates(engine: Engine) -> None:
    carts.allowed.clear()
    run = await engine.start(carts.fails_once(parks=False))
    await run.update(add_item, Item("tea"), id="a")
    await run.signal(done, "x")
    with pytest.raises(RunFailed):
        await run.result(timeout="30s")
    carts.allowed.append("x")
    await run.retry()

    assert await run.result(timeout="30s") == ["tea"]
    assert await run.update(add_item, Item("tea"), id="a") == Receipt(1, "r-tea")
