"""Profile `actors`: messages a second, in memory and durable, and what an idle actor costs."""

from __future__ import annotations

import asyncio
import gc
import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from outlast._actors import Actor, actor, handler
from outlast._handles.actor_ref import ActorRef
from outlast.bench.floors import CommitFloor, callbacks_per_second
from outlast.bench.profiles.waiting import resident_bytes
from outlast.bench.result import Bar, Result, ratio_of
from outlast.bench.sizes import Sizes
from outlast.engine import Engine

Note = Callable[[str], None]

_TOGETHER = 500  # tells that are on their way at once
_RING = 1_000


@dataclass
class Total:
    """What an actor has added up."""

    value: int = 0


@actor(name="bench.Hot", durable=False, mailbox=1_000_000)
class Hot(Actor[Total]):
    """In memory only."""

    @handler
    async def hit(self, number: int) -> int:
        """Do next to nothing."""
        self.state.value += number
        return self.state.value


_ring: list[ActorRef[Link]] = []


@actor(name="bench.Link", durable=False, mailbox=1_000)
class Link(Actor[Total]):
    """One of a ring."""

    @handler
    async def pass_on(self, hops: int) -> None:
        """Tell the next one."""
        if hops == 0:
            _done[0].set_result(None)
            return
        number = int(self.key)
        await _ring[(number + 1) % len(_ring)].tell(Link.pass_on, hops - 1)


_done: list[asyncio.Future[None]] = []


@actor(name="bench.Kept", mailbox=1_000_000)
class Kept(Actor[Total]):
    """Durable."""

    @handler
    async def hit(self, number: int) -> int:
        """Do next to nothing, durably."""
        self.state.value += number
        return self.state.value


async def actors(directory: Path, sizes: Sizes, note: Note) -> Result:
    """Asks, tells, a ring, and bytes of idle actors."""
    floor = CommitFloor(directory / "floor.db")
    messages = sizes.actor_messages
    ours: dict[str, list[float]] = {}
    bare: list[float] = []
    rows: list[float] = []
    async with Engine.open(directory / "ours.db", retention=None) as engine:
        for number in range(sizes.rounds):
            note(f"round {number + 1} of {sizes.rounds}")
            for name, measured in (await _round(engine, messages)).items():
                ours.setdefault(name, []).append(measured)
            bare.append(await callbacks_per_second(10 * messages))
            rows.append(floor.batched_rows_per_second(20, 1_000))
        note("idle actors")
        idle = await _idle_bytes(engine, sizes.actor_messages)
    floor.close()
    medians = {name: statistics.median(values) for name, values in ours.items()}
    return Result(
        profile="actors",
        settings={"messages": messages, "rounds": sizes.rounds, "ring": _RING},
        ours={**medians, **idle},
        floor={
            "callbacks_per_second": statistics.median(bare),
            "rows_per_second": statistics.median(rows),
        },
        ratio=ratio_of(ours["volatile_asks_per_second"], bare),
        bars=[
            Bar("asks a second, in memory", medians["volatile_asks_per_second"], 60_000, True),
            Bar("durable messages a second", medians["durable_tells_per_second"], 30_000, True),
            Bar("bytes of an idle actor in memory", idle["idle_volatile_bytes"], 1_024),
        ],
    )


async def _round(engine: Engine, messages: int) -> dict[str, float]:
    hot, kept = engine.actor(Hot, "a"), engine.actor(Kept, "a")

    async def one_by_one() -> None:
        for number in range(messages):
            await hot.ask(Hot.hit, number)

    async def all_at_once() -> None:
        await asyncio.gather(*(hot.ask(Hot.hit, number) for number in range(messages)))

    async def durably() -> None:
        for begun in range(0, messages, _TOGETHER):
            count = min(_TOGETHER, messages - begun)
            await asyncio.gather(*(kept.tell(Kept.hit, number) for number in range(count)))
        await kept.ask(Kept.hit, 0)

    async def ask_durably() -> None:
        for number in range(messages // 100):
            await kept.ask(Kept.hit, number)

    return {
        "volatile_asks_per_second": await _rate(one_by_one, messages),
        "volatile_fan_in_per_second": await _rate(all_at_once, messages),
        "ring_hops_per_second": await _rate(lambda: _around(engine, messages), messages),
        "durable_tells_per_second": await _rate(durably, messages),
        "durable_asks_per_second": await _rate(ask_durably, messages // 100),
    }


async def _around(engine: Engine, hops: int) -> None:
    if not _ring:
        _ring.extend(engine.actor(Link, f"{number}") for number in range(_RING))
    _done[:] = [asyncio.get_running_loop().create_future()]
    await _ring[0].tell(Link.pass_on, hops)
    await _done[0]


async def _rate(work: Callable[[], Awaitable[None]], count: int) -> float:
    began = time.perf_counter()
    await work()
    return count / (time.perf_counter() - began)


async def _idle_bytes(engine: Engine, count: int) -> dict[str, float]:
    gc.collect()
    before = resident_bytes()
    began = time.perf_counter()
    for number in range(count):
        await engine.actor(Hot, f"idle-{number}").tell(Hot.hit, 1)
    await engine.actor(Hot, f"idle-{count - 1}").ask(Hot.hit, 1)
    spawned = count / (time.perf_counter() - began)
    gc.collect()
    return {
        "idle_volatile_bytes": (resident_bytes() - before) / count,
        "spawned_per_second": spawned,
    }
