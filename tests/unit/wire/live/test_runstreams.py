"""Streams over HTTP: exact across reconnections, shared by clients, bounded for slow ones."""

from __future__ import annotations

import asyncio
import json
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from outlast import Engine, Retry, Run, limits, step, this_step, workflow
from outlast._store.rows import StreamRow
from outlast.client import RemoteRun
from outlast.types import RunId
from tests.unit.wire.served import (
    Order,
    Served,
    go,
    reply_of,
    served_checkout,
    served_story,
    serving,
    takes_nothing,
    until,
    words,
)


@dataclass(frozen=True, slots=True)
class Event:
    kind: str
    id: str
    data: dict[str, Any]


def parsed(text: str) -> list[Event]:
    events: list[Event] = []
    for block in text.split("\n\n"):
        lines = [line for line in block.splitlines() if line and not line.startswith(":")]
        fields = dict(line.split(": ", 1) for line in lines)
        if "event" in fields:
            data: dict[str, Any] = json.loads(fields["data"])
            events.append(Event(fields["event"], fields["id"], data))
    return events


def values_of(events: list[Event]) -> list[object]:
    """Return what a client has after these events: it drops what was retracted."""
    kept: list[tuple[object, object]] = []
    for event in events:
        if event.kind == "data":
            values = event.data["values"]
            kept += [(event.data["writer"], value) for value in values]
        elif event.kind == "retract":
            kept = [pair for pair in kept if pair[0] != event.data["writer"]]
    return [value for _, value in kept]


async def test_a_client_knows_the_streams_that_are_written_and_those_that_are_declared(
    server: Served,
) -> None:
    async with server.client() as client:
        told = await client.start(served_story(1), id="told")
        await told.result()
        here = await server.engine.get("told").stream_names()
        there = await told.stream_names()
        written = await told.stream_names(declared=False)
        silent = await client.start(served_checkout(Order("7", 1)), id="silent")
        await silent.result()
        unwritten = await silent.stream_names(declared=False)
        shown = (await server.request("GET", "/v1/runs/told")).json()

    assert "served_words" in here
    assert here == there
    assert written == ("served_words",)
    assert not set(unwritten)
    assert shown["streams"] == ["served_words"]
    assert set(shown["declared_streams"]) <= set(there)


async def whole(server: Served, path: str, last_id: str = "") -> list[Event]:
    reply = await server.request("GET", path, headers={"Last-Event-ID": last_id})
    assert reply.status == 200, reply.body
    assert reply.headers["content-type"].startswith("text/event-stream")
    return parsed(reply.body.decode())


PATH = "/v1/runs/s/streams/served_words"


async def told(server: Served, count: int) -> list[str]:
    body = {"input": {"count": count}, "id": "s"}
    await server.request("POST", "/v1/workflows/served_story/runs", body)
    await server.request("GET", "/v1/runs/s/result")
    return [f"word {number}" for number in range(count)]


async def test_a_stream_is_read_whole_and_ends_with_the_runs_status(server: Served) -> None:
    expected = await told(server, 12)
    events = await whole(server, PATH)

    assert values_of(events) == expected
    assert (events[-1].kind, events[-1].data) == ("end", {"status": "completed"})
    offsets = [event.data["offset"] for event in events if event.kind == "data"]
    assert offsets == sorted(offsets, key=str) or offsets == sorted(map(int, map(str, offsets)))


async def test_going_on_behind_any_event_gives_the_rest_exactly(server: Served) -> None:
    await told(server, 12)
    events = await whole(server, PATH)

    for number, event in enumerate(events[:-1]):
        rest = await whole(server, PATH, event.id)
        assert rest == events[number + 1 :]
    end = await server.request("GET", PATH, headers={"Last-Event-ID": events[-1].id})
    assert (end.status, end.body) == (204, b"")


@pytest.mark.parametrize("offset", [0, 1, 5, 11, 12, 99])
async def test_a_stream_begins_at_the_offset_that_is_asked_for(server: Served, offset: int) -> None:
    expected = await told(server, 12)
    events = await whole(server, f"{PATH}?offset={offset}")
    assert values_of(events) == expected[offset:]


@pytest.mark.parametrize("last_id", ["", "garbage", "-", "0-5", "x" * 500, "ffffffff-end"])
async def test_an_id_of_another_run_begins_anew(server: Served, last_id: str) -> None:
    expected = await told(server, 3)
    assert values_of(await whole(server, PATH, last_id)) == expected


async def test_an_unknown_run_is_404_and_a_stream_that_nobody_wrote_only_ends(
    server: Served,
) -> None:
    assert (await server.request("GET", "/v1/runs/nobody/streams/x")).status == 404
    await told(server, 1)
    events = await whole(server, "/v1/runs/s/streams/other")
    assert [event.kind for event in events] == ["end"]


@step(retry=Retry(attempts=3, first="1ms"))
async def served_stumble() -> None:
    for number in range(3):
        await words.write(f"{this_step().attempt}.{number}")
    if this_step().attempt < 3:
        raise ValueError("stumbled")


