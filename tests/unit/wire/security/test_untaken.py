"""Large answers that clients do not take: what they hold is bounded."""

from __future__ import annotations

import asyncio
import socket

import pytest

from outlast import limits, step, workflow
from tests.unit.wire.served import Served, takes_nothing, until

SIZE = 1_500_000
PATH = "/v1/runs/r/result"


@workflow
async def untaken_text(size: int) -> str:
    return "x" * size


@step
async def untaken_part(size: int) -> str:
    return "x" * size


@workflow
async def untaken_parts(count: int, size: int) -> int:
    for _ in range(count):
        await untaken_part(size)
    return count


async def taken(link: socket.socket) -> int:
    """Return how many bytes come until the server hangs up."""
    size, loop = 0, asyncio.get_running_loop()
    while True:
        try:
            data = await loop.sock_recv(link, 65536)
        except ConnectionResetError:
            return size
        if not data:
            return size
        size += len(data)


async def test_the_slowest_client_is_hung_up_on_when_answers_are_not_taken(
    server: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "HTTP_UNTAKEN_BYTES", 5 * SIZE // 2)
    held = server.service.answers.untaken
    async with server.client() as client:
        await (await client.start(untaken_text(SIZE), id="r")).result()
        first = await takes_nothing(server, PATH)
        await until(lambda: held.size > SIZE)
        second = await takes_nothing(server, PATH)
        await until(lambda: held.size > 2 * SIZE)
        third = await takes_nothing(server, PATH)
        await asyncio.get_running_loop().sock_recv(third, 1)  # by now the first is given up

        assert await taken(first) < SIZE
        assert held.size < 5 * SIZE // 2
        reply = await server.request("GET", PATH)  # whoever takes it gets it whole
        assert len(reply.body) > SIZE
        for link in (first, second, third):
            link.close()
        await until(lambda: held.size == 0)


async def test_a_client_that_takes_nothing_of_an_answer_is_hung_up_on_in_time(
    server: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "SSE_WRITE_SECONDS", 0.2)
    async with server.client() as client:
        await (await client.start(untaken_text(SIZE), id="r")).result()
        link = await takes_nothing(server, PATH)
        await until(lambda: server.service.answers.untaken.size > SIZE)
        await until(lambda: server.service.answers.untaken.size == 0)

        assert await taken(link) < SIZE
        link.close()


async def test_an_answer_is_copied_for_its_connection_little_by_little(server: Served) -> None:
    async with server.client() as client:
        await (await client.start(untaken_text(SIZE), id="r")).result()
        link = await takes_nothing(server, PATH)
        await until(lambda: server.service.answers.untaken.size > SIZE)

        transports = server.service.connections.transports.values()
        assert max(each.get_write_buffer_size() for each in transports) < 200_000
        link.close()


async def test_few_runs_are_compared_at_once(
    server: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    most = 0
    places = server.service.comparisons
    path = "/v1/diff?a=a&b=b"
    async with server.client() as client:
        for run in "ab":
            await (await client.start(untaken_parts(20, 50_000), id=run)).result()

        async def watch() -> None:
            nonlocal most
            while True:
                most = max(most, places.working)
                await asyncio.sleep(0)

        watching = asyncio.create_task(watch())
        replies = await asyncio.gather(*(server.request("GET", path) for _ in range(12)))
        watching.cancel()

    assert {reply.status for reply in replies} <= {200, 429}
    assert 0 < most <= 2  # half of the four places for one token
    assert places.working == 0
