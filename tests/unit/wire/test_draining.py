from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from outlast import step, wf, workflow
from tests.unit.wire.served import serving, until


class Gate:
    """Closed until a test opens it; an event of its own in each test's loop."""

    def __init__(self) -> None:
        self.close()

    def close(self) -> None:
        self._event = asyncio.Event()

    def open(self) -> None:
        self._event.set()

    async def wait(self) -> None:
        await self._event.wait()


held = Gate()


@step
async def served_hold() -> str:
    await held.wait()
    return "held"


@workflow
async def served_holding() -> str:
    return await served_hold()


@workflow
async def served_parent() -> str:
    return await wf.start(served_holding(), id="child").result()


@pytest.mark.parametrize("asked", ["alone", "child", "parent"])
async def test_a_cancellation_reaches_steps_in_flight_while_the_server_drains(
    tmp_path: Path, asked: str
) -> None:
    held.close()
    name, run = ("served_parent", "parent") if asked != "alone" else ("served_holding", "alone")
    async with serving(tmp_path, grace_seconds=600) as server:
        await server.request("POST", f"/v1/workflows/{name}/runs", {"id": run})
        await until(lambda: len(server.service.core.scheduler.bodies) == 1)
        server.serving.stop()
        await until(lambda: server.service.core.scheduler.is_closing)

        cancelled = await server.request("POST", f"/v1/runs/{asked}/cancel", {})

        assert cancelled.status == 202
        async with asyncio.timeout(30):  # nothing is in flight any more: the grace is not used
            await until(lambda: server.stopped)

    async with serving(tmp_path) as second:
        held_up = "alone" if asked == "alone" else "child"
        ended = await second.request("GET", f"/v1/runs/{held_up}")
        assert ended.json()["status"] == "cancelled"


async def test_the_end_of_a_run_is_told_while_the_server_drains(tmp_path: Path) -> None:
    held.close()
    async with serving(tmp_path, grace_seconds=600) as server:
        for run in ("at-work", "ended", "gone"):
            await server.request("POST", "/v1/workflows/served_holding/runs", {"id": run})
        await until(lambda: len(server.service.core.scheduler.bodies) == 3)
        server.serving.stop()
        await until(lambda: server.service.core.scheduler.is_closing)
        await server.request("POST", "/v1/runs/ended/terminate", {"reason": "enough"})
        await server.request("POST", "/v1/runs/gone/cancel", {"reason": "changed"})
        await until(lambda: list(server.service.core.scheduler.residents) == ["at-work"])

        async def told(run: str) -> object:
            reply = await server.request("GET", f"/v1/runs/{run}/result")
            found = reply.json()
            return reply.status, found["status"], "error" in found

        found = [await told(run) for run in ("gone", "ended", "at-work")]
        held.open()

    ends = [(200, "cancelled", True), (200, "terminated", True), (202, "running", False)]
    assert found == ends


async def test_what_is_started_while_the_server_drains_is_stored_and_done_by_the_next(
    tmp_path: Path,
) -> None:
    held.close()
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
        held.open()
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
