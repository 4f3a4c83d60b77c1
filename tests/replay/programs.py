"""Random asyncio programs: shared state, races, cancelled losers, timeouts, queues and locks.

Run as a script it writes the journals of some programs, or replays journals that another process
(another hash seed, another Python) has written:

    python -m tests.replay.programs write FILE FIRST COUNT
    python -m tests.replay.programs check FILE
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import random
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path

from outlast import step, wf, workflow
from outlast._records import Record, pack_records, unpack_records
from outlast.testing import Sim
from outlast.testing.replaying import replay_end

Branch = Callable[[str, int], Coroutine[object, object, int]]


@step
async def draw(name: str, top: int) -> int:
    """Take a while, and give a number."""
    chance = random.Random(f"{name}/{top}")
    await asyncio.sleep(chance.random() * 5)
    return chance.randrange(top)


@workflow
async def program(seed: int) -> list[int]:
    """Do what the seed says."""
    chance = random.Random(seed)
    seen: list[int] = []

    async def branch(name: str, depth: int) -> int:
        for i in range(depth):
            seen.append(await draw(f"{name}.{i}", 1_000))
            if sum(seen) % 3 == 0:
                seen.append(await draw(f"{name}.{i}.extra", 1_000))
        return depth

    for turn in range(3):
        kind = chance.randrange(7)
        name = f"t{turn}"
        if kind == 0:
            await asyncio.gather(*(branch(f"{name}.{i}", 2) for i in range(chance.randint(2, 5))))
        elif kind == 1:
            async with asyncio.TaskGroup() as group:
                for i in range(3):
                    group.create_task(branch(f"{name}.{i}", chance.randint(1, 3)))
        elif kind == 2:
            await _race(seen, branch, name)
        elif kind == 3:
            await _late(seen, branch, name, chance.random() * 6)
        elif kind == 4:
            await _pipe(seen, name)
        elif kind == 5:
            for ended in asyncio.as_completed([branch(f"{name}.{i}", 1 + i % 2) for i in range(4)]):
                seen.append(await ended)
        else:
            winner, _ = await wf.first(a=branch(f"{name}.a", 2), b=branch(f"{name}.b", 1))
            seen.append(ord(winner))
    return seen


async def _race(seen: list[int], branch: Branch, name: str) -> None:
    tasks = {asyncio.create_task(branch(f"{name}.{i}", 1 + i % 3)) for i in range(5)}
    done, losers = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in losers:
        task.cancel()
    await asyncio.gather(*losers, return_exceptions=True)
    for task in done:  # a set: its order must be the same in every process
        seen.append(await draw(f"{name}.done{task.result()}", 50))


async def _late(seen: list[int], branch: Branch, name: str, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await branch(f"{name}.timeout", 2)
    except TimeoutError:
        seen.append(-1)
    try:
        await asyncio.wait_for(branch(f"{name}.wait_for", 2), seconds / 2)
    except TimeoutError:
        seen.append(-2)


async def _pipe(seen: list[int], name: str) -> None:
    queue: asyncio.Queue[int | None] = asyncio.Queue(2)
    lock = asyncio.Lock()

    async def produce() -> None:
        for i in range(4):
            await queue.put(await draw(f"{name}.p{i}", 100))
        await queue.put(None)

    async def consume() -> None:
        while (item := await queue.get()) is not None:
            async with lock:
                seen.append(item)
                await asyncio.sleep(item % 5)

    await asyncio.gather(produce(), consume())


async def journal_of(seed: int, *, crash: float = 0.0) -> list[Record]:
    """Run a program in virtual time, perhaps over crashes, and return its journal."""
    async with Sim(seed=seed, crash=crash) as sim:
        await sim.run(program(seed), id="program")
        records = await sim.journal("program")
    return [record.stored for record in records if record.stored is not None]


def divergence(records: list[Record]) -> str | None:
    """Return how a replay differs from what is recorded; call this from no task."""
    mismatch = replay_end(program.definition, records)
    return None if mismatch is None else str(mismatch)


def write(path: Path, first: int, count: int) -> None:
    """Write the journals of some programs."""
    lines: list[str] = []
    for seed in range(first, first + count):
        records = asyncio.run(journal_of(seed, crash=0.02 * (seed % 3)))
        packed = base64.b64encode(pack_records(records)).decode()
        lines.append(json.dumps({"seed": seed, "journal": packed}))
    path.write_text("\n".join(lines))


def check(path: Path) -> int:
    """Replay journals that another process wrote; return how many diverge."""
    wrong = 0
    for line in path.read_text().splitlines():
        data = json.loads(line)
        problem = divergence(unpack_records(base64.b64decode(data["journal"])))
        if problem is not None:
            wrong += 1
            sys.stderr.write(f"seed {data['seed']}: {problem}\n")
    return wrong


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    if sys.argv[1] == "write":
        write(Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
    else:
        sys.exit(1 if check(Path(sys.argv[2])) else 0)
