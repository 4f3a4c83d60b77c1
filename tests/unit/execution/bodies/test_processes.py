from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from uuid import uuid4

import pytest

import outlast
from outlast import Engine, step, workflow
from outlast._execution.bodies.processes import ProcessPool
from tests.unit.execution.bodies import process_program as program

SOURCE = Path(outlast.__file__).resolve().parents[1]


@pytest.fixture
async def engine() -> AsyncIterator[Engine]:
    url = f"memory://{uuid4()}"
    async with Engine.open(url, resources={program.Connection: program.connect}) as opened:
        pool_of(opened)._workers_max = 2
        yield opened


def pool_of(engine: Engine) -> ProcessPool:
    pool = engine._core.scheduler.bodies._processes
    assert isinstance(pool, ProcessPool)
    return pool


async def result(engine: Engine, name: str, argument: str = "") -> str:
    run = await engine.start(program.value_of(name, argument))
    return await run.result(timeout=30)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110  # another process does it
            await asyncio.sleep(0.01)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_bodies_run_in_other_processes_that_are_kept_warm(engine: Engine) -> None:
    first = await engine.run(program.pids(4, 0.2), id="first")
    second = await engine.run(program.pids(2, 0.0), id="second")

    assert os.getpid() not in first
    assert len(set(first)) == 2
    assert set(second) <= set(first)


async def test_no_worker_is_started_before_there_is_work(engine: Engine) -> None:
    assert pool_of(engine)._workers == []

    await engine.run(program.pids(1, 0.0))

    assert len(pool_of(engine)._workers) == 1


async def test_coroutine_functions_run_there_too(engine: Engine) -> None:
    assert await result(engine, "doubled") == "42"


async def test_an_error_named_in_raises_comes_back_as_itself(engine: Engine) -> None:
    assert await engine.run(program.declined()) == 7


async def test_an_error_in_never_on_is_final_there_too(engine: Engine, tmp_path: Path) -> None:
    told = await result(engine, "declines_for_good", str(tmp_path / "attempts"))

    assert (tmp_path / "attempts").read_text() == "x"
    assert "declined with 8" in told


async def test_a_failure_keeps_its_type_message_and_traceback(engine: Engine) -> None:
    run = await engine.start(program.value_of("fails"))

    assert "ValueError: invalid literal" in await run.result(timeout=30)
    done = [r async for r in run.journal() if r.kind == "step_done"]
    assert done[0].error is not None
    assert done[0].stored is not None
    assert b'return int("seven")' in done[0].stored.body


@pytest.mark.parametrize(
    ("name", "words"),
    [("lies", "declared int, got str"), ("big", "the limit is")],
)
async def test_a_value_that_cannot_be_encoded_is_an_error_like_any(
    engine: Engine, name: str, words: str
) -> None:
    assert words in await result(engine, name)
    assert await result(engine, "doubled") == "42"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("exits", "WorkerDied: the worker process ended with exit status 3"),
        ("killed", "ended with signal 9 (SIGKILL"),
        ("segfault", "ended with signal 11 (SIGSEGV"),
        ("dies_once", "OutcomeUnknown: the process died while step"),
    ],
)
async def test_a_dead_worker_fails_its_attempt_alone(engine: Engine, name: str, words: str) -> None:
    assert words in await result(engine, name)
    assert await result(engine, "doubled") == "42"


async def test_a_worker_that_dies_does_not_disturb_the_others(engine: Engine) -> None:
    assert await engine.run(program.beside("")) == ("died", 2)


async def test_a_body_that_hangs_is_killed_after_its_timeout(
    engine: Engine, tmp_path: Path
) -> None:
    told = await result(engine, "hangs", str(tmp_path / "pid"))
    pid = int((tmp_path / "pid").read_text())

    assert told.startswith("StepTimeout")
    await until(lambda: not is_alive(pid))


async def test_a_coroutine_is_cancelled_and_its_worker_lives_on(
    engine: Engine, tmp_path: Path
) -> None:
    [before] = await engine.run(program.pids(1, 0.0), id="before")
    told = await result(engine, "hangs_softly", str(tmp_path / "told"))
    [after] = await engine.run(program.pids(1, 0.0), id="after")

    assert told.startswith("StepTimeout")
    assert (tmp_path / "told").read_text() == "told: True"
    assert before == after


async def test_a_plain_function_hears_of_its_cancellation(engine: Engine, tmp_path: Path) -> None:
    path = tmp_path / "ear"
    run = await engine.start(program.listen(str(path)))
    await until(lambda: path.exists() and path.read_text() == "listening")

    await run.cancel()

    await until(lambda: path.read_text() == "heard")


async def test_a_step_talks_as_it_would_in_the_engine(engine: Engine) -> None:
    run = await engine.start(program.talk(), id="talk")
    key, heartbeat, attempt, is_made_there, is_kept = await run.result(timeout=30)
    events = [event async for event in run.stream(program.words)]

    assert key.startswith("talk/")
    assert (heartbeat, attempt, is_made_there, is_kept) == (41, 2, True, True)
    assert [e.value for e in events if e.kind == "data"] == ["attempt 2"]
    assert await run.read(program.progress) == 0.5


