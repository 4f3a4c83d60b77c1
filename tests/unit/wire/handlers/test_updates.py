from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Literal

import pytest

from outlast.client import RemoteRun
from outlast.errors import (
    RunClosed,
    RunNotFound,
    UpdateAborted,
    UpdateConflict,
    UpdateFailed,
    UpdateRejected,
    UsageError,
    WaitTimeout,
)
from outlast.types import RunId
from tests.unit.wire.served import Served, add_up, go, served_sums, serving, until

UPDATE = "/v1/runs/s/updates/served_add_up"


async def start(server: Served) -> None:
    made = await server.request("POST", "/v1/workflows/served_sums/runs", {"id": "s"})
    assert made.status == 201


async def test_an_update_is_answered_with_its_result(server: Served) -> None:
    await start(server)
    first = await server.request("POST", UPDATE, {"value": 2, "id": "a"})
    again = await server.request("POST", UPDATE, {"value": 2, "id": "a"})
    other = await server.request("POST", UPDATE, {"value": 3, "id": "a"})

    assert (first.status, first.json()) == (200, {"result": 2})
    assert (again.status, again.json()) == (200, {"result": 2})
    assert (other.status, other.json()["type"]) == (409, "/problems/update-conflict")


@pytest.mark.parametrize(
    ("path", "body", "status", "kind"),
    [
        (UPDATE, {"value": -1}, 422, "update-rejected"),
        (UPDATE, {"value": 13}, 422, "update-failed"),
        (UPDATE, {"value": "x"}, 422, "decoding-error"),
        (UPDATE, {"value": 1, "id": ""}, 422, "usage-error"),
        (UPDATE.replace("/s/", "/none/"), {"value": 1}, 404, "run-not-found"),
        (UPDATE.replace("served_add_up", "nothing"), {"value": 1}, 422, "usage-error"),
    ],
)
async def test_what_an_update_may_end_with(
    server: Served, path: str, body: dict[str, object], status: int, kind: str
) -> None:
    await start(server)
    reply = await server.request("POST", path, body)

    assert (reply.status, reply.json()["type"]) == (status, f"/problems/{kind}")


async def test_an_update_that_takes_longer_is_202_and_can_be_asked_again(server: Served) -> None:
    await start(server)
    body = {"value": 99, "id": "u"}
    early = await server.request("POST", f"{UPDATE}?timeout=0.05", body)
    async with asyncio.timeout(30):  # on a slow machine its handler has not begun
        while "its handler" not in f"{early.json()['why']}":
            early = await server.request("POST", f"{UPDATE}?timeout=0.05", body)

    assert early.status == 202
    assert "its handler of update 'served_add_up'" in f"{early.json()['why']}"
    for _ in ("the run", "its handler"):
        await server.request("POST", "/v1/runs/s/signals/served_go", {"value": "now"})
    late = await server.request("POST", UPDATE, {"value": 99, "id": early.json()["update"]})
    assert late.json() == {"result": 99}


async def test_who_does_not_wait_is_told_at_once_of_what_is_known(server: Served) -> None:
    await start(server)
    await server.request("POST", UPDATE, {"value": 2, "id": "a"})
    await server.request("POST", "/v1/runs/s/terminate", {})
    known = await server.request("POST", f"{UPDATE}?timeout=0", {"value": 2, "id": "a"})
    late = await server.request("POST", f"{UPDATE}?timeout=0", {"value": 2, "id": "b"})

    assert (known.status, known.json()) == (200, {"result": 2})
    assert (late.status, late.json()["type"]) == (409, "/problems/run-closed")


async def test_a_client_has_the_same_verb(server: Served) -> None:
    await start(server)
    async with server.client() as client:
        run: RemoteRun[int] = client.get("s", served_sums)
        assert await run.update(add_up, 2, id="a") == 2
        assert await run.update("served_add_up", 2, id="a") == 2
        with pytest.raises(UpdateRejected, match="only upwards") as refused:
            await run.update(add_up, -1)
        assert refused.value.reason == "only upwards"
        with pytest.raises(UpdateFailed, match="unlucky") as failed:
            await run.update(add_up, 13)
        assert failed.value.type_name == "LookupError"
        with pytest.raises(UpdateConflict):
            await run.update(add_up, 3, id="a")
        with pytest.raises(UsageError, match="no update"):
            await run.update("nothing", 3)
        with pytest.raises(RunNotFound):
            await client.get("none").update(add_up, 3)
        with pytest.raises(WaitTimeout, match="it goes on"):
            await run.update(add_up, 99, id="b", timeout="50ms")
        async with asyncio.timeout(30):
            while "its handler" not in await run.why():  # noqa: ASYNC110  # it has no event
                await asyncio.sleep(0.01)
        await run.terminate()
        with pytest.raises(UpdateAborted):
            await run.update(add_up, 99, id="b")
        with pytest.raises(RunClosed):
            await run.update(add_up, 4)


async def test_a_client_does_not_storm_a_server_that_drains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(tmp_path) as first:
        await start(first)
        async with first.client() as client:
            asked: list[str] = []
            ask = client.ask

            async def counted(
                method: Literal["GET", "POST"],
                path: str,
                body: object = None,
                *,
                wait: float = 0.0,
            ) -> object:
                asked.append(path)
                return await ask(method, path, body, wait=wait)

            monkeypatch.setattr(client, "ask", counted)
            first.service.drain()
            with pytest.raises(WaitTimeout):
                await client.get("s").update("served_add_up", 99, id="a", timeout="500ms")
        first.serving.stop()
    assert 1 < len(asked) < 10


async def test_a_wait_ends_with_the_drain_and_the_next_server_answers(tmp_path: Path) -> None:
    async with serving(tmp_path) as first:
        await start(first)
        waiting = asyncio.create_task(first.request("POST", UPDATE, {"value": 99, "id": "a"}))
        residents = first.service.core.scheduler.residents
        await until(
            lambda: bool(residents[RunId("s")].calls.inbox.waiting_names().get("served_go", 0) > 1)
        )
        first.serving.stop()
        assert (await waiting).status == 202
        await until(lambda: first.stopped)

    async with serving(tmp_path) as second:
        for _ in ("the run", "its handler"):
            await second.engine.get("s").signal(go, "now")
        again = await second.request("POST", UPDATE, {"value": 99, "id": "a"})
        assert again.json() == {"result": 99}
