"""The part of its stream that an actor's own code reads."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from outlast import Engine
from outlast.errors import HandlerFailed
from outlast.types import RunId
from tests.unit.actors import desk
from tests.unit.actors.desk import Desk


async def noted(engine: Engine, key: str = "one") -> list[str]:
    found: list[str] = []
    async for event in engine.actor(Desk, key).stream(desk.notes):
        if event.kind == "data" and event.value is not None:
            found.append(event.value)
        if event.value == "last":
            break
    return found


async def test_it_grows_with_each_message_and_comes_back_from_the_rows(url: str) -> None:
    async with Engine.open(url) as engine, asyncio.timeout(30):
        ref = engine.actor(Desk, "one")
        for number in range(250):
            await ref.ask(Desk.note, f"{number}")
            if number % 50 == 0:
                engine._core.residency.passivate_all()

        assert await ref.ask(Desk.note, "last") == [*(f"{n}" for n in range(250)), "last"]
        assert await noted(engine) == [*(f"{n}" for n in range(250)), "last"]


async def test_what_is_cut_stays_in_the_stream_and_is_read_no_more(tmp_path: Path) -> None:
    path = tmp_path / "o.db"
    async with Engine.open(path) as engine, asyncio.timeout(30):
        ref = engine.actor(Desk, "one")
        for text in ("a", "b", "c"):
            await ref.ask(Desk.note, text)
        assert await ref.ask(Desk.note, "d", keep_from=2) == ["c", "d"]
    async with Engine.open(path) as engine, asyncio.timeout(30):
        assert await engine.actor(Desk, "one").ask(Desk.note, "last") == ["c", "d", "last"]
        assert await noted(engine) == ["a", "b", "c", "d", "last"]


async def test_what_a_message_that_fails_has_added_or_cut_is_as_before(url: str) -> None:
    async with Engine.open(url) as engine, asyncio.timeout(30):
        ref = engine.actor(Desk, "one")
        await ref.ask(Desk.note, "a")
        with pytest.raises(HandlerFailed, match="Refused"):
            await ref.ask(Desk.note, "bad", keep_from=1)

        assert await ref.ask(Desk.note, "b") == ["a", "b"]
        engine._core.residency.passivate_all()
        assert await ref.ask(Desk.note, "last") == ["a", "b", "last"]


async def test_a_message_that_is_replayed_adds_its_entry_once(tmp_path: Path) -> None:
    path = tmp_path / "o.db"
    desk.expect("b")
    async with Engine.open(path) as engine, asyncio.timeout(30):
        ref = engine.actor(Desk, "one")
        await ref.ask(Desk.note, "a")
        await ref.tell(Desk.note, "b", keep_from=0)
        await desk.begun["b"].wait()
        await engine.drain("0s")
    desk.gates["b"].set()

    async with Engine.open(path) as engine, asyncio.timeout(30):
        assert await engine.actor(Desk, "one").ask(Desk.note, "last") == ["a", "b", "last"]
        assert await noted(engine) == ["a", "b", "last"]


async def test_an_idle_actor_keeps_no_entries_in_memory(tmp_path: Path) -> None:
    async with Engine.open(tmp_path / "o.db") as engine, asyncio.timeout(30):
        await engine.actor(Desk, "one").ask(Desk.note, "a")
        await engine.actor(Desk, "two").ask(Desk.plain)
        await engine.actor(Desk, "two").ask(Desk.plain)
        scheduler = engine._core.scheduler
        kept = scheduler.parts.idle_actors
        while scheduler.residents:  # they leave with the turn of their last commit
            assert not scheduler.is_closing
            await asyncio.sleep(0)

        assert kept.start_of(RunId("desk.Desk/one")) is not None  # it is not known to be there
        assert kept.start_of(RunId("desk.Desk/two")) is None
