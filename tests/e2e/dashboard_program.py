"""What the server of the dashboard's tests runs; it is copied to `app.py` beside the store."""

from __future__ import annotations

import asyncio
import json
import logging
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Annotated

import msgspec

from outlast import Actor, Retry, Signal, Stream, Value, actor, handler, step, wf, workflow


@dataclass
class Decision:
    """What somebody decided."""

    approved: bool
    amount: int
    note: str = ""


log = logging.getLogger("shop")
go_on = Signal("go_on", str)
decision = Signal("decision", Decision)
lines = Stream("lines", str)
messages = Stream("messages", str)
Mixed = str | dict[str, int]
mixed: Stream[Mixed] = Stream("mixed", Mixed)  # type: ignore[arg-type]  # a union is no type[T]
progress = Value("progress", float)
seen: set[str] = set()


@dataclass
class Order:
    item: str
    cents: int
    note: str | None = None


@dataclass
class Notes:
    items: list[str] = field(default_factory=list[str])


@actor
class Notebook(Actor[Notes]):
    @handler
    async def add(self, text: str) -> int:
        self.state.items.append(text)
        return len(self.state.items)

    @handler
    async def spoil(self, text: str) -> None:
        raise ValueError(f"{text} is spoilt")

    @handler(read=True)
    async def all(self) -> list[str]:
        return self.state.items


@step(retry=Retry(attempts=3, first="50ms"))
async def flaky(text: str) -> str:
    if text not in seen:
        seen.add(text)
        raise ConnectionError(text)
    return text


def may_fail() -> bool:
    return Path("may-fail").exists()


@step(retry=Retry(attempts=2, first="50ms"))
async def wavers(text: str) -> None:
    if text not in seen:
        seen.add(text)
        await lines.write("lost ")
        # A test in another process says so with a file.
        while not may_fail():  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        raise ConnectionError(text)
    await lines.write("kept")


@step
async def search(text: str) -> dict[str, int]:
    await lines.write(text + " ")
    await asyncio.sleep(0.05)
    return {text: len(text)}


@step(retry=Retry(attempts=1, then="park"))
async def never(text: str) -> None:
    raise ConnectionError(text)


@workflow
async def digest(topic: str, size: int = 3) -> str:
    progress.set(0.1)
    await asyncio.gather(*(search(f"{topic}-{n}") for n in range(size)))
    await flaky(topic)
    progress.set(0.5)
    return topic + await go_on.receive()


@workflow
async def decides(text: str) -> str:
    said = await decision.receive()
    return f"{said.approved} {said.amount} {said.note}"


@step
async def report(text: str) -> None:
    for value in (f"{text} was packed", f"{text} was sent"):
        await messages.write(value)
    for part in ("It ", "took ", {"days": 3}, "of ", "work"):
        await mixed.write(part)


@workflow
async def reports(text: str) -> None:
    await report(text)


@workflow
async def writes(text: str) -> str:
    await wavers(text)
    return await go_on.receive()


@workflow
async def order(order: Order) -> int:
    return order.cents


@workflow
async def quick(n: int) -> int:
    return n


@workflow
async def fails(text: str) -> None:
    raise ValueError(text)


@workflow
async def parks(text: str) -> None:
    await never(text)


@workflow
async def refund(cents: int) -> bool:
    said = await wf.approve(f"Refund {cents}?", detail={"cents": cents})
    return said.approved


@workflow
async def pay(text: str, amount: int, share: float = 1.0) -> bool:
    said = await wf.approve(text, detail={"amount": amount, "note": text, "share": share})
    return said.approved


@step(retry=Retry(attempts=3, first="50ms", jitter="none"))
async def charge(order_id: str, places: dict[tuple[int, int], int], document: str) -> None:
    raise ConnectionError(json.dumps(json.loads('"no answer for ' + order_id + '"')))


@step
async def receipt(order_id: str) -> str:
    return f"receipt of {order_id} " * 50


@workflow
async def buy(order_id: str) -> None:
    document = await receipt(order_id)
    await charge(order_id, {(1, 2): 3}, document)


@workflow
async def parent(order_id: str) -> str:
    return await slow_child(order_id)


@workflow
async def slow_child(order_id: str) -> str:
    return await go_on.receive()


@workflow
async def sleeps(seconds: float) -> None:
    await wf.sleep(seconds)


@workflow
async def quote(text: str) -> int:
    return await wf.token(int).wait()


@workflow
async def troubled(text: str) -> None:
    child = wf.start(never_ends(text), id=f"{text}-child")
    said = await wf.approve("Go on without it?", detail={"child": text})
    if not said.approved:
        await child.result()


@workflow
async def never_ends(text: str) -> None:
    await never(text)


@step
async def long_step(text: str) -> str:
    # A test in another process says so with a file.
    while not may_end():  # noqa: ASYNC110
        await asyncio.sleep(0.05)
    return text


def may_end() -> bool:
    return Path("may-end").exists()


@workflow
async def works(text: str) -> str:
    return await long_step(text)


@step
async def tells(count: int) -> None:
    for number in range(count):
        await messages.write(f"line {number}")


@workflow
async def talks(count: int) -> None:
    await tells(count)
    while True:
        await go_on.receive()
        await tells(count)


@workflow
async def runs_out() -> None:
    await wf.sleep(3_000)


@workflow
async def parcel(code: Annotated[str, msgspec.Meta(min_length=3)], labels: list[str]) -> str:
    return f"{code}:{labels}"


class Speed(Enum):
    SLOW = "slow"
    FAST = "fast"


@workflow
async def ships(lines: list[Order], pace: Speed = Speed.FAST) -> str:
    return f"{len(lines)} {pace.value}"


@workflow
async def decided(text: str) -> str:
    said = await wf.token(Decision).wait()
    return f"{said.approved} {said.amount} {said.note}"


@step
async def says(text: str, count: int) -> None:
    for number in range(count):
        log.info("%s line %d", text, number)
    try:
        raise ConnectionError(f"no line for {text}")
    except ConnectionError:
        log.exception("%s is cut off", text)


@workflow
async def logs(text: str, count: int = 3) -> None:
    wf.log.warning("%s begins", text)
    await says(text, count)


@workflow
async def keeps(value: dict[str, object]) -> dict[str, object]:
    return value


@workflow
async def family(order_id: str) -> str:
    return await parent(order_id)