@workflow
async def served_stumbling() -> None:
    await go.receive()
    await served_stumble()


async def test_what_a_dead_attempt_wrote_is_retracted_for_who_saw_it_and_not_shown_later(
    server: Served,
) -> None:
    client = server.client()
    async with client:
        run = await client.start(served_stumbling(), id="s")
        live = asyncio.create_task(whole(server, PATH))
        await until(lambda: bool(server.service.clients.open))
        await run.signal(go, "go")
        await run.result()

    seen = await live
    later = await whole(server, PATH)
    assert values_of(seen) == values_of(later) == ["3.0", "3.1", "3.2"]
    assert [event.kind for event in seen].count("retract") == 2
    assert "retract" not in [event.kind for event in later]


async def test_an_event_of_a_stream_has_one_offset_in_the_engine_and_in_the_client(
    server: Served,
) -> None:
    async def events(run: Run[None] | RemoteRun[None]) -> list[tuple[int, str]]:
        return [(event.offset, event.kind) async for event in run.stream(words)]

    async with server.client() as client:
        run = await client.start(served_stumbling(), id="s")
        far = asyncio.create_task(events(run))
        near = asyncio.create_task(events(server.engine.get("s", served_stumbling)))
        await until(lambda: bool(server.service.clients.open))
        await run.signal(go, "go")
        await run.result()
        told = await far

    assert told == await near
    assert [offset for offset, _ in told] == list(range(len(told)))
    assert [kind for _, kind in told].count("retract") == 2


async def test_many_clients_get_the_same_and_the_store_is_read_once_for_them(
    server: Served,
) -> None:
    async with server.client() as client:
        await client.start(served_story(0, waits=True), id="s")
        waiting = [asyncio.create_task(whole(server, PATH)) for _ in range(50)]
        await until(lambda: served_by_tail(server) == 50)
        reads = count_pages(server)
        engine = server.engine
        run = engine.get("s")
        await run.signal(go, "go")
        found = await asyncio.gather(*waiting)

    assert all(events == found[0] for events in found)
    assert len(reads) < 10


def served_by_tail(server: Served) -> int:
    return sum(tail.readers for tail in server.service.streams.tails.values())


def count_pages(server: Served) -> list[int]:
    """Count how often stored pages are read from now on."""
    streams = server.service.core.reader.streams
    reads: list[int] = []
    page = streams.page

    async def counted(run: object, name: str, offset: int) -> object:
        reads.append(offset)
        return await page(run, name, offset)  # type: ignore[arg-type]  # passed on as it came

    streams.page = counted  # type: ignore[method-assign, assignment]  # to count
    return reads


@step
async def served_flood(count: int, size: int) -> None:
    for number in range(count):
        await words.write(f"{number:06}" + "x" * size)


@workflow
async def served_flooding(count: int, size: int) -> None:
    await go.receive()
    await served_flood(count, size)


async def test_a_client_that_reads_slowly_gets_everything_and_others_do_not_wait(
    server: Served,
) -> None:
    count, size = 400, 20_000  # far more than sockets and the ring hold
    async with server.client() as client:
        run = await client.start(served_flooding(count, size), id="s")
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(
            f"GET {PATH} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n"
            f"Authorization: Bearer {server.token}\r\nConnection: close\r\n\r\n".encode()
        )
        await until(lambda: bool(server.service.clients.open))
        quick = asyncio.create_task(whole(server, PATH))
        await run.signal(go, "go")
        expected = values_of(await quick)
        slow = reply_of(await reader.read())
        writer.close()

    assert len(expected) == count
    assert values_of(parsed(slow.body.decode())) == expected


async def test_a_client_that_takes_nothing_is_hung_up_on(
    server: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "SSE_WRITE_SECONDS", 0.0)
    async with server.client() as client:
        run = await client.start(served_flooding(400, 40_000), id="s")
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(
            f"GET {PATH} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n"
            f"Authorization: Bearer {server.token}\r\n\r\n".encode()
        )
        clients = server.service.clients
        await until(lambda: bool(clients.open))
        await run.signal(go, "go")
        await run.result()
        stream = next(iter(clients.open))

        def is_hung_up_on() -> bool:
            # It is stuck once the sockets are full: a heartbeat before that finds nothing amiss.
            stream.beat(server.service.core.world.monotonic() + 1)
            return not clients.open

        await until(is_hung_up_on)
        writer.close()


async def test_a_large_value_is_held_once_for_all_clients_that_take_nothing(
    server: Served,
) -> None:
    size = 1_500_000
    async with server.client() as client:
        run = await client.start(served_flooding(1, size), id="s")
        links = [await takes_nothing(server, PATH) for _ in range(5)]
        clients, tails = server.service.clients, server.service.streams.tails
        await until(lambda: [tail.readers for tail in tails.values()] == [5])
        await run.signal(go, "go")
        await run.result()
        await until(lambda: clients.untaken.size >= size)

        assert clients.untaken.size < 2 * size
        transports = server.service.connections.transports.values()
        assert max(t.get_write_buffer_size() for t in transports) < 200_000
        for link in links:
            link.close()
        await until(lambda: not clients.open)
        assert clients.untaken.size == 0


