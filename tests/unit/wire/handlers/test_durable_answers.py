"""An answer that says something is stored comes after its commit."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from outlast._store.contract import Committed
from outlast._store.transactions import CommitId, CommitResult, Transaction
from outlast.types import RunId
from tests.unit.wire.served import Reply, Served

UPDATE = "/v1/runs/s/updates/served_add_up?timeout=0"


ASK = "/v1/actors/ServedNotebook/k/add"


def held_back(server: Served, monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Let no commit through until the event is set."""
    store = server.service.core.store
    commit, may_pass = store.commit, asyncio.Event()

    def slow(
        commit_id: CommitId, batch: Sequence[Transaction], then: Committed | None = None
    ) -> asyncio.Future[list[CommitResult]]:
        async def later() -> list[CommitResult]:
            await may_pass.wait()
            return await commit(commit_id, batch)

        committed = asyncio.ensure_future(later())
        if then is not None:
            committed.add_done_callback(then)
        return committed

    monkeypatch.setattr(store, "commit", slow)
    return may_pass


async def answer_of(asking: asyncio.Task[Reply], may_pass: asyncio.Event) -> Reply:
    """Return the answer, which must not come before the commit."""
    await asyncio.wait([asking], timeout=0.2)
    assert not asking.done()
    may_pass.set()
    return await asking


async def test_an_update_that_takes_longer_is_stored_before_that_is_said(
    server: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    await server.request("POST", "/v1/workflows/served_sums/runs", {"id": "s"})
    may_pass = held_back(server, monkeypatch)
    asking = asyncio.create_task(server.request("POST", UPDATE, {"value": 2, "id": "a"}))
    assert (await answer_of(asking, may_pass)).status in (200, 202)


async def test_an_update_for_a_run_that_stands_still_waits_in_its_mailbox(server: Served) -> None:
    await server.request("POST", "/v1/workflows/served_sums/runs", {"id": "s"})
    await server.request("POST", "/v1/runs/s/pause")
    for _ in range(3_000):
        if (await server.request("GET", "/v1/runs/s")).json()["status"] == "paused":
            break
        await asyncio.sleep(0.01)

    told = await server.request("POST", UPDATE, {"value": 2, "id": "a"})
    assert (told.status, told.json()["update"]) == (202, "a")
    assert len(await server.service.core.store.read_mailbox(RunId("s"), 10)) == 1


async def test_a_message_is_safe_before_a_server_that_stops_says_so(
    server: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_pass = held_back(server, monkeypatch)
    server.service._draining.set()
    asking = asyncio.create_task(server.request("POST", ASK, {"text": "x"}))
    reply = await answer_of(asking, may_pass)
    assert (reply.status, reply.json()["type"]) == (503, "/problems/draining")
