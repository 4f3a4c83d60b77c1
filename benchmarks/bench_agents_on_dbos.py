"""What does durability add to a turn of an agent: with outlast, and with pydantic-ai's DBOS engine?

Bare agents, ours and those of `DBOSDurability` on SQLite take the same turns (a request and a tool
call, of a model that takes no time), so many at once, one after the other in each round. The tool
is a step in both engines. Prints the CPU of a turn, and what is added to the bare one.

Needs DBOS, which outlast does not: pip install 'outlast[agents]' 'dbos>=3.4'
Run it: python benchmarks/bench_agents_on_dbos.py [AGENTS [TURNS [ROUNDS]]]
"""

from __future__ import annotations

import asyncio
import logging
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from importlib import metadata
from pathlib import Path

from dbos import DBOS
from pydantic_ai import Agent
from pydantic_ai.durable_exec.dbos import DBOSDurability
from pydantic_ai.models.function import FunctionModel

from outlast.bench import agent_program as ours
from outlast.engine import Engine

AGENTS, TURNS, ROUNDS = 100, 10, 3


@DBOS.step()
async def look(number: int) -> int:
    """Do next to nothing."""
    return number


on_dbos = Agent(
    FunctionModel(ours.talk), name="on_dbos", tools=[look], capabilities=[DBOSDurability()]
)


@DBOS.workflow()
async def converse() -> str:
    """Run the agent."""
    return (await on_dbos.run("Look.", usage_limits=ours.UNLIMITED)).output


async def cost(work: Callable[[], Awaitable[None]], turns: int) -> float:
    """Return the CPU of a turn, in milliseconds."""
    began = time.process_time()
    await work()
    return (time.process_time() - began) / turns * 1e3


async def measure(engine: Engine, agents: int, turns: int, rounds: int) -> None:
    """Measure in turns, and print the medians."""

    async def bare() -> None:
        await asyncio.gather(*(ours.bare.run("Look.") for _ in range(agents)))

    async def outlast() -> None:
        started = [engine.start(ours.converse()) for _ in range(agents)]
        for run in await asyncio.gather(*started):
            await run.result()

    async def dbos() -> None:
        handles = [await DBOS.start_workflow_async(converse) for _ in range(agents)]
        for handle in handles:
            await handle.get_result()

    works = {"bare": bare, "outlast": outlast, "DBOS": dbos}
    found: dict[str, list[float]] = {name: [] for name in works}
    for number in range(rounds + 1):
        for name, work in works.items():
            milliseconds = await cost(work, agents * turns)
            if number:  # the first round warms up
                found[name].append(milliseconds)
    added = {
        name: statistics.median(x - y for x, y in zip(values, found["bare"], strict=True))
        for name, values in found.items()
    }
    print(f"dbos {metadata.version('dbos')}, {agents} agents of {turns} turns, {rounds} rounds")
    for name, values in found.items():
        print(f"{name:8} {statistics.median(values):6.2f} ms CPU a turn, {added[name]:6.2f} added")
    print(f"outlast adds {added['outlast'] / added['DBOS']:.2f} of what DBOS adds")


async def main() -> None:
    """Open both engines and measure."""
    given = [int(text) for text in sys.argv[1:]]
    agents, turns, rounds = (*given, *(AGENTS, TURNS, ROUNDS)[len(given) :])
    ours.Script.turns = turns
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory)
        DBOS(config={"name": "bench", "system_database_url": f"sqlite:///{path / 'dbos.db'}"})
        DBOS.launch()
        logging.getLogger("dbos").setLevel(logging.ERROR)
        async with Engine.open(path / "outlast.db", retention=None) as engine:
            await measure(engine, agents, turns, rounds)
        DBOS.destroy()


if __name__ == "__main__":
    asyncio.run(main())
