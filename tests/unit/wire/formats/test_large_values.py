"""Large values keep nobody waiting: neither where they come in, nor where they are shown."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from outlast import Actor, Signal, actor, handler, limits, step, wf, workflow
from outlast._store.sqlite.store import SqliteStore
from tests.unit.wire.served import Reply, Served

anything = Signal("large_anything", object)
WAIT_SECONDS_MAX = 1.0


@workflow
async def large_echo(value: object = None) -> object:
    return value


@step
async def large_part(size: int) -> str:
    return "x" * size


@workflow
async def large_steps(count: int, size: int) -> int:
    for _ in range(count):
        await large_part(size)
    return count


@workflow
async def large_waits() -> None:
    await anything.receive()


@workflow
async def large_asks(size: int) -> None:
    await wf.approve("Large?", detail={"text": "x" * size})


@actor
class LargeKeeper(Actor[list[object]]):
    @handler
    async def keep(self, value: object) -> int:
        self.state.append(value)
        return len(self.state)


class Watch:
    """How long others wait for an answer."""

    def __init__(self, server: Served) -> None:
        self._server = server
        self.longest = 0.0
        self.is_over = False

    async def run(self) -> None:
        while not self.is_over:
            began = time.monotonic()
            assert (await self._server.request("GET", "/healthz", token="")).status == 200
            self.longest = max(self.longest, time.monotonic() - began)


@asynccontextmanager
async def watched(server: Served) -> AsyncGenerator[None]:
    """No request in this block makes another wait for more than a second."""
    watch = Watch(server)
    task = asyncio.create_task(watch.run())
    await asyncio.sleep(0)
    try:
        yield
    finally:
        watch.is_over = True
        await task
    assert watch.longest < WAIT_SECONDS_MAX


def deep() -> object:
    value: object = 1
    for _ in range(80):
        value = {"a": value, "b": 1}
    return [value] * 1_200


KINDS: dict[str, object] = {
    "empty": [{}] * (limits.HTTP_NODES_MAX - 10),
    "numbers": list(range(limits.HTTP_NODES_MAX - 10)),
    "deep": deep(),
    "text": "," * 1_900_000,
    "members": {f"{n}": n for n in range(95_000)},
}


async def post(server: Served, path: str, body: object) -> Reply:
    return await server.request("POST", path, body)


async def test_a_body_of_a_million_empty_objects_keeps_nobody_waiting(server: Served) -> None:
    many: list[object] = [{}] * 1_300_000
    body = {"input": {"value": many}}
    data = json.dumps(body, separators=(",", ":")).encode()
    assert 3_900_000 < len(data) < limits.HTTP_BODY_BYTES_MAX
    head = (
        f"POST /v1/workflows/large_echo/runs HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n"
        f"Authorization: Bearer {server.token}\r\nConnection: close\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
    )
    async with watched(server):
        reply = await server.raw(head.encode() + data)
    assert (reply.status, reply.json()["type"]) == (422, "/problems/too-many-nodes")


@pytest.mark.parametrize("kind", KINDS)
async def test_the_largest_values_keep_nobody_waiting(server: Served, kind: str) -> None:
    value = KINDS[kind]
    await post(server, "/v1/workflows/large_waits/runs", {"id": "w"})
    async with watched(server):
        body = {"id": "r", "input": {"value": value}}
        assert (await post(server, "/v1/workflows/large_echo/runs", body)).status == 201
        assert (await post(server, "/v1/workflows/large_echo/runs", body)).status == 200
        signalled = await post(server, "/v1/runs/w/signals/large_anything", {"value": value})
        assert signalled.status == 202
        assert (await post(server, "/v1/actors/LargeKeeper/k/keep", {"value": value})).status == 200
        result = await server.request("GET", "/v1/runs/r/result")
        forked = await post(server, "/v1/runs/r/fork", {"at": 2, "input": {"value": value}})
        assert forked.status == 201
        for path in ("runs/r", "runs/r/journal", "runs/w/journal", "actors", "diff?a=r&b=w"):
            assert (await server.request("GET", f"/v1/{path}")).status == 200
    assert result.json()["result"] == value


async def steps_of(server: Served, count: int, size: int) -> None:
    body = {"id": "s", "input": {"count": count, "size": size}}
    await post(server, "/v1/workflows/large_steps/runs", body)
    await server.request("GET", "/v1/runs/s/result")


async def test_a_page_of_records_is_bounded_by_their_bytes(server: Served) -> None:
    await steps_of(server, 40, 97_000)
    page = (await server.request("GET", "/v1/runs/s/journal?limit=500")).json()
    seqs = [record["seq"] for record in page["records"]]
    while page["next"] is not None:
        assert len(page["records"]) < 15
        assert len(json.dumps(page)) < limits.HTTP_PAGE_BYTES / 10
        page = (await server.request("GET", f"/v1/runs/s/journal?after={page['next']}")).json()
        seqs += [record["seq"] for record in page["records"]]
    assert seqs == list(range(1, page["last_seq"] + 1))


async def test_pages_backwards_hold_every_record_once(server: Served) -> None:
    await steps_of(server, 40, 97_000)
    page = (await server.request("GET", "/v1/runs/s/journal?before=1000&limit=500")).json()
    seqs = [record["seq"] for record in page["records"]]
    while page["next"] is not None:
        path = f"/v1/runs/s/journal?before={page['next']}&limit=500"
        page = (await server.request("GET", path)).json()
        seqs = [record["seq"] for record in page["records"]] + seqs
    assert seqs == list(range(1, page["last_seq"] + 1))


async def test_a_large_value_is_previewed_and_fetched_by_reference(server: Served) -> None:
    await steps_of(server, 1, 97_000)
    page = (await server.request("GET", "/v1/runs/s/journal")).json()
    large = next(record for record in page["records"] if record["preview"] is not None)
    assert large["value"].startswith('"xxx')
    assert len(large["value"]) <= limits.HTTP_PREVIEW_BYTES + 1
    assert large["preview"]["bytes"] > 97_000
    whole = (await server.request("GET", large["preview"]["href"])).json()
    assert whole["value"] == "x" * 97_000
    assert {**whole, "value": 0} == {
        name: 0 if name == "value" else value for name, value in large.items() if name != "preview"
    }


async def test_our_client_gives_large_values_whole(server: Served) -> None:
    await steps_of(server, 2, 97_000)
    async with server.client() as client:
        values = [record.value async for record in client.get("s").journal()]
    assert values.count("x" * 97_000) == 2


@pytest.mark.parametrize("seq", ["0", "99", "x", "9" * 30])
async def test_a_record_that_is_not_there_is_not_found(server: Served, seq: str) -> None:
    await steps_of(server, 1, 1)
    assert (await server.request("GET", f"/v1/runs/s/journal/{seq}")).status == 404


async def test_the_input_and_result_of_a_run_are_previewed(server: Served) -> None:
    body = {"id": "r", "input": {"value": "y" * 50_000}}
    await post(server, "/v1/workflows/large_echo/runs", body)
    await server.request("GET", "/v1/runs/r/result")
    shown = (await server.request("GET", "/v1/runs/r")).json()
    assert shown["result_preview"]["bytes"] > 50_000
    assert len(shown["result"]) < 2_000
    assert len(json.dumps(shown["input"])) < 2_000
    given = (await server.request("GET", shown["input_preview"]["href"])).json()
    assert given["value"]["input"] == {"value": "y" * 50_000}
    given = (await server.request("GET", shown["result_preview"]["href"])).json()
    assert given["result"] == "y" * 50_000


async def test_states_of_actors_are_previewed_in_a_listing(server: Served) -> None:
    path = "/v1/actors/LargeKeeper/k"
    await post(server, f"{path}/keep", {"value": "z" * 50_000})
    listed = (await server.request("GET", "/v1/actors")).json()["actors"]
    assert len(listed[0]["state"]) < 2_000
    whole = (await server.request("GET", listed[0]["state_preview"]["href"])).json()
    assert whole["state"] == ["z" * 50_000]


async def test_a_page_of_approvals_is_bounded_by_their_bytes(
    server: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "HTTP_PAGE_BYTES", 60_000)
    for n in range(5):
        body = {"id": f"a{n}", "input": {"size": 25_000}}
        await post(server, "/v1/workflows/large_asks/runs", body)
    async with asyncio.timeout(30):
        found: list[str] = []
        sizes: list[int] = []
        while len(found) < 5:
            page = (await server.request("GET", "/v1/approvals")).json()
            sizes = [len(page["approvals"])]
            found = [one["run"] for one in page["approvals"]]
            while page["next"] is not None:
                page = (await server.request("GET", f"/v1/approvals?after={page['next']}")).json()
                sizes.append(len(page["approvals"]))
                found += [one["run"] for one in page["approvals"]]
    assert sorted(found) == [f"a{n}" for n in range(5)]
    assert max(sizes) == 3


async def test_runs_of_more_bytes_than_a_server_compares_are_refused(
    server: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    await steps_of(server, 4, 97_000)
    assert (await server.request("GET", "/v1/diff?a=s&b=s")).status == 200
    monkeypatch.setattr(limits, "HTTP_DIFF_BYTES", 300_000)
    reply = await server.request("GET", "/v1/diff?a=s&b=s")
    assert (reply.status, reply.json()["type"]) == (422, "/problems/too-large")


async def test_why_reads_no_values(server: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    await steps_of(server, 3, 97_000)
    store = server.service.core.store
    assert isinstance(store, SqliteStore)
    read = type(store._lookups).read_journal
    found: list[int] = []

    async def counting(self: object, *args: object, **kwargs: object) -> object:
        records = await read(store._lookups, *args, **kwargs)  # type: ignore[arg-type]  # as given
        found.append(sum(len(record.body) for record in records))
        return records

    monkeypatch.setattr(type(store._lookups), "read_journal", counting)
    await server.request("GET", "/v1/runs/s/why")
    assert sum(found) < 1_000
