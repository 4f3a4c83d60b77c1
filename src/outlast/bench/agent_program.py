"""What profile `agents` measures, in a process of its own: it needs pydantic-ai.

Run as `python -m outlast.bench.agent_program WHAT DIRECTORY RUNS TURNS`.
"""

from __future__ import annotations

import asyncio
import gc
import statistics
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from pathlib import Path
from typing import TypeAlias

import msgspec
from pydantic_ai import Agent, ModelMessage, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.durable_exec import DurableOperationId, RoleBasedOperationConfig
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.usage import UsageLimits
from typing_extensions import override

from outlast import Signal, step, workflow
from outlast._shapes import is_dict
from outlast.agents import Durability, agent_events, effect
from outlast.agents.steps import StepBackend, StepConfig
from outlast.bench.floors import CommitFloor
from outlast.bench.flows import NAP_SECONDS, nap_in_steps
from outlast.bench.profiles.waiting import resident_bytes
from outlast.bench.result import quantile
from outlast.engine import Engine, run_loop

Figures: TypeAlias = dict[str, float]

_SLEEPERS = 10
_NAPS = 100
_EDGE = 20  # turns at either end of a long run
_START_TOGETHER = 200
_EVENTS = "agent_events"
_TICK_SECONDS = 0.002

go: Signal[int] = Signal("agents_go", int)
UNLIMITED: UsageLimits = UsageLimits(request_limit=None)  # it is 50 otherwise


class Script:
    """How many turns each agent takes, the last of which only says something; how many words."""

    turns = 10
    words = 100


