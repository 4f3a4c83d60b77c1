"""What a client may send, how slowly, and how much at once."""

from __future__ import annotations

import asyncio
import json
from base64 import urlsafe_b64encode

import pytest

from outlast import limits
from outlast._wire.formats.problems import Problem
from outlast._wire.security.admission import Admission
from tests.unit.wire.served import Served, reply_of, until

START = "/v1/workflows/served_checkout/runs"


async def hung_up(reader: asyncio.StreamReader) -> bool:
    """Whether the server ends the connection without a word."""
    try:
        return await asyncio.wait_for(reader.read(), 30) == b""
    except ConnectionError:
        return True


def head(server: Served, method: str, path: str, *lines: str) -> bytes:
    text = "".join(f"{line}\r\n" for line in lines)
    return (
        f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n"
        f"Authorization: Bearer {server.token}\r\nConnection: close\r\n{text}\r\n"
    ).encode()


async def test_a_body_that_says_it_is_too_large_is_refused_unread(server: Served) -> None:
    size = limits.HTTP_BODY_BYTES_MAX + 1
    kind = "Content-Type: application/json"
    reply = await server.raw(head(server, "POST", START, f"Content-Length: {size}", kind))
    assert (reply.status, reply.json()["type"]) == (413, "/problems/payload-too-large")


async def test_a_body_without_a_length_is_read_up_to_the_limit(
    server: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "HTTP_BODY_BYTES_MAX", 10_000)
    chunk = b"1000\r\n" + b" " * 0x1000 + b"\r\n"
    lines = ("Transfer-Encoding: chunked", "Content-Type: application/json")
    reply = await server.raw(head(server, "POST", START, *lines) + chunk * 4)
    assert reply.status == 413


async def test_a_body_that_does_not_come_is_given_up(
    server: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "HTTP_BODY_SECONDS", 0.05)
    lines = ("Content-Length: 10", "Content-Type: application/json")
    reply = await server.raw(head(server, "POST", START, *lines) + b"{")
    assert (reply.status, reply.json()["type"]) == (408, "/problems/too-slow")


async def test_a_head_that_is_too_large_is_refused(server: Served) -> None:
    filler = "x" * 1_000
    lines = [f"X-{n}: {filler}" for n in range(limits.HTTP_HEADER_BYTES_MAX // 1_000 + 80)]
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(head(server, "GET", "/v1/runs", *lines))
    try:
        answer = await reader.read()
    except ConnectionError:
        answer = b""  # hung up while we still sent
    writer.close()
    assert answer == b"" or reply_of(answer).status in (400, 431)
    assert (await server.request("GET", "/v1/runs")).status == 200


async def test_who_is_slow_to_ask_is_hung_up_on(
    server: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "HTTP_HEAD_SECONDS", 0.05)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"GET /v1/runs HTTP/1.1\r\nHost: x")
    assert await hung_up(reader)
    writer.close()


async def test_the_connection_that_has_rested_longest_yields_to_one_too_many(
    server: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "HTTP_SHARE_MAX", 1.0)
    monkeypatch.setattr(limits, "HTTP_CONNECTIONS_MAX", 2)
    opened: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
    for count in (1, 2):
        opened.append(await asyncio.open_connection("127.0.0.1", server.port))
        await until(lambda: len(server.service.connections.transports) == count)  # noqa: B023
    reply = await server.request("GET", "/v1/runs")
    assert reply.status == 200
    assert await hung_up(opened[0][0])
    opened[1][1].write(head(server, "GET", "/v1/runs"))  # it stayed
    assert reply_of(await opened[1][0].read()).status == 200
    for _, each in opened:
        each.close()


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        (b"[1]", 422),
        (b'"\\ud800"', 400),
        (b"\xff\xfe", 400),
        (b"[" * 5_000 + b"]" * 5_000, 400),
        (b'{"input": {"order": {"id": "1", "cents": 1e999}}}', 400),
        (b'{"input": {"order": {"id": "1", "cents": NaN}}}', 400),
        (b'{"input": {"order": {"id": "1", "cents": 123456789012345678901234567890}}}', 422),
    ],
)
async def test_what_is_no_json_is_refused_quietly(server: Served, body: bytes, status: int) -> None:
    lines = (f"Content-Length: {len(body)}", "Content-Type: application/json")
    reply = await server.raw(head(server, "POST", START, *lines) + body)
    assert reply.status == status


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
async def test_what_a_foreign_form_could_send_is_refused(server: Served, kind: str) -> None:
    body = json.dumps({"input": {}}).encode()
    lines = [f"Content-Length: {len(body)}"] + ([f"Content-Type: {kind}"] if kind else [])
    reply = await server.raw(head(server, "POST", START, *lines) + body)
    assert reply.status == 415


