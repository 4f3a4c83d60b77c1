"""A start that is to replace an open run waits for its end, as long as its client does."""

from __future__ import annotations

import asyncio
import json

import pytest

from outlast import wf, workflow
from outlast._wire.handlers import runs
from tests.unit.wire.served import Served, at_work, go, served_hold, until

START = "/v1/workflows/tests.unit.wire.handlers.test_making_way.lingers/runs"
BODY = {"id": "r", "on_conflict": "replace"}


@workflow
async def lingers() -> None:
    try:
        await go.receive()
    finally:
        async with wf.shield(grace="60s"):
            await served_hold()


async def test_a_client_that_goes_starts_nothing_when_the_run_has_ended(server: Served) -> None:
    at_work.clear()
    async with server.client() as client:
        run = await client.start(lingers(), id="r")
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        data = json.dumps(BODY).encode()
        head = (
            f"POST {START} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n"
            f"Authorization: Bearer {server.token}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(data)}\r\n\r\n"
        )
        writer.write(head.encode() + data)
        await until(lambda: bool(at_work))
        assert server.service.admission.working == 1
        writer.close()
        await until(lambda: server.service.admission.working == 0)
        at_work[0].set()
        with pytest.raises(Exception, match="cancelled"):
            await run.result()

        assert (await run.info()).status == "cancelled"


async def test_a_run_that_takes_long_to_end_is_not_waited_for_for_ever(
    server: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_work.clear()
    monkeypatch.setattr(runs, "_RESULT_SECONDS", 0.2)
    async with server.client() as client:
        await client.start(lingers(), id="r")
        reply = await server.request("POST", START, BODY)
        at_work[0].set()

    assert (reply.status, reply.json()["type"]) == (409, "/problems/run-exists")
    assert "the run has not ended within 0.2 seconds" in reply.json()["detail"]
