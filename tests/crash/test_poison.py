"""A run that kills its process is found and parked; the others go on."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.preloaded import run_program

PROGRAM = """
import asyncio, os, sys
from outlast import Engine, RunParked, Stream, step, workflow

words = Stream("words", str)

@step
async def poison() -> None:
    await words.write("a word, durable before the end")
    await asyncio.sleep(float(sys.argv[2]))
    os.kill(os.getpid(), 9)

@workflow
async def poisonous() -> None:
    await poison()

@workflow
async def innocent(n: int) -> int:
    return n

async def main() -> None:
    async with Engine.open(sys.argv[1]) as engine:
        bad = await engine.start(poisonous(), id="bad")
        try:
            await bad.result()
        except RunParked:
            info = await bad.info()
        print(info.status, info.crash_count, await engine.run(innocent(7)))

asyncio.run(main())
"""


@pytest.mark.parametrize("late_after", [None, 0, 3], ids=["at once", "late", "late when counted"])
def test_a_run_that_kills_its_process_is_parked(tmp_path: Path, late_after: int | None) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    outputs: list[str] = []
    ends: list[str] = []
    for _ in range(14):
        result = run_program(program, str(tmp_path / "outlast.db"), "0.05")
        outputs.append(result.stdout)
        if len(outputs) - 1 == late_after:
            time.sleep(1.2)  # it notes that it began late: that is no progress of its code
        ends.append(f"{result.returncode} {result.stderr[-500:]}")
        if result.returncode == 0:
            break

    assert outputs[-1] == "parked 6 7\n"
    assert 6 <= len(outputs) <= 9, "\n".join(ends)


ACTORS = """
import asyncio, os, sys
from dataclasses import dataclass
from outlast import Actor, Engine, actor, handler

@dataclass
class State:
    n: int = 0

@actor
class Fragile(Actor[State]):
    @handler
    async def add(self, n: int) -> int:
        self.state.n += n
        return self.state.n

    @handler
    async def die(self) -> None:
        if not os.path.exists(sys.argv[2]):
            os._exit(9)

    @handler(read=True)
    async def die_reading(self) -> None:
        os._exit(9)

async def until_buried(engine: Engine) -> int:
    while not (letters := [letter async for letter in engine.dead_letters()]):
        await asyncio.sleep(0.02)
    print(letters[0].reason, letters[0].error, letters[0].attempts)
    return letters[0].number

async def main() -> None:
    is_first = not os.path.exists(sys.argv[1])
    async with Engine.open(sys.argv[1]) as engine:
        if is_first:
            await engine.actor(Fragile, "good").tell(Fragile.add, 1)
            bad = engine.actor(Fragile, "bad")
            await bad.ask(Fragile.add, 1)
            tells = [bad.tell(Fragile.add, 1), bad.tell(getattr(Fragile, sys.argv[3]))]
            await asyncio.gather(*tells, bad.tell(Fragile.add, 1))
        number = await until_buried(engine)
        print(await engine.actor(Fragile, "good").ask(Fragile.add, 1))
        print(await engine.actor(Fragile, "bad").ask(Fragile.add, 1))
        if sys.argv[3] == "die":
            open(sys.argv[2], "w").close()
            await engine.redrive(number)
            print(await engine.actor(Fragile, "bad").ask(Fragile.add, 1))

asyncio.run(main())
"""


@pytest.mark.parametrize("how", ["die", "die_reading"])
def test_a_message_that_kills_the_process_is_a_dead_letter(tmp_path: Path, how: str) -> None:
    program = tmp_path / "program.py"
    program.write_text(ACTORS)
    outputs: list[str] = []
    errors = ""
    for _ in range(14):
        result = run_program(program, str(tmp_path / "outlast.db"), str(tmp_path / "mended"), how)
        outputs.append(result.stdout)
        errors = result.stderr
        if result.returncode != 9:
            break

    buried = "failed the process died 6 times while running it 6\n2\n4\n"
    assert outputs[-1] == buried + ("5\n" if how == "die" else ""), errors
    assert 7 <= len(outputs) <= 9


TEAM = """
import asyncio, os, sys
from outlast import Actor, Child, Engine, Supervisor, actor, handler

@actor
class Deadly(Actor[int]):
    @handler
    async def started(self) -> None:
        if not os.path.exists(sys.argv[2]):
            os._exit(9)

    @handler
    async def add(self, n: int) -> int:
        self.state += n
        return self.state

@actor
class Fine(Actor[int]):
    @handler
    async def add(self, n: int) -> int:
        self.state += n
        return self.state

inner = Supervisor("inner", [Child(Fine, key="f"), Child(Deadly, key="d")], on_exhausted="escalate")

async def members(engine: Engine) -> dict[str, str]:
    outer = [member async for team in engine.teams() for member in team.members]
    return {m.id: m.status for team in outer if team.team for m in team.team.members}

async def main() -> None:
    is_first = not os.path.exists(sys.argv[1])
    async with Engine.open(sys.argv[1]) as engine:
        if is_first:
            await engine.apply(Supervisor("outer", [inner]))
        deadly, fine = engine.actor(Deadly, "d").id, engine.actor(Fine, "f").id
        while (found := await members(engine)).get(deadly) != "parked":
            await asyncio.sleep(0.02)
        print(found[fine], await engine.actor(Fine, "f").ask(Fine.add, 1))
        open(sys.argv[2], "w").close()
        await engine.get(deadly).resume()
        print(await engine.actor(Deadly, "d").options(timeout="20s").ask(Deadly.add, 1))

asyncio.run(main())
"""


def test_a_member_whose_start_kills_the_process_is_parked(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(TEAM)
    outputs: list[str] = []
    errors = ""
    for _ in range(14):
        result = run_program(program, str(tmp_path / "outlast.db"), str(tmp_path / "mended"))
        outputs.append(result.stdout)
        errors = result.stderr
        if result.returncode != 9:
            break

    assert outputs[-1] == "up 1\n1\n", errors
    assert 7 <= len(outputs) <= 9
