"""A workflow that updates fill, and some that update others."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from outlast import Retry, Run, Signal, Update, Value, step, wf, workflow
from outlast.errors import UpdateError, UsageError


@dataclass(frozen=True)
class Item:
    """What is put into a cart."""

    name: str
    cents: int = 100


@dataclass(frozen=True)
class Receipt:
    """What the caller gets."""

    position: int
    by: str


add_item = Update("add_item", Item, Receipt)
remove = Update("remove", str, int)
done = Signal("done", str)
reserved: list[str] = []
allowed: list[str] = []
meddle = Update("meddle", str, str)
meddled = Value("meddled", str)


@step
async def reserve(name: str) -> str:
    """Reserve an item."""
    reserved.append(name)
    while name == "slow" and not allowed:  # noqa: ASYNC110  # it outlives the loop of a test
        await asyncio.sleep(0.005)
    return f"r-{name}"


@workflow
async def cart(room: int = 3) -> list[str]:
    """Take items until somebody is done."""
    items: list[str] = []

    @add_item.validator
    def check(item: Item) -> None:
        if len(items) >= room:
            raise ValueError(f"the cart is full: {len(items)} items")
        if item.cents < 0:
            raise ValueError("an item costs something")

    @add_item.handler
    async def add(item: Item) -> Receipt:
        items.append(item.name)
        position = len(items)
        if item.name == "cursed":
            raise LookupError("there is no such thing")
        return Receipt(position, await reserve(item.name))

    @remove.handler
    def take_out(name: str) -> int:
        items.remove(name)
        return len(items)

    await done.receive()
    return items


@workflow
async def late_cart() -> list[str]:
    """Register the handler behind a signal."""
    await done.receive()
    items: list[str] = []

    @add_item.handler
    async def add(item: Item) -> Receipt:
        items.append(item.name)
        return Receipt(len(items), "late")

    await wf.until(lambda: len(items) == 2)
    return items


@workflow
async def slow_cart(*, abandons: bool = False, seconds: float = 0.3) -> list[str]:
    """Return while a handler is at work."""
    items: list[str] = []

    @add_item.handler(on_close="abandon" if abandons else "wait")
    async def add(item: Item) -> Receipt:
        items.append(f"{item.name} came")
        try:
            await asyncio.sleep(seconds)
        finally:
            items.append(f"{item.name} went")
        return Receipt(len(items), "slow")

    await wf.until(lambda: items)
    return items


@workflow
async def cut_cart(ends: str) -> list[str]:
    """End while a handler is at work, which is given up then."""

    @add_item.handler(on_close="abandon")
    async def add(_: Item) -> Receipt:
        await wf.sleep(3600)
        raise AssertionError("it was to be cut short")

    try:
        await done.receive()
    finally:
        if ends == "cleans":
            async with wf.shield(grace="10s"):
                await reserve("cleaned")  # the handler has been cancelled, the run has not ended
            raise ValueError("the cleanup fails")
    if ends == "raises":
        raise ValueError("no cart")
    return []


@workflow
async def buyer(target: str, names: list[str]) -> list[str]:
    """Put items into somebody's cart, one after the other."""
    cart_run = wf.get(target)
    got: list[str] = []
    for name in names:
        try:
            receipt = await cart_run.update(add_item, Item(name))
        except UpdateError as error:
            got.append(type(error).__name__)
        else:
            got.append(f"{receipt.position} {receipt.by}")
    return got


@workflow
async def served(names: list[str]) -> tuple[list[str], list[str]]:
    """Take items from a child of one's own."""
    items: list[str] = []

    @add_item.validator
    def check(item: Item) -> None:
        if item.name in items:
            raise ValueError("it is there already")

    @add_item.handler
    async def add(item: Item) -> Receipt:
        items.append(item.name)
        await asyncio.sleep(0.01)
        if item.name == "cursed":
            raise LookupError("there is no such thing")
        return Receipt(len(items), await reserve(item.name))

    return items, await buyer(wf.run_id, names)


@workflow
async def served_twice() -> list[str]:
    """Return when the first of two items has come; handlers go on."""
    items: list[str] = []

    @add_item.handler
    async def add(item: Item) -> Receipt:
        items.append(item.name)
        kept = await asyncio.gather(reserve(item.name), wf.sleep(0.2))
        items.append(kept[0])
        return Receipt(len(items), kept[0])

    wf.start(buyer(wf.run_id, ["tea", "cup"]), on_parent_close="abandon")
    await wf.until(lambda: items)
    return items


@workflow
async def meddling() -> str:
    """Have a validator that does more than look."""
    queue: asyncio.Queue[str] = asyncio.Queue()

    async def fine() -> None:
        return None

    def check(what: str) -> object:
        match what:
            case "step":
                return asyncio.ensure_future(reserve("x"))
            case "value":
                meddled.set("x")
            case "task":
                work = fine()
                try:
                    asyncio.get_running_loop().create_task(work)
                finally:
                    work.close()
            case "timer":
                asyncio.get_running_loop().call_later(1, print)
            case "random":
                wf.random()
            case "wake":
                queue.put_nowait("woken")
            case "coroutine":
                return fine()
            case "verdict":
                return False
            case _:
                pass
        return None

    meddle.validator(check)  # type: ignore[arg-type]  # it returns what it should not

    @meddle.handler
    def handle(what: str) -> str:
        queue.put_nowait(what)
        return what

    return await queue.get()


@workflow
async def declares_twice() -> list[str]:
    """Declare what cannot be."""
    told: list[str] = []

    def count(_: str) -> int:
        return 0

    async def waits(_: str) -> None:
        return None

    tries: list[Callable[[], object]] = [
        lambda: remove.handler(count),
        lambda: remove.handler(count),
        lambda: remove.validator(waits),  # type: ignore[arg-type]  # it may not wait
        lambda: remove.handler(on_close="never"),  # type: ignore[call-overload]  # no such word
    ]
    for attempt in tries:
        try:
            attempt()
        except UsageError as error:
            told.append(f"{error}")
    return told


@step
async def buy_tea(target: str) -> int:
    """Put tea into a cart, twice the same."""
    run: Run[object] = Run(target)
    return (await run.update(add_item, Item("tea"))).position


@workflow
async def buys_in_a_step(target: str) -> int:
    """Update a run from a step."""
    return await buy_tea(target)


@step
async def flaky(name: str) -> str:
    """Fail until it is allowed."""
    if name not in allowed:
        raise ConnectionError("not yet")
    return name


@workflow
async def fails_once(*, parks: bool) -> list[str]:
    """Take items; fail, or park, when somebody is done."""
    items: list[str] = []

    @add_item.handler
    async def add(item: Item) -> Receipt:
        items.append(item.name)
        return Receipt(len(items), await reserve(item.name))

    which = await done.receive()
    await flaky.options(retry=Retry(attempts=1, then="park" if parks else "fail"))(which)
    return items
