"""The world outside of machines that crash: people who ask until they are answered.

A test says who they are and what must hold in the end; here is what all of them need.
"""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable
from functools import cache
from typing import TypeVar

from outlast._codec import Bound
from outlast._engine.open_engine import CoreOptions, EngineCore
from outlast._engine.verbs.starts import StartRequest
from outlast._registry import WorkflowDefinition, default_registry
from outlast._store.rows import Message
from outlast.errors import EngineClosed, LeaseLost, StoreError
from outlast.testing.machines import FaultPlan, Machine, Yard

T = TypeVar("T")
Work = Callable[[EngineCore], Coroutine[object, object, T]]

SEEDS = range(60)
PART = 10
PASSING = (ConnectionError, StoreError, EngineClosed, LeaseLost)


class Outside(ABC):
    """People, and one or two machines with faults."""

    def __init__(self, seed: int, plan: FaultPlan, *, live_runs_max: int) -> None:
        options = CoreOptions(
            owns_process=False, retention_seconds=None, live_runs_max=live_runs_max
        )
        self.yard = Yard(
            seed, registry=default_registry, plan=plan, machines=1 + seed % 2, options=options
        )
        self.seen: Counter[str] = Counter()

    @abstractmethod
    async def people(self) -> None:
        """Do what people do, until all has come to its end."""

    @abstractmethod
    def check(self) -> None:
        """Fail unless all is as it must be."""

    async def main(self) -> None:
        """Start the machines, and let people come."""
        for machine in self.yard.machines:
            await self.yard.start(machine)
        await self.people()

    def machine(self) -> Machine:
        """Return one of the machines."""
        return self.yard.loop.rng.choice(self.yard.machines)

    async def until_done(self, work: Work[T]) -> T:
        """Ask some machine until one has done it."""
        while True:
            try:
                return await self.yard.attempt(work, self.machine())
            except PASSING:
                await asyncio.sleep(0.05)

    async def start(self, definition: WorkflowDefinition, run: str, *args: object) -> None:
        """Start a run."""
        request = StartRequest(definition=definition, bound=Bound(args, {}), id=run, request=run)
        await self.until_done(lambda core: core.start(request))

    async def send(self, message: Message) -> None:
        """Send a message to a run."""
        await self.until_done(lambda core: core.send(message))


def play(outside: Outside, seed: int) -> Counter[str]:
    """Play it, check it, and say what happened."""
    logging.getLogger("outlast").setLevel(logging.CRITICAL)
    yard = outside.yard
    try:
        yard.run(outside.main)
        outside.check()
    except BaseException as error:
        error.add_note(f"seed {seed}")
        raise
    finally:
        yard.dispose()
    crashes = sum(machine.crashes for machine in yard.machines)
    passivated = sum(events.runs_passivated for events in yard.events)
    return outside.seen + Counter(crashes=crashes, passivated=passivated)


def play_first(world: Callable[[int], Outside], count: int) -> Counter[str]:
    """Play the parts that hold the first seeds, so many, and say what happened in all of them."""
    return sum((play_part(world, first) for first in range(0, count, PART)), Counter[str]())


@cache
def play_part(world: Callable[[int], Outside], first: int) -> Counter[str]:
    """Play the seeds of a part, once for all tests of it, and say what happened in them."""
    return play_all(world, SEEDS[first : first + PART])


def play_all(world: Callable[[int], Outside], seeds: Iterable[int] = SEEDS) -> Counter[str]:
    """Play seeds, and say what happened in all of them."""
    return sum((play(world(seed), seed) for seed in seeds), Counter[str]())
