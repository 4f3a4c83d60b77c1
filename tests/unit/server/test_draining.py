from __future__ import annotations

import asyncio
from pathlib import Path

from outlast import step, workflow
from tests.unit.server.served import serving, until

held = asyncio.Event()


@step
async def served_hold() -> str:
    await held.wait()
    return "held"


@workflow
async def served_holding() -> str:
    return await served_hold()


async def test_what_is_started_while_the_server_drains_is_stored_and_done_by_the_next(
    tmp_path: Path,
) -> None:
    held.clear()
    async with serving(tmp_path) as first:
        assert (await first.request("GET", "/readyz")).status == 200
        await first.request("POST", "/v1/workflows/served_holding/runs", {"id": "old"})
        waiting = asyncio.create_task(first.request("GET", "/v1/runs/old/result"))
        await until(lambda: len(first.service.core.scheduler.bodies) == 1)

        first.serving.stop()
        await until(lambda: first.service.core.scheduler.is_closing)

        ready = await first.request("GET", "/readyz")
        assert (ready.status, ready.json()["state"]) == (503, "draining")
        assert (await first.request("GET", "/healthz")).status == 200
        assert (await waiting).status == 202
        started = await first.request("POST", "/v1/workflows/served_holding/runs", {"id": "new"})
        assert started.status == 201
        assert (await first.request("GET", "/v1/runs/new")).json()["status"] == "pending"
        events = await first.request("GET", "/v1/events")
        assert (events.status, events.headers["retry-after"]) == (503, "2")
        held.set()
        await until(lambda: first.stopped)

    async with serving(tmp_path) as second:
        for run in ("old", "new"):
            result = (await second.request("GET", f"/v1/runs/{run}/result")).json()
            assert result["result"] == "held"


async def test_a_server_that_nobody_is_connected_to_stops_without_a_pause(tmp_path: Path) -> None:
    took: list[float] = []
    loop = asyncio.get_running_loop()
    for _ in range(5):
        async with serving(tmp_path) as server:
            assert (await server.request("GET", "/healthz")).status == 200
            await until(lambda: not server.service.connections.transports)
            began = loop.time()
            server.serving.stop()
            await until(lambda: server.stopped)
            took.append(loop.time() - began)

    assert min(took) < 0.1, "neither uvicorn's pause before it looks nor the one for connections"