async def talk(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    """Call a tool in each turn but the last, in no time."""
    del info
    turn = sum(isinstance(message, ModelResponse) for message in messages) + 1
    if turn < Script.turns:
        call = ToolCallPart("look", {"number": turn}, tool_call_id=f"call_{turn}")
        return ModelResponse(parts=[call])
    return ModelResponse(parts=[TextPart("done")])


@effect("pure")
async def look(number: int) -> int:
    """Do next to nothing."""
    return number


bare: Agent[object, str] = Agent(FunctionModel(talk), name="bare", tools=[look])
durable: Agent[object, str] = Agent(
    FunctionModel(talk), name="durable", tools=[look], capabilities=[Durability()]
)


async def say(messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[str]:
    """Say words, one each 10 ms, each the time at which it was said."""
    del messages, info
    for _ in range(Script.words):
        yield f"~{time.monotonic_ns()} "
        await asyncio.sleep(0.01)


speaker: Agent[object, str] = Agent(
    FunctionModel(stream_function=say), name="speaker", capabilities=[Durability(stream=True)]
)


@workflow
async def recite() -> str:
    """Have the agent speak."""
    return (await speaker.run("Speak.")).output


class ThroughBackend(StepBackend):
    """Calls each operation where a step would be."""

    @override
    async def execute(
        self,
        *,
        operation_id: DurableOperationId,
        name: str,
        body: Callable[[], Awaitable[object]],
        cache_key: tuple[object, ...],
        config: StepConfig,
    ) -> object:
        """Call it: nothing is recorded."""
        return await body()


class Through(Durability[object]):
    """pydantic-ai's interface for durable engines, behind which there is none: what it costs."""

    @property
    @override
    def in_durable_context(self) -> bool:
        return True

    @override
    def get_durable_operation_backend(self) -> StepBackend:
        return ThroughBackend(
            agent_name=self.name,
            default_model_id=self.default_model_id,
            config=RoleBasedOperationConfig[StepConfig](model={}, event={}, capability={}, tool={}),
        )


through: Agent[object, str] = Agent(
    FunctionModel(talk), name="through", tools=[look], capabilities=[Through()]
)


class Arrivals:
    """How many agents have had their turns."""

    count: int = 0
    changed: asyncio.Event = asyncio.Event()

    @classmethod
    async def wait(cls, count: int) -> None:
        """Wait until so many more have."""
        while cls.count < count:
            cls.changed.clear()
            await cls.changed.wait()
        cls.count -= count


@step
async def arrive() -> None:
    """Tell that the agent's turns are over."""
    Arrivals.count += 1
    Arrivals.changed.set()


@workflow
async def converse() -> str:
    """Run the durable agent."""
    return (await durable.run("Look.", usage_limits=UNLIMITED)).output


@workflow
async def converse_and_wait() -> str:
    """Run the durable agent, and keep its messages while waiting."""
    result = await durable.run("Look.")
    await arrive()
    await go.receive()
    return result.output


async def cost_of_turns(directory: Path, runs: int, turns: int) -> Figures:
    """CPU and time of a turn: of bare agents, and of as many durable ones, all at once."""
    Script.turns = turns
    async with Engine.open(directory / "turns.db", retention=None) as engine:

        async def ours() -> None:
            started = [engine.start(converse()) for _ in range(runs)]
            for run in await asyncio.gather(*started):
                await run.result()

        bare_cpu, bare_seconds = await _cost(lambda: _converse(bare, runs), runs * turns)
        through_cpu, _ = await _cost(lambda: _converse(through, runs), runs * turns)
        cpu, seconds = await _cost(ours, runs * turns)
    return {
        "bare_cpu_ms": bare_cpu * 1e3,
        "interface_cpu_ms": through_cpu * 1e3,
        "bare_per_second": 1 / bare_seconds,
        "cpu_ms": cpu * 1e3,
        "per_second": 1 / seconds,
    }


async def _converse(agent: Agent[object, str], runs: int) -> None:
    await asyncio.gather(*(agent.run("Look.", usage_limits=UNLIMITED) for _ in range(runs)))


async def lateness_of_loop(directory: Path, runs: int, turns: int) -> Figures:
    """How late a ticker is beside agents that all begin at once: bare ones, and durable ones."""
    Script.turns = turns
    count = max(1, runs // 5)
    async with Engine.open(directory / "busy.db", retention=None) as engine:

        async def ours() -> None:
            started = [engine.start(converse()) for _ in range(count)]
            for run in await asyncio.gather(*started):
                await run.result()

        await _converse(bare, 1)
        bare_late = await _lateness_beside(_converse(bare, count))
        late = await _lateness_beside(ours())
    return {
        "bare_ticker_late_p99_ms": quantile(bare_late, 0.99) * 1e3,
        "ticker_late_p50_ms": quantile(late, 0.5) * 1e3,
        "ticker_late_p99_ms": quantile(late, 0.99) * 1e3,
    }


async def _lateness_beside(work: Coroutine[object, object, None]) -> list[float]:
    """Return by how many seconds each tick was late while something else was at work."""
    late: list[float] = []
    task = asyncio.create_task(work)
    while not task.done():
        due = time.perf_counter() + _TICK_SECONDS
        await asyncio.sleep(_TICK_SECONDS)
        late.append(time.perf_counter() - due)
    await task
    return late


async def _cost(work: Callable[[], Awaitable[None]], turns: int) -> tuple[float, float]:
    gc.collect()
    began, cpu_began = time.perf_counter(), time.process_time()
    await work()
    return (time.process_time() - cpu_began) / turns, (time.perf_counter() - began) / turns


async def growth_of_journal(directory: Path, runs: int, turns: int) -> Figures:
    """Bytes of the journal for a turn at the beginning and at the end of one long run."""
    del runs
    Script.turns = turns
    async with Engine.open(directory / "long.db") as engine:
        run = await engine.start(converse())
        await run.result()
        sizes = [
            len(record.stored.body)
            async for record in run.journal()
            if record.kind == "step_done" and record.stored is not None
        ]
    steps = 2 * _EDGE  # a request and a tool in each turn
    return {
        "first_bytes": sum(sizes[:steps]) / _EDGE,
        "last_bytes": sum(sizes[-steps - 1 : -1]) / _EDGE,
    }


async def resident_agents(directory: Path, runs: int, turns: int) -> Figures:
    """What agents cost that wait in memory, and how late steps are meanwhile."""
    Script.turns = turns
    async with Engine.open(directory / "here.db", live_runs_max=2 * runs + 1_000) as engine:
        await _start_waiting(engine, runs // 5)
        before = resident_bytes()
        await _start_waiting(engine, runs)
        memory = (resident_bytes() - before) / runs
        naps = [engine.run(nap_in_steps(_NAPS)) for _ in range(_SLEEPERS)]
        late = sorted(one for found in await asyncio.gather(*naps) for one in found)
    return {
        "resident_bytes": memory,
        "late_p50_ms": late[len(late) // 2] * 1e3,
        "late_p99_ms": late[int(len(late) * 0.99)] * 1e3,
        "nap_ms": NAP_SECONDS * 1e3,
    }


async def passivated_agents(directory: Path, runs: int, turns: int) -> Figures:
    """What agents cost that wait out of memory."""
    Script.turns = turns
    async with Engine.open(directory / "away.db", live_runs_max=50) as engine:
        await _start_waiting(engine, runs)
        before = resident_bytes()
        await _start_waiting(engine, runs)
        return {"passivated_bytes": (resident_bytes() - before) / runs}


async def bare_agents(directory: Path, runs: int, turns: int) -> Figures:
    """What bare agents cost that have had their turns, and wait with their messages."""
    del directory
    Script.turns = turns
    gate = asyncio.Event()

    async def wait() -> str:
        result = await bare.run("Look.")
        await gate.wait()
        return result.output

    async def begin(count: int) -> list[asyncio.Task[str]]:
        tasks = [asyncio.create_task(wait()) for _ in range(count)]
        await asyncio.sleep(count * turns * 0.02)
        gc.collect()
        return tasks

    tasks = await begin(runs // 5)
    before = resident_bytes()
    tasks += await begin(runs)
    memory = (resident_bytes() - before) / runs
    gate.set()
    await asyncio.gather(*tasks)
    return {"bare_bytes": memory}


async def speech(directory: Path, runs: int, turns: int) -> Figures:
    """How late a word of a streaming agent is heard, at a hundred words a second."""
    speeches, Script.words = max(1, runs // 100), 10 * turns
    first: list[float] = []
    later: list[float] = []
    records = 0
    async with Engine.open(directory / "speech.db") as engine:
        for _ in range(speeches):
            run = await engine.start(recite())
            late: list[float] = []
            async for event in run.stream(agent_events):
                late += _lateness(event.value)
            first.append(late[0])
            later += late[1:]
            records = max(records, len([r async for r in run.journal() if r.name == _EVENTS]))
    floor = CommitFloor(directory / "floor.db")
    commits = await floor.one_row_commits(Script.words)
    floor.close()
    return {
        "first_word_p50_ms": statistics.median(first) * 1e3,
        "paced_word_p50_ms": statistics.median(later) * 1e3,
        "paced_word_p99_ms": quantile(later, 0.99) * 1e3,
        "commit_p50_ms": statistics.median(commits) * 1e3,
        "stream_records": records,
    }


def _lateness(event: object) -> list[float]:
    """Return by how many seconds the words in an event of an agent are late."""
    if not is_dict(event) or event.get("event_kind") not in ("part_start", "part_delta"):
        return []  # the end of a part has all its words again
    said = [part.partition(" ")[0] for part in f"{event}".split("~")[1:]]
    return [(time.monotonic_ns() - int(word)) / 1e9 for word in said if word.isdigit()]


async def _start_waiting(engine: Engine, runs: int) -> None:
    for begun in range(0, runs, _START_TOGETHER):
        count = min(_START_TOGETHER, runs - begun)
        started = await asyncio.gather(*(engine.start(converse_and_wait()) for _ in range(count)))
        await Arrivals.wait(len(started))
    await asyncio.sleep(1.5)  # beyond the time by which a row may lag
    gc.collect()


MEASURES = {
    "turns": cost_of_turns,
    "busy": lateness_of_loop,
    "journal": growth_of_journal,
    "resident": resident_agents,
    "passivated": passivated_agents,
    "bare": bare_agents,
    "speech": speech,
}


def main(arguments: list[str]) -> None:
    """Measure, and print the figures as JSON."""
    what, directory, runs, turns = arguments
    found = run_loop(MEASURES[what](Path(directory), int(runs), int(turns)))
    sys.stdout.buffer.write(msgspec.json.encode(found))


if __name__ == "__main__":
    main(sys.argv[1:])
