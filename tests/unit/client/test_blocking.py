"""`SyncClient`: the verbs of a client, blocking, from threads beside the engine's loop."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import pytest
from typing_extensions import override

from outlast import Actor, Engine, Signal, Stream, actor, handler, step, wf, workflow
from outlast.client import SyncClient
from outlast.errors import (
    EngineClosed,
    HandlerFailed,
    RunFailed,
    RunNotFound,
    RunTerminated,
    UsageError,
    WaitTimeout,
)

T = TypeVar("T")
number = Signal("blocking_number", int)
words = Stream("blocking_words", str)


@step
async def twice(value: int) -> int:
    return 2 * value


@workflow
async def doubles(value: int) -> int:
    if value < 0:
        raise ValueError("negative")
    return await twice(value)


@workflow
async def waits() -> int:
    for word in ("a", "b"):
        await words.write(word)
    return await number.receive()


@workflow
async def asks() -> bool:
    return (await wf.approve("go on?")).approved


@actor
class Tally(Actor[list[int]]):
    @classmethod
    @override
    def initial(cls) -> list[int]:
        return []

    @handler
    async def add(self, value: int) -> int:
        if value < 0:
            raise ValueError("negative")
        self.state.append(value)
        return sum(self.state)


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[Engine]:
    async with Engine.open(tmp_path / "o.db") as opened:
        yield opened


@pytest.fixture
def database(tmp_path: Path) -> str:
    return f"{tmp_path / 'o.db'}"


async def in_thread(engine: Engine, work: Callable[[], T]) -> T:
    """Do it beside the loop of the engine, which must go on meanwhile."""
    engine.get("x")
    return await asyncio.to_thread(work)


async def test_a_run_is_started_and_its_result_awaited(engine: Engine, database: str) -> None:
    def work() -> None:
        with SyncClient(database) as client:
            run = client.start(doubles(2), id="r")
            assert (run.id, run.created, run.result()) == ("r", True, 4)
            assert client.run(doubles(3)) == 6
            assert client.start("doubles", {"value": 4}).result() == 8
            assert client.get("r", doubles).result(timeout="30s") == 4
            assert client.get("r").info().status == "completed"
            assert client.count("") == 3
            assert [info.id for info in client.runs("")][-1] == "r"
            assert next(record.kind for record in run.journal()) == "run_started"

    await in_thread(engine, work)


async def test_errors_are_those_of_the_engine(engine: Engine, database: str) -> None:
    def work() -> None:
        with SyncClient(database) as client:
            with pytest.raises(RunNotFound):
                client.get("nobody").info()
            with pytest.raises(RunFailed, match="negative"):
                client.run(doubles(-1))
            with pytest.raises(WaitTimeout):
                client.start(waits(), id="w").result(timeout=0.05)
            with pytest.raises(HandlerFailed, match="negative"):
                client.actor(Tally, "t").ask(Tally.add, -1)

    await in_thread(engine, work)


async def test_signals_streams_approvals_and_actors(engine: Engine, database: str) -> None:
    def work() -> None:
        with SyncClient(database) as client:
            run = client.start(waits(), id="w")
            seen = run.stream(words)
            assert [next(seen).value, next(seen).value] == ["a", "b"]
            run.signal(number, 7)
            assert run.result() == 7
            assert [event.kind for event in seen] == ["end"]

            asked = client.start(asks(), id="a")
            asked.why()
            (token,) = _until_there(lambda: list(client.tokens()))
            client.approve(token.id, by="ann")
            assert asked.result() is True

            tally = client.actor(Tally, "t")
            assert (tally.ask(Tally.add, 2), tally.ask("add", value=3)) == (2, 5)
            tally.tell(Tally.add, 4)
            assert tally.ask(Tally.add, 0) == 9

    await in_thread(engine, work)
    answered = [info async for info in engine.tokens(open_only=False)]
    assert [info.by for info in answered] == ["ann"]


def _until_there(look: Callable[[], list[T]]) -> list[T]:
    while not (found := look()):
        pass  # each look is a request: it waits for the engine
    return found


async def test_what_has_no_verb_is_waited_for(engine: Engine, database: str) -> None:
    def work() -> int | None:
        with SyncClient(database) as client:
            client.run(doubles(1), id="one")
            client.run(doubles(2), id="two")
            return client.wait(client.remote.diff("one", "two")).first

    assert await in_thread(engine, work) is not None


async def test_threads_share_a_client(engine: Engine, database: str) -> None:
    def work() -> list[int]:
        with SyncClient(database) as client, ThreadPoolExecutor(8) as pool:
            asked = [pool.submit(client.run, doubles(n)) for n in range(40)]
            return [answer.result() for answer in asked]

    assert await in_thread(engine, work) == [2 * n for n in range(40)]


async def test_a_client_that_was_closed_says_so(engine: Engine, database: str) -> None:
    def work() -> None:
        client = SyncClient(database)
        client.count("")
        client.close()
        client.close()
        with pytest.raises(EngineClosed, match="closed"):
            client.count("")

    await in_thread(engine, work)
    names = [thread.name for thread in threading.enumerate()]
    assert "outlast-client" not in names


async def test_a_coroutine_is_told_to_use_the_other_client(engine: Engine, database: str) -> None:
    with SyncClient(database) as client, pytest.raises(UsageError, match="use Client"):
        client.count("")


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
async def test_a_forked_process_connects_anew(engine: Engine, database: str) -> None:
    def work() -> int:
        with SyncClient(database) as client:
            assert client.run(doubles(1)) == 2
            child = os.fork()
            if not child:
                code = 1
                try:
                    code = 0 if client.run(doubles(21)) == 42 else 2
                finally:
                    os._exit(code)
            _, status = os.waitpid(child, 0)
            assert client.run(doubles(5)) == 10
            return os.waitstatus_to_exitcode(status)

    assert await in_thread(engine, work) == 0


def test_a_wrong_address_is_told_when_the_client_is_made() -> None:
    with pytest.raises(UsageError, match="not the URL of a server"):
        SyncClient("nowhere")


async def test_operators_say_why(engine: Engine, database: str) -> None:
    def work() -> None:
        with SyncClient(database) as client:
            run = client.start(waits(), id="r")
            run.pause(reason="one")
            run.resume(reason="two")
            run.fork(2, reason="three")
            run.terminate(reason="four")
            with pytest.raises(RunTerminated):  # a retry is refused until it has ended
                run.result("30s")
            run.retry(reason="five")

    await in_thread(engine, work)
    reasons = [info.reason async for info in engine.audit()]
    assert reasons == ["five", "four", "three", "three", "two", "one", ""]  # a fork is of two runs