async def test_the_slowest_clients_are_hung_up_on_when_much_is_not_taken(
    server: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = 1_000_000
    monkeypatch.setattr(limits, "HTTP_UNTAKEN_BYTES", 5 * size // 2)
    async with server.client() as client:
        run = await client.start(served_flooding(8, size), id="s")
        await run.signal(go, "go")
        await run.result()
        clients = server.service.clients
        links: list[socket.socket] = []
        for _ in range(2):  # pieces of their own, for they are read from the store
            links.append(await takes_nothing(server, PATH))
        await until(lambda: clients.untaken.size >= 2 * size)
        slowest = list(clients.open)
        links.append(await takes_nothing(server, PATH))

        await until(lambda: len(clients.open) == 2 and set(slowest) != set(clients.open))
        assert clients.untaken.size < 3 * size
        assert len(values_of(await whole(server, PATH))) == 8
        for link in links:
            link.close()
        await until(lambda: not clients.open)
        assert clients.untaken.size == 0


async def test_a_client_that_goes_away_leaves_nothing_behind(server: Served) -> None:
    async with server.client() as client:
        await client.start(served_story(3, waits=True), id="s")
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(
            f"GET {PATH} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n"
            f"Authorization: Bearer {server.token}\r\n\r\n".encode()
        )
        clients = server.service.clients
        await until(lambda: bool(clients.open))
        writer.close()
        await until(lambda: not clients.open and not server.service.streams.tails)


async def test_heartbeats_show_that_a_silent_stream_lives(server: Served) -> None:
    async with server.client() as client:
        await client.start(served_story(0, waits=True), id="s")
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(
            f"GET {PATH} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n"
            f"Authorization: Bearer {server.token}\r\n\r\n".encode()
        )
        await reader.readuntil(b":\n\n")
        clients = server.service.clients
        await until(lambda: bool(server.service.streams.tails))
        next(iter(clients.open)).beat(server.service.core.world.monotonic())
        await asyncio.wait_for(reader.readuntil(b":\n\n"), 30)
        writer.close()


async def test_a_stream_goes_on_over_a_restart_of_the_server(tmp_path: Path) -> None:
    async with serving(tmp_path) as first, first.client() as client:
        await client.start(served_story(5, waits=True), id="s")
        before = asyncio.create_task(whole(first, PATH))
        await until(lambda: bool(first.service.streams.tails))
    events = await before
    assert "end" not in [event.kind for event in events]

    async with serving(tmp_path) as second, second.client() as client:
        rest = asyncio.create_task(whole(second, PATH, events[-1].id if events else ""))
        await client.get("s").signal(go, "go")
        events += await rest
    assert values_of(events) == [f"word {number}" for number in range(5)]
    assert events[-1].kind == "end"


async def test_the_client_of_ours_goes_on_by_itself_when_the_server_comes_back(
    tmp_path: Path,
) -> None:
    async with serving(tmp_path) as first, first.client() as client:
        run = await client.start(served_story(5, waits=True), id="s")
        await run.info()
    # Another process opens the store meanwhile and lets the run end.
    async with Engine.open(tmp_path / "served.db") as engine:
        await engine.get("s").signal(go, "go")
        await engine.get("s").result()
    async with serving(tmp_path) as second, second.client() as client:
        events = client.get("s").stream(words)
        found = [event.value async for event in events if event.kind == "data"]
    assert found == [f"word {n}" for n in range(5)]


def asked(server: Served, path: str) -> bytes:
    return (
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n"
        f"Authorization: Bearer {server.token}\r\n\r\n"
    ).encode()


async def test_who_asks_for_what_is_not_written_yet_neither_spins_nor_keeps_others_waiting(
    server: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "SSE_HEARTBEAT_SECONDS", 0.05)
    body = {"input": {"count": 3, "waits": True}, "id": "s"}
    await server.request("POST", "/v1/workflows/served_story/runs", body)
    clients = server.service.clients
    _, far = await asyncio.open_connection("127.0.0.1", server.port)
    far.write(asked(server, f"{PATH}?offset=100000"))
    await until(lambda: len(clients.open) == 1)
    reader, near = await asyncio.open_connection("127.0.0.1", server.port)
    near.write(asked(server, PATH))
    await asyncio.wait_for(reader.readuntil(b"word 2"), 30)
    await asyncio.sleep(0.1)

    pages = 0
    streams = server.service.core.reader.streams
    page = streams.page

    async def counted(run: RunId, name: str, offset: int, size: int = 200) -> list[StreamRow]:
        nonlocal pages
        pages += 1
        return await page(run, name, offset, size)

    monkeypatch.setattr(streams, "page", counted)
    await asyncio.sleep(0.3)
    assert pages <= 2
    await asyncio.wait_for(reader.readuntil(b":\n\n"), 30)  # it is told that the server lives

    far.close()
    near.close()
    await until(lambda: not clients.open)  # and both are noticed to have gone
    assert not server.service.streams.tails