@pytest.mark.parametrize(
    "request_line",
    [b"GARBAGE\r\n\r\n", b"\x00\x01\x02\r\n\r\n", b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n"],
)
async def test_what_is_no_http_is_400_or_hung_up_on(server: Served, request_line: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(request_line)
    writer.write_eof()
    answer = await reader.read()
    writer.close()
    assert answer == b"" or answer.startswith(b"HTTP/1.1 4")
    assert (await server.request("GET", "/healthz")).status == 200


# ----------------------------------------------------------------------------- overload
async def test_only_so_many_requests_are_in_work_and_the_queue_is_short(
    server: Served,
) -> None:
    world = server.service.core.world
    places = Admission(world, places=2, queue_max=1)
    release = asyncio.Event()
    order: list[int] = []

    async def work(number: int) -> None:
        async with places.place():
            order.append(number)
            await release.wait()

    tasks = [asyncio.create_task(work(number)) for number in range(3)]
    await until(lambda: len(order) == 2)
    with pytest.raises(Problem) as refused:
        await work(9)
    assert (refused.value.status, refused.value.headers["Retry-After"]) == (429, "1")
    release.set()
    await asyncio.gather(*tasks)
    assert order == [0, 1, 2]
    assert (places.working, places.refused) == (0, 1)


async def test_who_waits_too_long_for_a_place_is_refused_and_leaves_no_gap(
    server: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "HTTP_QUEUE_SECONDS", 0.01)
    places = Admission(server.service.core.world, places=1, queue_max=5)
    async with places.place():
        with pytest.raises(Problem):
            async with places.place():
                pass
    async with places.place():
        assert places.working == 1
    assert places.working == 0


async def test_who_goes_while_waiting_for_a_place_takes_none_along(server: Served) -> None:
    places = Admission(server.service.core.world, places=1, queue_max=1)

    async def work() -> None:
        async with places.place():
            pass

    async with places.place():
        waiting = asyncio.create_task(work())
        await asyncio.sleep(0.01)
        waiting.cancel()  # while it waits
        await asyncio.wait([waiting])
        late = asyncio.create_task(work())  # there is room in the queue again
        await asyncio.sleep(0.01)
        assert not late.done()
    late.cancel()  # when its turn has come, and before it knows
    await asyncio.wait([late])
    assert (places.working, places.refused) == (0, 0)


async def test_who_was_refused_leaves_room_in_the_queue(
    server: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "HTTP_QUEUE_SECONDS", 0.01)
    places = Admission(server.service.core.world, places=1, queue_max=1)
    async with places.place():
        with pytest.raises(Problem):
            async with places.place():
                pass
        monkeypatch.setattr(limits, "HTTP_QUEUE_SECONDS", 10)

        async def work() -> str:
            async with places.place():
                return "done"

        waiting = asyncio.create_task(work())
        await asyncio.sleep(0.01)
    assert await waiting == "done"


@pytest.mark.parametrize("at", ["9" * 30, "-1", "²", "x", ""])
async def test_a_cursor_that_is_none_is_refused(server: Served, at: str) -> None:
    cursor = urlsafe_b64encode(f"{at} run".encode()).decode()
    reply = await server.request("GET", f"/v1/runs?after={cursor}")
    assert (reply.status, reply.json()["type"]) == (422, "/problems/query-error")


async def test_a_long_request_line_is_refused(server: Served) -> None:
    reply = await server.request("GET", "/v1/runs?query=" + "x" * 20_000)
    assert (reply.status, reply.json()["type"]) == (414, "/problems/url-too-long")


async def test_a_body_with_two_lengths_is_refused(server: Served) -> None:
    headers = {"Content-Length": "2", "Transfer-Encoding": "chunked"}
    reply = await server.request("POST", "/v1/bulk", {}, headers=headers)
    assert reply.status == 400