async def test_a_queue_timeout_counts_the_wait_for_a_worker(engine: Engine) -> None:
    pool_of(engine)._workers_max = 1

    told = await engine.run(program.queued())

    assert "exceeded its queue timeout" in told


async def test_a_step_that_no_worker_can_find_is_told_so() -> None:
    @step(where="process")
    def hidden() -> int:
        return 1

    @workflow
    async def asks() -> int:
        return await hidden()

    async with Engine.open("memory://hidden") as engine:
        run = await engine.start(asks())
        with pytest.raises(outlast.RunFailed, match="declare it with `def` at the top"):
            await run.result(timeout=30)


async def test_workers_end_with_the_engine() -> None:
    async with Engine.open("memory://ends") as engine:
        pids = await engine.run(program.pids(2, 0.1))

    assert not any(is_alive(pid) for pid in pids)


async def test_a_worker_that_cannot_start_fails_the_attempt(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")

    assert "no worker process could be started" in await result(engine, "doubled")


# ---------------------------------------------------------------------- whole programs
PROGRAM = """
    import asyncio, os, sys
    from outlast import Engine, step, workflow

    class Sorry(Exception):
        pass

    @step(where="process", raises=(Sorry,))
    def pid(path: str) -> int:
        open(path, "w").write(str(os.getpid()))
        if len(sys.argv) < 0:
            raise Sorry
        return os.getpid()

    @step(where="process", raises=(Sorry,))
    def sorry() -> int:
        raise Sorry("so sorry")

    @step(where="process")
    def hang(path: str) -> None:
        import time
        open(path, "w").write(str(os.getpid()))
        time.sleep(600)

    @workflow
    async def main(path: str) -> str:
        number = await pid(path)
        try:
            await sorry()
        except Sorry as error:
            return f"{number != os.getpid()} {error}"
        return "?"

    @workflow
    async def hanging(path: str) -> None:
        await hang(path)

    async def go():
        async with Engine.open("memory://program") as engine:
            print(await engine.run((hanging if "hang" in sys.argv else main)("pid")), flush=True)
"""
GUARDED = PROGRAM + '\n    if __name__ == "__main__":\n        asyncio.run(go())\n'
UNGUARDED = PROGRAM + "\n    asyncio.run(go())\n"


def start(directory: Path, text: str, *args: str) -> subprocess.Popen[str]:
    (directory / "program.py").write_text(textwrap.dedent(text))
    return subprocess.Popen(
        [sys.executable, *args],
        cwd=directory,
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("args", [["program.py"], ["-m", "program"]])
def test_a_script_and_its_own_classes_are_found(tmp_path: Path, args: list[str]) -> None:
    out, err = start(tmp_path, GUARDED, *args).communicate(timeout=60)

    assert out == "True so sorry\n", err


def test_a_script_that_works_at_import_is_told_to_guard_itself(tmp_path: Path) -> None:
    out, err = start(tmp_path, UNGUARDED, "program.py").communicate(timeout=60)

    assert out == ""
    assert 'if __name__ == "__main__":' in err


HALF_IMPORTED = """
    import asyncio, sys
    from outlast import Engine, StepFailed, step, workflow

    limit = 1

    @step(where="process")
    def limit_there() -> int:
        return limit

    @workflow
    async def main() -> int:
        return await limit_there()

    if __name__ != "__main__":
        raise RuntimeError("it cannot be imported")
    limit = int(sys.argv[1])

    async def go():
        async with Engine.open("memory://program") as engine:
            for _ in range(4):
                run = await engine.start(main())
                try:
                    print(await run.result(), flush=True)
                except Exception as error:
                    said = "it cannot be imported" in str(error)
                    print(error.__class__.__name__, said, flush=True)

    asyncio.run(go())
"""


def test_no_step_runs_in_a_module_that_a_worker_has_imported_by_half(tmp_path: Path) -> None:
    out, err = start(tmp_path, HALF_IMPORTED, "program.py", "7").communicate(timeout=60)

    assert out.splitlines() == ["RunFailed True"] * 4, err


def test_a_program_finds_its_command_line_in_a_worker_too(tmp_path: Path) -> None:
    text = HALF_IMPORTED.replace('    if __name__ != "__main__":\n', "").replace(
        '        raise RuntimeError("it cannot be imported")\n', ""
    )
    text = text.replace(
        "    asyncio.run(go())", '    if __name__ == "__main__":\n        asyncio.run(go())'
    )

    out, err = start(tmp_path, text, "program.py", "7").communicate(timeout=60)

    assert out.splitlines() == ["7"] * 4, err


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_workers_end_when_their_engine_dies(tmp_path: Path, how: signal.Signals) -> None:
    process = start(tmp_path, GUARDED, "program.py", "hang")
    file = tmp_path / "pid"
    wait(lambda: file.exists() and file.read_text() != "")
    pid = int(file.read_text())

    process.send_signal(how)
    process.communicate(timeout=60)

    wait(lambda: not is_alive(pid))


def wait(condition: Callable[[], bool]) -> None:
    ends = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.02)
