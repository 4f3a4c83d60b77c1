"""The engine that owns a database, reached over the Unix socket beside it."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import stat
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from typing_extensions import override

from outlast import Actor, Engine, Signal, actor, handler, limits, workflow
from outlast._engine.open_engine import CoreOptions
from outlast._engine.opening import Target
from outlast._registry import WorkflowDefinition, cached_version_of, default_registry
from outlast._wire.app import Application
from outlast._wire.unixsocket import socket_path
from outlast.client import Client
from outlast.client.local import owner_of
from outlast.errors import (
    ActorParked,
    DecodingError,
    IdempotencyMismatch,
    NotSupported,
    PayloadTooLarge,
    RunClosed,
    RunExists,
    RunNotFound,
    RunParked,
    ServerRefused,
    StoreUnavailable,
    UnknownWorkflow,
    UsageError,
)

answer = Signal("socket_answer", int)


@workflow
async def asks(start: int = 0) -> int:
    return start + await answer.receive()


@workflow
async def adds(a: int, b: int) -> int:
    return a + b


@actor
class Parks(Actor[int]):
    @classmethod
    @override
    def initial(cls) -> int:
        return 0

    @handler
    async def opens(self) -> int:
        return os.open("x", os.O_RDONLY)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "owned.db"


@pytest.fixture
async def engine(database: Path) -> AsyncIterator[Engine]:
    async with Engine.open(database) as opened:
        yield opened


@pytest.fixture
async def client(engine: Engine, database: Path) -> AsyncIterator[Client]:
    async with Client(f"{database}") as connected:
        yield connected


async def owner_process(database: Path) -> int:
    owner = await owner_of(database)
    assert owner is not None
    async with owner.client:
        return owner.process


async def process_of(client: Client) -> int:
    told = msgspec.convert(await client.ask("GET", "/v1/session"), dict[str, object])
    return msgspec.convert(told["process"], int)


# ------------------------------------------------------------------------------- verbs
async def test_the_owner_answers(client: Client, database: Path) -> None:
    assert await owner_process(database) == await process_of(client) == os.getpid()


async def test_a_run_is_started_by_name_with_json(engine: Engine, client: Client) -> None:
    started = await client.start("adds", {"a": 1, "b": 2}, id="sum")
    again = await client.start(adds(1, 2), id="sum")

    assert (started.id, started.created, again.created) == ("sum", True, False)
    assert await started.result(timeout=10) == await again.result() == 3


async def test_signals_reach_a_run(engine: Engine, client: Client) -> None:
    run = await client.start(asks(40), id="asking")
    await run.signal(answer, 2, dedup="k")
    await run.signal("socket_answer", 2, dedup="k")

    assert await engine.get("asking").result(timeout=10) == 42


async def test_cancel_terminate_info_and_why(client: Client) -> None:
    cancelled = await client.start(asks(), id="c")
    terminated = await client.start(asks(), id="t")
    reason = await cancelled.why()
    await terminated.terminate("enough")
    await cancelled.cancel("enough", 1.0)

    assert "socket_answer" in reason
    info = await terminated.info()
    assert (info.status, info.error) == ("terminated", "enough")


async def test_a_workflow_without_code_is_started_by_what_the_sender_encoded(
    engine: Engine, client: Client
) -> None:
    definition = default_registry.find_workflow(adds.name)
    foreign = sent(definition, (1, 2), run="far", version="v9")

    started = await start_encoded(client, "elsewhere.adds", foreign)
    again = await start_encoded(client, "elsewhere.adds", foreign)

    assert (started["created"], started["has_code"], again["created"]) == (True, False, False)
    with pytest.raises(RunParked, match=r"no code here for workflow 'elsewhere\.adds'"):
        await engine.get("far").result(timeout=10)
    info = await engine.get("far").info()
    assert (info.workflow, info.status, info.version) == ("elsewhere.adds", "parked", "v9")
    other = sent(definition, (1, 3), run="far", version="v9")
    with pytest.raises(IdempotencyMismatch):
        await start_encoded(client, "elsewhere.adds", other)


async def test_what_the_sender_encoded_is_decoded_where_there_is_code(
    engine: Engine, client: Client
) -> None:
    definition = default_registry.find_workflow(adds.name)
    body = sent(definition, (1, 2), run="near", version=cached_version_of(definition))

    started = await start_encoded(client, adds.name, body)

    assert started["has_code"] is True
    assert await engine.get("near").result(timeout=10) == 3


async def start_encoded(client: Client, name: str, body: object) -> dict[str, object]:
    found = await client.ask("POST", f"/v1/workflows/{name}/runs", body)
    return msgspec.convert(found, dict[str, object])


def sent(
    definition: WorkflowDefinition, args: tuple[int, int], *, run: str, version: str
) -> dict[str, object]:
    bound = definition.signature.bind(args, {})
    return {
        "id": run,
        "encoded": definition.signature.encode(bound),
        "digest": definition.signature.digest(bound),
        "version": version,
    }


# ------------------------------------------------------------------------------ errors
async def test_errors_come_back_as_themselves(engine: Engine, client: Client) -> None:
    await engine.run(adds(1, 2), id="ended")
    with pytest.raises(RunNotFound, match="'nobody'") as not_found:
        await client.get("nobody").cancel()
    with pytest.raises(RunClosed):
        await client.get("ended").signal(answer, 1)
    with pytest.raises(UnknownWorkflow, match="no workflow named 'nothing'"):
        await client.start("nothing", {})
    with pytest.raises(DecodingError, match="missing argument"):
        await client.start("adds", {"a": 1})
    with pytest.raises(DecodingError):
        await client.get("ended").signal("socket_answer", "text")
    with pytest.raises(IdempotencyMismatch):
        await client.start(adds(1, 3), id="ended")

    assert not_found.value.run_id == "nobody"
    assert await process_of(client) == os.getpid()


async def test_a_policy_that_refuses_is_an_error_of_its_own(client: Client) -> None:
    await client.start(asks(), id="open")

    with pytest.raises(RunExists):
        await client.start(asks(), id="open", on_conflict="fail")


async def test_an_owner_that_goes_away_is_told(engine: Engine, client: Client) -> None:
    opened = engine._opened
    assert opened is not None
    assert opened.socket is not None
    await opened.socket.close()

    with pytest.raises(StoreUnavailable, match="stopped before it answered"):
        await client.get("x").info()


# -------------------------------------------------------------------------- the socket
async def test_only_its_user_may_connect_and_it_is_removed_on_close(database: Path) -> None:
    async with Engine.open(database):
        mode = stat.S_IMODE(socket_path(database).stat().st_mode)

    assert mode == 0o600
    assert not socket_path(database).exists()
    assert await owner_of(database) is None


async def test_a_socket_that_a_dead_owner_left_is_replaced(database: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(socket_path(database)))
    assert await owner_of(database) is None

    async with Engine.open(database):
        assert await owner_process(database) == os.getpid()


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc/self/fd")
async def test_an_owner_that_does_not_answer_is_told(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "SOCKET_SILENCE_SECONDS", 0.1)
    database.touch()  # noqa: ASYNC240  # a test may wait for its own disk
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stopped:
        stopped.bind(str(socket_path(database)))
        stopped.listen()  # the system takes connections for a process that is stopped

        with pytest.raises(StoreUnavailable, match="does not answer"):
            await owner_of(database)


async def test_a_path_longer_than_an_address_works(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100) / ("e" * 100)
    deep.mkdir(parents=True)
    async with Engine.open(deep / "x.db"):
        assert await owner_process(deep / "x.db") == os.getpid()


async def test_a_name_longer_than_an_address_costs_the_socket_alone(tmp_path: Path) -> None:
    database = tmp_path / ("x" * 120 + ".db")
    async with Engine.open(database) as engine:
        assert await engine.run(adds(1, 2)) == 3
        assert not socket_path(database).exists()


async def test_a_client_says_when_a_path_is_too_long(tmp_path: Path) -> None:
    database = tmp_path / ("x" * 120 + ".db")
    socket_path(database).touch()

    with pytest.raises(NotSupported, match="a path as long as"):
        await owner_of(database)


# ------------------------------------------------------------------------- bad clients
@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/9.9\r\n\r\n",
        b"\x00\x00\x00\x05\xff\xff\xff\xff\xff",
        b"POST /v1/bulk HTTP/1.1\r\ncontent-length: nine\r\n\r\n",
        b"",
    ],
)
async def test_garbage_is_refused_and_harms_no_other_client(
    client: Client, database: Path, data: bytes
) -> None:
    reader, writer = await asyncio.open_unix_connection(socket_path(database))
    writer.write(data)
    writer.write_eof()
    async with asyncio.timeout(30):
        await reader.read()
    writer.close()

    assert await process_of(client) == os.getpid()


async def test_a_silent_client_is_hung_up_on(
    client: Client, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "HTTP_HEAD_SECONDS", 0.05)
    reader, writer = await asyncio.open_unix_connection(socket_path(database))
    writer.write(b"GE")

    async with asyncio.timeout(30):
        assert await reader.read() == b""
    writer.close()


async def test_forty_silent_clients_keep_no_other_out(client: Client, database: Path) -> None:
    silent = [await asyncio.open_unix_connection(socket_path(database)) for _ in range(40)]

    async with asyncio.timeout(30):
        assert await process_of(client) == os.getpid()
    for _, writer in silent:
        writer.close()


async def test_a_silent_client_yields_to_one_more_than_the_limit(
    client: Client, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "HTTP_CONNECTIONS_MAX", 1)
    reader, writer = await asyncio.open_unix_connection(socket_path(database))

    async with asyncio.timeout(5):  # a silent one is hung up on after ten seconds anyway
        assert await process_of(client) == os.getpid()
        assert await reader.read() == b""
    writer.close()


async def test_a_bug_of_ours_is_an_answer_too(
    engine: Engine, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(self: Application, request: object) -> None:
        raise KeyError("oops")

    monkeypatch.setattr(Application, "_answer", broken)

    with pytest.raises(ServerRefused, match="internal error"):
        await client.get("x").info()


async def test_a_socket_that_is_deleted_is_made_anew(
    database: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(limits, "SOCKET_LOOK_SECONDS", 0.02)
    async with Engine.open(database), Client(f"{database}") as client:
        for serves_already in (False, True):
            socket_path(database).unlink()
            async with asyncio.timeout(30):
                while not socket_path(database).exists():  # noqa: ASYNC110  # a file tells nothing
                    await asyncio.sleep(0.01)
            if serves_already:
                assert await process_of(client) == os.getpid()
            assert await owner_process(database) == os.getpid()
    assert "creating it again" in caplog.text
    assert not socket_path(database).exists()


async def test_an_engine_whose_socket_cannot_be_made_anew_closes_all_the_same(
    database: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(limits, "SOCKET_LOOK_SECONDS", 0.02)
    async with Engine.open(database) as engine:
        socket_path(database).unlink()
        socket_path(database).mkdir()
        async with asyncio.timeout(30):
            while "cannot create the socket" not in caplog.text:  # noqa: ASYNC110  # a log
                await asyncio.sleep(0.01)
        assert await engine.run(adds(1, 2)) == 3

    async with Engine.open(database) as engine:
        assert await engine.run(adds(3, 4)) == 7


async def test_an_engine_that_executes_nothing_is_reached_too(database: Path) -> None:
    options = CoreOptions(executes=False)
    async with Engine(Target("sqlite", f"{database}"), options, default_registry):
        assert await owner_process(database) == os.getpid()


async def test_a_body_that_is_too_large_is_told_before_it_is_sent(client: Client) -> None:
    with pytest.raises(PayloadTooLarge, match="the request as JSON"):
        await client.get("x").signal("socket_answer", "\0" * 1_000_000)


async def test_an_ask_without_a_timeout_is_told_of_a_parked_actor(
    engine: Engine, client: Client
) -> None:
    with pytest.raises(ActorParked):
        await engine.actor(Parks, "p").ask(Parks.opens)

    async with asyncio.timeout(30):
        with pytest.raises(ActorParked):
            await client.actor(Parks, "p").ask(Parks.opens)


async def test_who_answers_is_said_on_the_socket_alone(tmp_path: Path) -> None:
    async with Client("http://127.0.0.1:1", token="x" * 20) as over_tcp:
        with pytest.raises(UsageError, match="the name of the API token"):
            await over_tcp.approve("t", by="zoe")


async def test_a_head_is_bounded_on_the_socket_too(client: Client, database: Path) -> None:
    await process_of(client)
    reader, writer = await asyncio.open_unix_connection(socket_path(database))
    writer.write(b"GET /v1/session HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 40_000 + b"\r\n\r\n")
    async with asyncio.timeout(30):
        assert (await reader.readline()).split()[1] == b"431"
    writer.close()


_PYTHON = shutil.which("python3", path="/usr/bin:/bin")  # another user may not enter our own


@pytest.mark.skipif(os.geteuid() != 0 or _PYTHON is None, reason="needs root, and a system Python")
async def test_a_process_of_another_user_is_hung_up_on_before_a_byte_is_read() -> None:
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)  # noqa: PTH101  # in a coroutine, of a test's own disk
        database = Path(directory, "o.db")
        async with Engine.open(database):
            socket_path(database).chmod(0o666)
            code = (
                "import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])\n"
                "try:\n"
                "    s.sendall(b'GET /healthz HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n')\n"
                "    found = s.recv(100)\n"
                "except OSError: found = b''\n"
                "print(len(found))"
            )
            path = f"{socket_path(database)}"
            process = await asyncio.create_subprocess_exec(
                f"{_PYTHON}", "-c", code, path, user=65534, stdout=asyncio.subprocess.PIPE
            )
            out, _ = await process.communicate()
            assert out.strip() == b"0"
            assert await owner_process(database) == os.getpid()
