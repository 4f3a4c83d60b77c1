"""What a newcomer who attacked the server found."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from outlast import step, workflow
from outlast._server.access import Access
from outlast._server.guard import Addresses
from outlast._server.serving import Serving
from outlast._server.tcp import Tls, listen
from outlast._server.tokenfile import TokenFile
from outlast.errors import UsageError
from outlast.types import RunId
from tests.unit.wire.live.test_runstreams import parsed, values_of, whole
from tests.unit.wire.served import Served, served_story, until, words

broken: set[str] = set()


@step
async def attacked_say(text: str) -> str:
    await words.write(text)
    if text in broken:
        raise ValueError("broken")
    return text


@workflow
async def attacked_saying() -> str:
    await attacked_say("one")
    return await attacked_say("two")


async def test_a_token_that_is_taken_out_ends_the_streams_that_it_opened(server: Served) -> None:
    ann = server.tokens.add("ann", "viewer")
    async with server.client() as client:
        await client.start(served_story(1, waits=True), id="s")
        # What is stored when a reader comes is sent before it has a tail.
        while not await server.service.core.reader.streams.page(RunId("s"), "served_words", 0):
            pass
        reading = asyncio.create_task(
            server.request("GET", "/v1/runs/s/streams/served_words", token=ann)
        )
        await until(lambda: bool(server.service.streams.tails))
        server.tokens.remove("ann")
        for stream in list(server.service.clients.open):
            stream.beat(server.service.core.world.monotonic())
        reply = await reading
    assert values_of(parsed(reply.body.decode())) == ["word 0"]
    assert "end" not in [event.kind for event in parsed(reply.body.decode())]


async def test_a_retried_runs_stream_goes_on_behind_what_was_read(server: Served) -> None:
    broken.add("two")
    await server.request("POST", "/v1/workflows/attacked_saying/runs", {"id": "r"})
    await server.request("GET", "/v1/runs/r/result")
    path = "/v1/runs/r/streams/served_words"
    before = await whole(server, path)
    assert before[-1].data == {"status": "failed"}
    broken.clear()
    assert (await server.request("POST", "/v1/runs/r/retry", {})).status == 202
    result = await server.request("GET", "/v1/runs/r/result")
    assert result.json()["result"] == "two"

    for seen in (before[:-1], before):
        rest = await whole(server, path, seen[-1].id)
        assert values_of([*seen, *rest]) == ["one", "two"]
    info = (await server.request("GET", "/v1/runs/r")).json()
    assert info["started_at"] >= info["created_at"]


async def test_only_an_approval_is_approved(server: Served) -> None:
    await server.request("POST", "/v1/workflows/served_token/runs", {"id": "t"})
    async with server.client() as client:
        found = [info async for info in client.tokens()]
        while not found:
            found = [info async for info in client.tokens()]
        with pytest.raises(UsageError, match="not an approval"):
            await client.approve(found[0].id)


async def test_dead_letters_are_listed_by_the_client(server: Served) -> None:
    async with server.client() as client:
        assert [letter async for letter in client.dead_letters()] == []


async def test_a_comparison_needs_two_runs(server: Served) -> None:
    assert (await server.request("GET", "/v1/diff")).status == 422


async def test_a_certificate_that_is_none_is_said_at_once(server: Served, tmp_path: Path) -> None:
    file = TokenFile(tmp_path / "token")
    access, addresses = Access(file, lambda: 0.0), Addresses.of("127.0.0.1", 1)
    listener = listen("127.0.0.1", 0)
    tls = Tls(Path(__file__), Path(__file__))
    with pytest.raises(UsageError, match="cannot load the certificate"):
        Serving(server.engine, access, addresses, listener, tls=tls)
    listener.close()


@pytest.mark.parametrize("origin", ["garbage", "https://ok.example/", "ftp://x", "https://"])
def test_an_origin_that_could_never_match_is_refused(origin: str) -> None:
    with pytest.raises(UsageError, match="not an origin"):
        Addresses.of("127.0.0.1", 1, allowed=(), origins=(origin,))


@pytest.mark.parametrize("name", ["http://x/", "", "a b"])
def test_a_host_that_could_never_match_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="not a host name"):
        Addresses.of("127.0.0.1", 1, allowed=(name,), origins=())


def test_a_directory_in_the_place_of_the_token_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is a directory"):
        TokenFile(tmp_path).admin()
