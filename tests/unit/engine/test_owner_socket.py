from __future__ import annotations

import asyncio
import os
import socket
import stat
import struct
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from outlast import Engine, Signal, limits, workflow
from outlast._engine.owner_client import OwnerClient
from outlast._engine.owner_protocol import Ping, Start, frame, socket_path
from outlast._engine.owner_socket import OwnerSocket
from outlast._registry import WorkflowDefinition, cached_version_of, default_registry
from outlast.errors import (
    DecodingError,
    IdempotencyMismatch,
    NotSupported,
    OutlastError,
    RunClosed,
    RunExists,
    RunNotFound,
    RunParked,
    StoreUnavailable,
    UnknownWorkflow,
)

answer = Signal("socket_answer", int)


@workflow
async def asks(start: int = 0) -> int:
    return start + await answer.receive()


@workflow
async def adds(a: int, b: int) -> int:
    return a + b


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "owned.db"


@pytest.fixture
async def engine(database: Path) -> AsyncIterator[Engine]:
    async with Engine.open(database) as opened:
        yield opened


@pytest.fixture
async def client(engine: Engine, database: Path) -> AsyncIterator[OwnerClient]:
    connected = await OwnerClient.connect(database)
    assert connected is not None
    yield connected
    await connected.close()


def start(name: str, arguments: object, run: str | None = None) -> Start:
    return Start(workflow=name, json=msgspec.json.encode(arguments), id=run)


# ------------------------------------------------------------------------------- verbs
async def test_the_owner_answers(client: OwnerClient) -> None:
    pong = await client.ping()

    assert pong.pid == os.getpid()
    assert any(name.endswith("test_owner_socket.adds") for name in pong.workflows)


async def test_a_run_is_started_by_name_with_json(engine: Engine, client: OwnerClient) -> None:
    started = await client.start(start("adds", {"a": 1, "b": 2}, "sum"))
    again = await client.start(start("adds", {"a": 1, "b": 2}, "sum"))

    assert (started.run, started.created, started.has_code) == ("sum", True, True)
    assert again.created is False
    assert await engine.get("sum").result(timeout=30) == 3


async def test_a_start_that_is_sent_again_finds_what_it_began(client: OwnerClient) -> None:
    request = msgspec.structs.replace(start("adds", {"a": 1, "b": 2}, "once"), request="r-1")

    first, second = await client.start(request), await client.start(request)

    assert first == second


async def test_signals_reach_a_run(engine: Engine, client: OwnerClient) -> None:
    await client.start(start("asks", {"start": 40}, "asking"))
    await client.signal("asking", "socket_answer", b"2", dedup="k")
    await client.signal("asking", "socket_answer", b"2", dedup="k")

    assert await engine.get("asking").result(timeout=30) == 42


async def test_cancel_terminate_info_and_why(client: OwnerClient) -> None:
    await client.start(start("asks", {}, "c"))
    await client.start(start("asks", {}, "t"))
    reason = await client.why("c")
    await client.terminate("t", "enough")
    await client.cancel("c", "enough", 1.0)

    assert "socket_answer" in reason
    assert (await client.info("t")).status == "terminated"
    assert (await client.info("t")).error == "enough"


async def test_a_workflow_without_code_is_started_by_what_the_sender_encoded(
    engine: Engine, client: OwnerClient
) -> None:
    definition = default_registry.find_workflow(adds.name)
    foreign = sent(definition, name="elsewhere.adds", run="far")

    started = await client.start(foreign)
    again = await client.start(foreign)

    assert (started.created, started.has_code, again.created) == (True, False, False)
    with pytest.raises(RunParked, match=r"no code here for workflow 'elsewhere\.adds'"):
        await engine.get("far").result(timeout=30)
    info = await engine.get("far").info()
    assert (info.workflow, info.status, info.version) == ("elsewhere.adds", "parked", "v9")
    other = definition.signature.encode(definition.signature.bind((1, 3), {}))
    with pytest.raises(IdempotencyMismatch):
        await client.start(msgspec.structs.replace(foreign, encoded=other, digest=b"x" * 16))


async def test_what_the_sender_encoded_is_decoded_where_there_is_code(
    engine: Engine, client: OwnerClient
) -> None:
    definition = default_registry.find_workflow(adds.name)

    started = await client.start(sent(definition, name=definition.name, run="near"))

    assert started.has_code
    assert await engine.get("near").result(timeout=30) == 3


def sent(definition: WorkflowDefinition, *, name: str, run: str) -> Start:
    bound = definition.signature.bind((1, 2), {})
    return Start(
        workflow=name,
        encoded=definition.signature.encode(bound),
        digest=definition.signature.digest(bound),
        version="v9" if name != definition.name else cached_version_of(definition),
        id=run,
    )


