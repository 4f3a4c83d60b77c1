"""Queries of runs that would have the store look at everything, again and again."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from outlast import limits
from outlast._store.sqlite import lookups as sqlite_lookups
from outlast._store.sqlite.store import SqliteStore
from outlast._store.sqlite.tables import listing as sqlite_listing
from outlast._wire.security.hangups import while_connected
from outlast._world import RealWorld
from tests.unit.store.sqlite.test_lookups import endless
from tests.unit.wire.served import Served, served_wait, serving, until


def threads_of(server: Served) -> sqlite_lookups.LookupThreads:
    store = server.service.core.store
    assert isinstance(store, SqliteStore)
    return store._lookup_threads


def endless_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "LOOKUP_SECONDS_MAX", 1e9)
    monkeypatch.setattr(sqlite_listing, "count_runs", endless)


async def counting(server: Served) -> asyncio.StreamWriter:
    """Ask for a count, and return when it is looked up."""
    _, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(
        f"GET /v1/count?query=a:1 HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n"
        f"Authorization: Bearer {server.token}\r\n\r\n".encode()
    )
    await until(lambda: bool(threads_of(server)._at_work))
    return writer


@pytest.mark.parametrize("path", ["/v1/runs", "/v1/count", "/v1/statistics", "/v1/actors"])
async def test_a_query_that_takes_too_long_is_refused_with_advice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setattr(sqlite_lookups, "_QUICK_STEPS", 1)
    monkeypatch.setattr(sqlite_lookups, "_SLOW_STEPS", 1)
    async with serving(tmp_path) as server:
        monkeypatch.setattr(limits, "LOOKUP_QUICK_SECONDS", 0.0)
        monkeypatch.setattr(limits, "LOOKUP_SECONDS_MAX", 0.0)
        reply = await server.request("GET", f"{path}?query=customer:42")
    told = reply.json()
    assert (reply.status, told["type"]) == (422, "/problems/query-too-wide")
    assert "since:1h" in told["detail"]
    assert told["faults"][0]["path"] == "?query"


async def test_a_client_that_hangs_up_ends_its_query(
    server: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    endless_counts(monkeypatch)
    writer = await counting(server)
    assert server.service.admission.working == 1

    writer.transport.abort()

    async with asyncio.timeout(30):
        await until(lambda: not threads_of(server)._at_work)
        await until(lambda: not server.service.admission.working)


async def test_a_client_that_hangs_up_gives_back_its_place_among_those_who_wait(
    server: Served,
) -> None:
    async with server.client() as client:
        await client.start(served_wait(), id="w")
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(
            f"GET /v1/runs/w/result?timeout=300 HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n"
            f"Authorization: Bearer {server.token}\r\n\r\n".encode()
        )
        await until(lambda: server.service.wait_graph.working == 1)
        writer.transport.abort()
        async with asyncio.timeout(30):
            await until(lambda: not server.service.wait_graph.working)


async def test_a_server_ends_while_queries_are_looked_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with asyncio.timeout(30):
        async with serving(tmp_path) as server:
            endless_counts(monkeypatch)
            writer = await counting(server)
    writer.close()


async def test_a_query_is_answered_beside_those_that_take_long(
    server: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    endless_counts(monkeypatch)
    writers = [await counting(server) for _ in range(6)]
    async with asyncio.timeout(30):
        assert (await server.request("GET", "/v1/runs?limit=1")).status == 200
        assert (await server.request("GET", "/v1/overview")).status == 200
    for writer in writers:
        writer.transport.abort()


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("%20".join(f"k{n}:1" for n in range(limits.ATTRIBUTES_MAX + 1)), "attributes"),
        ("a:1%20" * 600, "characters"),
    ],
)
async def test_a_query_of_more_words_than_a_run_can_have_is_refused(
    server: Served, query: str, told: str
) -> None:
    reply = await server.request("GET", f"/v1/runs?query={query}")
    assert reply.status == 422
    assert told in reply.json()["detail"]


async def test_a_bulk_verb_s_query_has_the_same_bounds(server: Served) -> None:
    body = {"action": "cancel", "query": "a" * 1_000_000 + ":1", "expected": 0}
    reply = await server.request("POST", "/v1/bulk", body)
    assert (reply.status, reply.json()["type"]) == (422, "/problems/query-error")


async def test_a_timeout_within_what_a_client_waits_for_is_its_own() -> None:
    async def receive() -> dict[str, str]:
        return {"type": "http.request"}

    with pytest.raises(TimeoutError):
        async with while_connected(receive, RealWorld()):
            raise TimeoutError
