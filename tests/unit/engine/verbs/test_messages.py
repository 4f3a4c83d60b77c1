"""Bringing mail to actors: part by part, several actors at once, after restarts and faults."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from pathlib import Path

import pytest

from outlast import Engine, limits
from outlast._execution.actors.actor_run import LiveActor
from outlast._store.contract import Store
from outlast._store.rows import RunRow
from outlast.errors import StoreUnavailable
from outlast.types import RunId
from tests.unit.actors.busy import Busy, gates, post, store_class_of
from tests.unit.actors.patient import Patient, patient_gates


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
    gates[:] = [asyncio.Event()]
    async with Engine.open(url) as engine:
        busy = engine.actor(Busy, "a").options(timeout="30s")
        await busy.tell(Busy.wait)
        for number in range(100):
            await busy.tell(Busy.add, f"{number}")
        [live] = engine._core.scheduler.residents.values()

        assert isinstance(live, LiveActor)
        assert len(live.mail) <= 20
        gates[0].set()
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


async def test_a_mailbox_longer_than_one_reading_is_read_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MAILBOX_READ_MAX", 3)
    patient_gates[:] = [asyncio.Event()]
    async with Engine.open(tmp_path / "outlast.db") as engine:
        patient = engine.actor(Patient, "p")
        await patient.tell(Patient.take_after_the_gate, 0)
        for number in range(1, 10):
            await patient.tell(Patient.take, number)
        await engine.drain("0s")

    patient_gates[0].set()
    async with Engine.open(tmp_path / "outlast.db") as engine:
        assert await engine.actor(Patient, "p").ask(Patient.take, 10) == list(range(11))