# ------------------------------------------------------------------------------ errors
async def test_errors_come_back_as_themselves(engine: Engine, client: OwnerClient) -> None:
    await engine.run(adds(1, 2), id="ended")
    with pytest.raises(RunNotFound, match="'nobody'") as not_found:
        await client.cancel("nobody")
    with pytest.raises(RunClosed):
        await client.signal("ended", "socket_answer", b"1")
    with pytest.raises(UnknownWorkflow, match="no workflow is called 'nothing'"):
        await client.start(start("nothing", {}))
    with pytest.raises(DecodingError, match="missing argument"):
        await client.start(start("adds", {"a": 1}))
    with pytest.raises(DecodingError, match="this is not JSON"):
        await client.start(Start(workflow="adds", json=b"{"))
    with pytest.raises(DecodingError):
        await client.signal("ended", "socket_answer", b'"text"')
    with pytest.raises(IdempotencyMismatch):
        await client.start(start("adds", {"a": 1, "b": 3}, "ended"))

    assert not_found.value.run_id == "nobody"
    assert (await client.ping()).pid == os.getpid()


async def test_a_policy_that_refuses_is_an_error_of_its_own(client: OwnerClient) -> None:
    await client.start(start("asks", {}, "open"))
    again = msgspec.structs.replace(start("asks", {}, "open"), on_conflict="fail")

    with pytest.raises(RunExists):
        await client.start(again)


async def test_an_owner_that_goes_away_is_told(engine: Engine, client: OwnerClient) -> None:
    opened = engine._opened
    assert opened is not None
    assert opened._socket is not None
    await opened._socket.close()

    with pytest.raises(StoreUnavailable, match="went away before it answered"):
        await client.ping()


# -------------------------------------------------------------------------- the socket
async def test_only_its_user_may_connect_and_it_is_removed_on_close(database: Path) -> None:
    async with Engine.open(database):
        mode = stat.S_IMODE(socket_path(database).stat().st_mode)

    assert mode == 0o600
    assert not socket_path(database).exists()
    assert await OwnerClient.connect(database) is None


async def test_a_socket_that_a_dead_owner_left_is_replaced(database: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(socket_path(database)))
    assert await OwnerClient.connect(database) is None

    async with Engine.open(database):
        client = await OwnerClient.connect(database)
        assert client is not None
        assert (await client.ping()).pid == os.getpid()
        await client.close()


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc/self/fd")
async def test_an_owner_that_does_not_answer_is_told(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "SOCKET_SILENCE_SECONDS", 0.1)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stopped:
        stopped.bind(str(socket_path(database)))
        stopped.listen()  # the system takes connections for a process that is stopped

        with pytest.raises(StoreUnavailable, match="does not answer"):
            await OwnerClient.connect(database)


async def test_a_path_longer_than_an_address_works(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100) / ("e" * 100)
    deep.mkdir(parents=True)
    async with Engine.open(deep / "x.db"):
        client = await OwnerClient.connect(deep / "x.db")
        assert client is not None
        assert (await client.ping()).pid == os.getpid()
        await client.close()


async def test_a_name_longer_than_an_address_costs_the_socket_alone(tmp_path: Path) -> None:
    database = tmp_path / ("x" * 120 + ".db")
    async with Engine.open(database) as engine:
        assert await engine.run(adds(1, 2)) == 3
        assert not socket_path(database).exists()


async def test_a_client_says_when_a_path_is_too_long(tmp_path: Path) -> None:
    database = tmp_path / ("x" * 120 + ".db")
    socket_path(database).touch()

    with pytest.raises(NotSupported, match="so long a path"):
        await OwnerClient.connect(database)


# ------------------------------------------------------------------------- bad clients
@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        struct.pack(">I", 0xFFFFFFFF),
        struct.pack(">I", 5) + b"\xff\xff\xff\xff\xff",
        struct.pack(">I", 3) + b"\x93\x01\x02",
        frame(Ping())[:-1] + b"\x00",
        b"",
    ],
)
async def test_garbage_is_refused_and_harms_nobody(
    client: OwnerClient, database: Path, data: bytes
) -> None:
    reader, writer = await asyncio.open_unix_connection(socket_path(database))
    writer.write(data)
    writer.write_eof()
    async with asyncio.timeout(30):
        await reader.read()
    writer.close()

    assert (await client.ping()).pid == os.getpid()


async def test_a_silent_client_is_hung_up_on(
    client: OwnerClient, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "SOCKET_SILENCE_SECONDS", 0.05)
    reader, writer = await asyncio.open_unix_connection(socket_path(database))
    writer.write(b"\x00\x00")

    async with asyncio.timeout(30):
        assert await reader.read() == b""
    writer.close()


async def test_more_clients_than_the_limit_are_hung_up_on(
    client: OwnerClient, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await client.ping()
    monkeypatch.setattr(limits, "SOCKET_CLIENTS_MAX", 1)
    reader, writer = await asyncio.open_unix_connection(socket_path(database))

    async with asyncio.timeout(30):
        assert await reader.read() == b""
    writer.close()
    assert (await client.ping()).pid == os.getpid()


async def test_a_bug_of_ours_is_an_answer_too(
    engine: Engine, client: OwnerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(self: OwnerSocket, request: object) -> None:
        raise KeyError("oops")

    monkeypatch.setattr(OwnerSocket, "_do", broken)

    with pytest.raises(OutlastError, match=r"the owner's engine failed: KeyError"):
        await client.ping()
