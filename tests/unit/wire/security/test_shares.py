"""No caller keeps the others out: of connections, places, streams, and memory for bodies."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from outlast import limits
from outlast._wire.formats.conversions import Conversions
from outlast._wire.formats.problems import Problem
from outlast._wire.security.admission import Admission, Shares
from outlast._wire.security.connections import Connections, connections_max, place_of
from outlast._world import RealWorld
from tests.unit.wire.served import Served, served_wait, serving, until

Link = tuple[asyncio.StreamReader, asyncio.StreamWriter]
START = "/v1/workflows/served_checkout/runs"


def head(server: Served, line: str, *lines: str, token: str | None = None) -> bytes:
    given = server.token if token is None else token
    more = "".join(f"{each}\r\n" for each in lines)
    return (
        f"{line} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n"
        f"Authorization: Bearer {given}\r\n{more}\r\n"
    ).encode()


async def link(server: Served, data: bytes = b"") -> Link:
    before = set(server.service.connections.transports)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(data)
    await until(lambda: bool(set(server.service.connections.transports) - before))
    return reader, writer


def slow_body(server: Served) -> bytes:
    lines = ("Content-Length: 1000", "Content-Type: application/json")
    return head(server, f"POST {START}", *lines) + b"{"


# ------------------------------------------------------------------------ connections
async def test_silent_connections_of_one_address_keep_none_out(
    server: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "HTTP_CONNECTIONS_MAX", 20)
    silent = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(60)]
    await until(lambda: len(server.service.connections.transports) == 15)  # its share

    for _ in range(3):
        assert (await server.request("GET", "/v1/runs")).status == 200

    for _, writer in silent:
        writer.close()


async def test_connections_that_send_a_body_slowly_yield_after_those_that_rest(
    server: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "HTTP_SHARE_MAX", 1.0)
    monkeypatch.setattr(limits, "HTTP_CONNECTIONS_MAX", 3)
    slow = [await link(server, slow_body(server)) for _ in range(2)]
    await until(lambda: server.service.bodies.bytes_held == 2)
    resting = await link(server)

    assert (await server.request("GET", "/v1/runs")).status == 200
    assert await resting[0].read() == b""
    assert server.service.bodies.bytes_held == 2
    slow += [await link(server, slow_body(server))]
    await until(lambda: server.service.bodies.bytes_held == 3)
    assert (await server.request("GET", "/v1/runs")).status == 200  # for the slowest of them
    await until(lambda: server.service.bodies.bytes_held == 2)
    for _, writer in (*slow, resting):
        writer.close()


async def test_a_request_in_work_is_not_cut_for_a_new_connection(
    server: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with server.client() as client:
        await client.start(served_wait(), id="w")
    monkeypatch.setattr(limits, "HTTP_SHARE_MAX", 1.0)
    monkeypatch.setattr(limits, "HTTP_CONNECTIONS_MAX", 1)
    await until(lambda: not server.service.connections.transports)
    _, writer = await link(server, head(server, "GET /v1/runs/w/result?timeout=30"))
    await until(lambda: server.service.wait_graph.working == 1)

    reader, refused = await asyncio.open_connection("127.0.0.1", server.port)
    assert await reader.read() == b""

    assert server.service.wait_graph.working == 1
    refused.close()
    writer.close()


class Transport(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__()
        self.is_cut = False

    def abort(self) -> None:
        self.is_cut = True


async def test_of_the_address_with_most_connections_the_longest_resting_yields(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "HTTP_CONNECTIONS_MAX", 4)
    connections = Connections(RealWorld(), by_address=True)
    made = {n: Transport() for n in range(1, 8)}
    for n in (1, 2, 3):
        assert connections.enter(("192.0.2.1", n), made[n])
    connections.note(("192.0.2.1", 1), "works")
    assert connections.enter(("192.0.2.2", 4), made[4])
    assert connections.enter(("192.0.2.3", 5), made[5])
    assert [n for n, transport in made.items() if transport.is_cut] == [2]
    connections.note(("192.0.2.1", 3), "works")
    connections.note(("192.0.2.1", 1), "rests")
    assert connections.enter(("192.0.2.3", 6), made[6])
    assert [n for n, transport in made.items() if transport.is_cut] == [1, 2]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("127.0.0.1", "127.8.7.6"),
        ("127.0.0.1", "::1"),
        ("2001:db8::1", "2001:db8::ffff:ffff"),
        ("192.0.2.1", "::ffff:192.0.2.1"),
        ("fe80::1%eth0", "fe80::2%eth0"),
    ],
)
def test_addresses_that_one_client_has_share(one: str, other: str) -> None:
    assert place_of((one, 1)) == place_of((other, 2))


@pytest.mark.parametrize(
    ("one", "other"),
    [("192.0.2.1", "192.0.2.2"), ("2001:db8:0:1::1", "2001:db8:0:2::1"), ("local", "127.0.0.1")],
)
def test_other_addresses_do_not(one: str, other: str) -> None:
    assert place_of((one, 1)) != place_of((other, 1))


def test_a_process_that_may_open_few_files_has_few_connections(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    files = limits.HTTP_FILES_KEPT + 10

    def limit(_: int) -> tuple[int, int]:
        return files, -1

    monkeypatch.setattr("resource.getrlimit", limit)
    assert connections_max() == 10
    files = 1 << 20
    assert connections_max() == limits.HTTP_CONNECTIONS_MAX


async def test_requests_that_are_sent_ahead_are_bounded(server: Served) -> None:
    async with server.client() as client:
        await client.start(served_wait(), id="w")
    waiting = head(server, "GET /v1/runs/w/result?timeout=30")
    reader, writer = await link(server, waiting)
    await until(lambda: server.service.wait_graph.working == 1)
    writer.write(head(server, "GET /v1/runs") * (limits.HTTP_REQUESTS_AHEAD_MAX + 200))
    try:
        assert await reader.read() == b""
    except ConnectionError:
        pass
    writer.close()


async def test_an_answer_that_nobody_takes_is_given_up(
    server: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "SSE_WRITE_SECONDS", 0.1)
    ahead = head(server, "GET /openapi.json") * 10
    _, writer = await link(server)
    transport = next(iter(server.service.connections.transports.values()))
    transport.get_extra_info("socket").setsockopt(1, 7, 4096)  # SOL_SOCKET, SO_SNDBUF
    while not transport.get_write_buffer_size():
        writer.write(ahead)
        await asyncio.sleep(0.01)
    async with asyncio.timeout(30):
        await until(lambda: not server.service.connections.transports)
    writer.close()


# ---------------------------------------------------------------------------- places
async def test_slow_bodies_hold_no_place(server: Served) -> None:
    slow = [await link(server, slow_body(server)) for _ in range(limits.HTTP_REQUESTS_MAX + 10)]
    await until(lambda: server.service.bodies.bytes_held == len(slow))

    assert server.service.admission.working == 0
    assert (await server.request("GET", "/v1/runs")).status == 200

    for _, writer in slow:
        writer.close()


async def test_bodies_are_bounded_together_and_by_caller(
    server: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "HTTP_BODIES_BYTES_MAX", 3)
    slow = [await link(server, slow_body(server)) for _ in range(3)]
    await until(lambda: server.service.bodies.bytes_held == 3)
    body = {"input": {"order": {"id": "1", "cents": 1}}}

    reply = await server.request("POST", START, body)

    assert (reply.status, reply.json()["type"]) == (429, "/problems/overloaded")
    assert reply.headers["retry-after"] == "1"
    for _, writer in slow:
        writer.close()
    await until(lambda: not server.service.bodies.bytes_held)
    monkeypatch.setattr(limits, "HTTP_BODIES_BYTES_MAX", 1_000)
    assert (await server.request("POST", START, body)).status == 201


async def test_a_caller_has_but_its_share_of_places() -> None:
    places = Admission(RealWorld(), places=4, queue_max=4)
    ann, bob = ("token ann", "address 1"), ("token bob", "address 2")
    release = asyncio.Event()
    begun: list[str] = []

    async def work(holders: tuple[str, str]) -> None:
        async with places.place(holders):
            begun.append(holders[0])
            await release.wait()

    tasks = [asyncio.create_task(work(ann)) for _ in range(4)]
    await until(lambda: len(begun) == 2)
    with pytest.raises(Problem) as refused:
        await work(ann)  # two of the four who may wait are of ann
    assert refused.value.status == 429
    tasks.append(asyncio.create_task(work(("token cid", "address 1"))))
    await until(lambda: begun[-1] == "token cid")
    tasks.append(asyncio.create_task(work(bob)))
    await until(lambda: begun[-1] == "token bob")
    release.set()
    await asyncio.gather(*tasks)
    assert places.working == 0


async def test_who_is_over_its_share_waits_and_others_pass() -> None:
    places = Admission(RealWorld(), places=2, queue_max=4)
    ann, bob = ("token ann",), ("token bob",)
    order: list[str] = []

    async def work(holders: tuple[str]) -> None:
        async with places.place(holders):
            order.append(holders[0])

    async with places.place(ann):
        waiting = asyncio.create_task(work(ann))
        await asyncio.sleep(0)
        await work(bob)
        assert order == ["token bob"]
    await waiting
    assert order == ["token bob", "token ann"]


async def test_one_token_has_but_its_share_of_streams(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "SSE_CLIENTS_MAX", 4)
    async with serving(tmp_path) as server:
        links = [await link(server, head(server, "GET /v1/events")) for _ in range(2)]
        await until(lambda: len(server.service.clients.open) == 2)
        reply = await server.request("GET", "/v1/events")
        assert (reply.status, reply.json()["type"]) == (429, "/problems/too-many-streams")
        links[0][1].close()
        await until(lambda: len(server.service.clients.open) == 1)
        links.append(await link(server, head(server, "GET /v1/events")))
        await until(lambda: len(server.service.clients.open) == 2)
        for _, writer in links:
            writer.close()


def test_shares_are_given_back_whole() -> None:
    shares = Shares(4)
    shares.take(("a", "b"), 3)
    assert not shares.has_room(("c", "b"))
    shares.give(("a", "b"), 3)
    assert shares.has_room(("a", "b"))
    assert not shares._held


# ----------------------------------------------------------------------- conversions
async def test_conversions_go_round_among_callers() -> None:
    conversions = Conversions(RealWorld())
    order: list[str] = []
    size = limits.HTTP_INLINE_BYTES + 1

    async def convert(caller: str) -> None:
        await conversions.of(caller, size, lambda: order.append(caller))

    tasks = [asyncio.create_task(convert(name)) for name in ("a", "a", "a", "a", "b")]
    await asyncio.sleep(0)
    tasks[1].cancel()
    await asyncio.wait(tasks)
    conversions.close()
    assert order == ["a", "b", "a", "a"]
