"""A server killed again and again while many clients read: what each has at the end is exact."""

from __future__ import annotations

import asyncio
import os
import random
from pathlib import Path

import pytest

from outlast.client import RemoteRun
from tests.crash.serving import Server
from tests.crash.stream_program import lines, parts

IS_FULL = os.environ.get("OUTLAST_TEST_FULL") == "1"
CLIENTS = 200 if IS_FULL else 24
KILLS = 20 if IS_FULL else 6
ROUNDS, COUNT = (60, 40) if IS_FULL else (24, 40)
PROGRAM = Path(__file__).with_name("stream_program.py")


async def read(run: RemoteRun[object], name: str, expected_end: list[str]) -> list[object]:
    """Read a stream to its end over all reconnections; return what is left of it."""
    kept: list[tuple[str, object]] = []
    offsets: list[int] = []
    async for event in run.stream(name):
        if event.kind == "data":
            kept.append((event.writer, event.value))
            offsets.append(event.offset)
        elif event.kind == "retract":
            kept = [pair for pair in kept if pair[0] != event.writer]
        else:
            expected_end.append(event.kind)
    assert offsets == sorted(set(offsets)), "an offset came twice, or out of order"
    return [value for _, value in kept]


async def heard_over_kills(
    server: Server, readers: list[asyncio.Task[list[object]]], chance: random.Random
) -> list[list[object]]:
    """Kill the server while clients read; return what each has at the end."""
    for _ in range(KILLS):
        await asyncio.wait(readers, timeout=0.4 + chance.random())
        server.kill()
        server.start()
    return await asyncio.gather(*readers)


@pytest.mark.crash
async def test_an_actor_is_heard_exactly_while_its_server_is_killed(tmp_path: Path) -> None:
    chance = random.Random(12)
    server = Server(tmp_path, PROGRAM)
    server.start()
    ends: list[str] = []
    try:
        async with server.client() as client:
            await server.ready()
            narrator = client.actor("Narrator", "one")
            for number in range(ROUNDS):
                told = narrator.options(dedup=f"{number}")
                await told.tell("tell_of", round=number, count=COUNT)
            await narrator.tell("leave")
            readers = [
                asyncio.create_task(read(client.get(narrator.id), parts.name, ends))
                for _ in range(CLIENTS)
            ]
            found = await heard_over_kills(server, readers, chance)
    finally:
        server.kill()
    assert ends == ["end"] * CLIENTS
    spoken = [[f"{n}:", *(f"{n}.{part}" for part in range(COUNT))] for n in range(ROUNDS)]
    for values in found:
        assert values == [part for told in spoken for part in told]


@pytest.mark.crash
async def test_clients_read_on_exactly_while_the_server_is_killed(tmp_path: Path) -> None:
    chance = random.Random(11)
    server = Server(tmp_path, PROGRAM)
    server.start()
    ends: list[str] = []
    try:
        async with server.client() as client:
            await server.ready()
            run = await client.start("talk", {"rounds": ROUNDS, "count": COUNT}, id="talk")
            readers = [
                asyncio.create_task(read(run, (lines.name, parts.name)[number % 2], ends))
                for number in range(CLIENTS)
            ]
            found = await heard_over_kills(server, readers, chance)
            assert await run.result(timeout="60s") == ROUNDS
    finally:
        server.kill()
    assert ends == ["end"] * CLIENTS
    spoken = [f"{number}.{part}" for number in range(ROUNDS) for part in range(COUNT)]
    for number, values in enumerate(found):
        assert values == (list(range(ROUNDS)) if number % 2 == 0 else spoken)
