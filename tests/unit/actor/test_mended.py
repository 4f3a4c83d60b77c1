"""Actors under trouble: what one message or one actor does must not cost the others."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from outlast import Actor, Engine, actor, handler, limits, step, this_step
from outlast._engine.open_engine import CoreOptions
from outlast._engine.opening import open_target, parse_url
from outlast._engine.scheduling.scheduler import Scheduler
from outlast._execution.actors.actor_run import LiveActor
from outlast._registry import default_registry
from outlast._store.contract import RunRow, Store
from outlast._world import Timer
from outlast.errors import HandlerFailed, StoreUnavailable
from outlast.types import RunId


@dataclass
class Lines:
    lines: list[str] = field(default_factory=list[str])


_gate: list[asyncio.Event] = []


@step
async def gate() -> None:
    """Wait until the test lets go."""
    await _gate[0].wait()


@step
async def beats() -> None:
    """Say how far it is, and go on."""
    this_step().heartbeat("half way")
    await asyncio.sleep(10)


@step
async def large(size: int) -> str:
    """Return more than fits a row."""
    return "x" * size


@step
async def moment() -> None:
    """Take a moment outside."""


@actor(name="mended.Busy", mailbox=100_000)
class Busy(Actor[Lines]):
    @handler
    async def add(self, line: str) -> int:
        self.state.lines.append(line)
        return len(self.state.lines)

    @handler
    async def wait(self) -> None:
        await gate()

    @handler
    async def nap(self, times: int) -> None:
        for _ in range(times):
            await asyncio.sleep(0.01)

    @handler
    async def sleep(self, seconds: float) -> float:
        await asyncio.sleep(seconds)
        self.state.lines.append(f"slept {seconds}")
        return seconds

    @handler
    async def read(self, size: int) -> int:
        first = len(await large(size))
        await moment()
        return first + len(await large(size))

    @handler
    async def beat(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.05):
                await beats()

    @handler(read=True)
    async def all(self) -> list[str]:
        return self.state.lines


@actor(name="mended.Stubborn", attempts=2)
class Stubborn(Actor[Lines]):
    @handler
    async def add(self, line: str) -> int:
        self.state.lines.append(line)
        return len(self.state.lines)

    @handler
    async def swallow(self, line: str) -> None:
        await moment()
        self.state.lines.append(line)

        async def stays() -> None:
            while True:
                try:
                    await asyncio.sleep(1_000)
                except asyncio.CancelledError:
                    continue

        left_behind = asyncio.ensure_future(stays())
        await asyncio.sleep(0)
        assert not left_behind.done()


async def test_a_handler_that_swallows_cancellations_fails_and_its_actor_goes_on(
    engine: Engine,
) -> None:
    stubborn = engine.actor(Stubborn, "a").options(timeout="30s")
    await stubborn.ask(Stubborn.add, "before")

    with pytest.raises(HandlerFailed, match="swallowed the cancellation"):
        await stubborn.ask(Stubborn.swallow, "asked")
    await stubborn.tell(Stubborn.swallow, "told")

    assert await stubborn.ask(Stubborn.add, "after") == 2
    letters = [letter async for letter in engine.dead_letters()]
    assert [(letter.reason, letter.attempts) for letter in letters] == [("failed", 2)]
    assert (await engine.actor_info(Stubborn, "a")).status == "waiting"


async def post(url: str, letters: list[tuple[str, str]]) -> None:
    """Put messages for `Busy` actors into a store while nobody executes them."""
    options = CoreOptions(recover=False, executes=False, retention_seconds=None, owns_process=False)
    opened = await open_target(parse_url(url, read_only=False), options, default_registry)
    assert opened.core is not None
    actors = opened.core.actors
    for key, line in letters:
        envelope = actors.envelope_of("mended.Busy", key, "add", {"line": line}, timeout=None)
        await actors.tell(envelope)
    await opened.close(0)


async def store_class_of(url: str) -> type[Store]:
    """Return the class of the store that is behind an address."""
    async with Engine.open(url, recover=False) as engine:
        return type(engine._core.store)


async def test_a_long_mailbox_is_read_part_by_part_and_in_order(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MAILBOX_READ_MAX", 7)
    monkeypatch.setattr(limits, "ACTOR_MAIL_MAX", 20)
    lines = [f"{number}" for number in range(100)]
    await post(url, [("a", line) for line in lines])

    async with Engine.open(url) as engine:
        busy = engine.actor(Busy, "a").options(timeout="30s")
        assert await busy.ask(Busy.add, "last") == 101

        assert await busy.ask(Busy.all) == [*lines, "last"]
        assert (await engine.actor_info(Busy, "a")).waiting == 0


async def test_a_busy_actor_keeps_a_part_of_its_mailbox_in_memory(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MAILBOX_READ_MAX", 7)
    monkeypatch.setattr(limits, "ACTOR_MAIL_MAX", 20)
    _gate[:] = [asyncio.Event()]
    async with Engine.open(url) as engine:
        busy = engine.actor(Busy, "a").options(timeout="30s")
        await busy.tell(Busy.wait)
        for number in range(100):
            await busy.tell(Busy.add, f"{number}")
        [live] = engine._core.scheduler.residents.values()

        assert isinstance(live, LiveActor)
        assert len(live.mail) <= 20
        _gate[0].set()
        assert await busy.ask(Busy.add, "last") == 101
        assert await busy.ask(Busy.all) == [*(f"{number}" for number in range(100)), "last"]


async def test_all_actors_with_mail_are_brought_in_after_a_restart(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await post(url, [(f"{number}", "x") for number in range(40)])
    monkeypatch.setattr(limits, "MAILBOX_READ_MAX", 7)
    monkeypatch.setattr(limits, "LIVE_RUNS_MAX", 7)

    async with Engine.open(url) as engine, asyncio.timeout(30):
        found = {info.key: info.waiting async for info in engine.actors(Busy)}
        while any(found.values()):
            await asyncio.sleep(0.01)
            found = {info.key: info.waiting async for info in engine.actors(Busy)}

        assert len(found) == 40


async def test_the_oldest_key_is_forgotten_first_also_after_a_restart(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "ACTOR_DEDUPS_MAX", 3)
    async with Engine.open(url) as engine:
        for key in ("z", "y", "x"):
            busy = engine.actor(Busy, "a").options(dedup=key, timeout="30s")
            await busy.ask(Busy.add, key)

    async with Engine.open(url) as engine:
        counts: list[int] = []
        for key in ("w", "y", "x", "z"):
            busy = engine.actor(Busy, "a").options(dedup=key, timeout="30s")
            counts.append(await busy.ask(Busy.add, key))

    assert counts == [4, 2, 3, 5]


async def test_an_actor_that_wakes_often_leaves_no_timers_behind(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    timers: list[Timer] = []
    call_at = Scheduler.call_at

    def noted(self: Scheduler, run: RunId, at: int) -> Timer:
        timers.append(call_at(self, run, at))
        return timers[-1]

    monkeypatch.setattr(Scheduler, "call_at", noted)
    busy = engine.actor(Busy, "a").options(timeout="30s")
    await busy.options(delay="1h").tell(Busy.add, "much later")

    await busy.ask(Busy.nap, 10)

    now = asyncio.get_running_loop().time()
    handles = [timer for timer in timers if isinstance(timer, asyncio.TimerHandle)]
    assert len(handles) == len(timers) > 10
    assert sum(not h.cancelled() and h.when() > now + 1 for h in handles) <= 1


async def test_what_cannot_be_brought_in_keeps_nobody_else_waiting(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "RECONCILE_SECONDS", 0.05)
    await post(url, [("away", "x"), ("broken", "x"), ("good", "x")])
    store_class = await store_class_of(url)
    read_run, failures = store_class.read_run, [StoreUnavailable("away"), StoreUnavailable("away")]

    async def read(self: Store, run: RunId) -> RunRow | None:
        if run.endswith("away") and failures:
            raise failures.pop()
        return await read_run(self, run)

    async def read_values(self: Store, run: RunId, prefix: str) -> dict[str, bytes]:
        if run.endswith("broken"):
            raise RuntimeError("odd values")
        return {}

    monkeypatch.setattr(store_class, "read_run", read)
    monkeypatch.setattr(store_class, "read_values", read_values)
    async with Engine.open(url) as engine, asyncio.timeout(30):
        for key in ("good", "away"):
            assert await engine.actor(Busy, key).ask(Busy.add, "y") == 2
        broken = await engine.actor_info(Busy, "broken")
        while broken.status != "parked":
            await asyncio.sleep(0.01)
            broken = await engine.actor_info(Busy, "broken")

    assert not failures
    assert broken.error == "it cannot be brought into memory: RuntimeError: odd values"


async def test_delayed_messages_come_though_the_store_was_away(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "RECONCILE_SECONDS", 0.05)
    store_class = await store_class_of(url)
    due_runs, failures = store_class.due_runs, [StoreUnavailable("away")]

    async def due(self: Store, shards: Collection[int], now: int, limit: int) -> list[RunRow]:
        found = await due_runs(self, shards, now, limit)
        if found and failures:
            raise failures.pop()
        return found

    monkeypatch.setattr(store_class, "due_runs", due)
    async with Engine.open(url) as engine, asyncio.timeout(30):
        await engine.actor(Busy, "a").options(delay="200ms").tell(Busy.add, "x")
        info = await engine.actor_info(Busy, "a")
        while not info.state:
            await asyncio.sleep(0.01)
            info = await engine.actor_info(Busy, "a")

    assert not failures


async def test_nothing_is_kept_of_messages_that_have_ended(engine: Engine) -> None:
    _gate[:] = [asyncio.Event()]
    busy = engine.actor(Busy, "a").options(timeout="30s")
    await busy.tell(Busy.wait)  # and so it stays in memory
    asks = [asyncio.ensure_future(busy.ask(Busy.beat)) for _ in range(5)]
    hold = asyncio.ensure_future(busy.ask(Busy.nap, 20))
    _gate[0].set()
    await asyncio.gather(*asks)

    [live] = engine._core.scheduler.residents.values()
    assert len(live.arrivals) <= 2
    assert not live.cancellation.deliver()
    assert await engine._core.store.read_values(live.id, "\x00heartbeat:") == {}
    await hold


async def test_actors_that_sleep_in_a_handler_leave_memory_when_it_is_crowded(url: str) -> None:
    async with Engine.open(url, live_runs_max=10) as engine, asyncio.timeout(30):
        keys = [f"{number}" for number in range(100)]
        naps = [asyncio.ensure_future(engine.actor(Busy, key).ask(Busy.sleep, 4.0)) for key in keys]
        await asyncio.gather(*(engine.actor(Busy, key).tell(Busy.beat) for key in keys[:3]))
        passivated = 0
        while passivated < 90 or len(engine._core.scheduler.residents) > 10:
            await asyncio.sleep(0.01)
            passivated = engine._core.events.runs_passivated
        adds = [
            asyncio.ensure_future(engine.actor(Busy, key).ask(Busy.add, "behind"))
            for key in keys[:30]
        ]

        assert not any(add.done() for add in adds)
        assert await asyncio.gather(*naps) == [4.0] * 100
        assert await asyncio.gather(*adds) == [2] * 30
        assert await engine.actor(Busy, "7").ask(Busy.all) == ["slept 4.0", "behind"]


async def test_packed_records_of_ended_messages_are_dropped(
    tmp_path: Path,
) -> None:
    db = tmp_path / "outlast.db"
    async with Engine.open(db, live_runs_max=1) as engine:
        keys = [f"{number}" for number in range(10)]
        await asyncio.gather(*(engine.actor(Busy, key).ask(Busy.sleep, 0.5) for key in keys))
        assert engine._core.events.runs_passivated

    with contextlib.closing(sqlite3.connect(db)) as connection:
        assert connection.execute("SELECT count(*) FROM histories").fetchone() == (0,)


async def test_several_actors_are_brought_in_at_once(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await post(url, [(f"{number}", "x") for number in range(20)])
    store_class = await store_class_of(url)
    read_values, reading, all_there = store_class.read_values, set[RunId](), asyncio.Event()

    async def read(self: Store, run: RunId, prefix: str) -> dict[str, bytes]:
        reading.add(run)
        if len(reading) == 8:
            all_there.set()
        await all_there.wait()
        return await read_values(self, run, prefix)

    monkeypatch.setattr(store_class, "read_values", read)
    async with Engine.open(url) as engine, asyncio.timeout(30):
        await all_there.wait()
        assert await engine.actor(Busy, "19").ask(Busy.add, "y") == 2


async def test_large_values_of_ended_messages_are_dropped(tmp_path: Path) -> None:
    db = tmp_path / "outlast.db"
    async with Engine.open(db) as engine:
        busy = engine.actor(Busy, "a").options(timeout="30s")
        sizes = [100_000, 100_000, 200_000, 100_000]
        asks = [asyncio.ensure_future(busy.ask(Busy.read, size)) for size in sizes]

        assert await asyncio.gather(*asks) == [2 * size for size in sizes]

    with contextlib.closing(sqlite3.connect(db)) as connection:
        counts = "SELECT (SELECT count(*) FROM blobs), (SELECT count(*) FROM blob_refs)"
        assert connection.execute(counts).fetchone() == (0, 0)
