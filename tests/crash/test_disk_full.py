"""A full disk: what is open waits and goes on by itself, what is new is refused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import asyncio, resource, sys
from outlast import Engine, step, wf, workflow
from outlast.errors import StoreFull

@step
async def chunk(n: int) -> bytes:
    return bytes([n % 256]) * 20_000

@workflow
async def fills(count: int) -> int:
    total = 0
    for n in range(count):
        total += len(await chunk(n))
    return total

async def main(db: str) -> None:
    async with Engine.open(db) as engine:
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_500_000, hard))
        run = await engine.start(fills(150), id="fills")
        refused = False
        for _ in range(400):
            await asyncio.sleep(0.02)
            try:
                await engine.start(fills(1))
            except StoreFull as error:
                refused = "full" in str(error)
                break
        print("refused", refused)
        info = await run.info()
        print("still open", info.closed_at is None, info.status in ("running", "waiting"))
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        print("result", await run.result(timeout="60s"))

asyncio.run(main(sys.argv[1]))
"""


def test_a_full_disk_stops_nothing_for_good(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)

    result = subprocess.run(
        [sys.executable, str(program), str(tmp_path / "outlast.db")],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines() == [
        "refused True",
        "still open True True",
        "result 3000000",
    ]


SPENT = """
import asyncio, resource, sys
from outlast import Engine, Signal, step, workflow
from outlast.errors import OutlastError, StoreFull

go = Signal("go", int)

@workflow
async def waits(n: int) -> int:
    return n + await go.receive()

@step
async def endless() -> None:
    await asyncio.Event().wait()

@workflow
async def works() -> None:
    await endless()

async def main(db: str, first: str) -> None:
    async with Engine.open(db) as engine:
        runs = [await engine.start(waits(n), id=f"w{n}") for n in range(4)]
        runs.append(await engine.start(works(), id="s"))
        late = await engine.start(waits(9), id="late", delay="1h")
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))  # the reserve does not fit either
        verbs = [
            lambda: runs[0].terminate("x"),
            lambda: runs[1].cancel("x"),
            lambda: runs[2].signal(go, 1),
            lambda: runs[4].terminate("x"),
            lambda: late.terminate("x"),
            lambda: engine.start(waits(5)),
        ]
        for verb in verbs[int(first):] + verbs[:int(first)]:
            try:
                await asyncio.wait_for(verb(), 30)
            except StoreFull:
                pass
            else:
                print("not refused")
        print("terminated too early", (await runs[0].info()).status == "terminated")
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        for verb in verbs[:2] + verbs[3:]:
            await asyncio.wait_for(again(verb), 60)
        print(*[await end_of(run) for run in (runs[0], runs[1], runs[4], late)])
        await runs[3].signal(go, 4)
        print("result", await runs[3].result(timeout="60s"))

async def end_of(run) -> str:
    try:
        return f"{await run.result(timeout='60s')}"
    except OutlastError as error:
        return type(error).__name__

async def again(verb) -> None:
    while True:  # the store is tried again within a second
        try:
            return await verb()
        except StoreFull:
            await asyncio.sleep(0.05)

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.parametrize("first", range(6))
def test_with_the_reserve_spent_every_verb_is_refused_and_works_again_with_space(
    tmp_path: Path, first: int
) -> None:
    program = tmp_path / "program.py"
    program.write_text(SPENT)

    result = subprocess.run(
        [sys.executable, str(program), str(tmp_path / "outlast.db"), f"{first}"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines() == [
        "terminated too early False",
        "RunTerminated RunCancelled RunTerminated RunTerminated",
        "result 7",
    ]


UNWRITTEN = """
import asyncio, resource, sys
from outlast import Engine, step, workflow
from outlast.errors import StoreUnavailable

done = asyncio.Event()

@step
async def chunk() -> bytes:
    done.set()
    return bytes(20_000)

@workflow
async def makes() -> int:
    return len(await chunk())

async def main(db: str) -> None:
    try:
        async with Engine.open(db) as engine:
            hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
            await engine.start(makes(), id="a")
            resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
            await done.wait()
            await engine.drain("1s")
    except StoreUnavailable as error:
        print(error)
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    async with Engine.open(db) as engine:
        print(await engine.get("a").result(timeout="60s"))

asyncio.run(main(sys.argv[1]))
"""


def test_leaving_an_engine_says_what_the_store_has_not_taken(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(UNWRITTEN)

    result = subprocess.run(
        [sys.executable, str(program), str(tmp_path / "outlast.db")],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert result.returncode == 0, result.stderr
    said, value = result.stdout.splitlines()
    assert "could be written" in said
    assert "1 run" in said
    assert value == "20000"
