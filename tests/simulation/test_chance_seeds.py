"""Workflow code that decides by chance, under crashes and jumping clocks: replay decides alike."""

from __future__ import annotations

import asyncio
import os
import random
import uuid
from collections.abc import Callable

import pytest
from typing_extensions import override

from outlast import Retry, step, wf, workflow
from outlast._execution.loop import chance
from outlast.testing.machines import FaultPlan
from outlast.testing.replaying import replay_end
from outlast.types import CLOSED_STATUSES
from tests.simulation.invariants import journal_of
from tests.simulation.outside import Outside, play_all

RUNS = 4


@step(name="sim.drawn", retry=Retry(attempts=3, first="10ms"))
async def drawn(text: str) -> str:
    """Take a while."""
    await asyncio.sleep(0.05)
    return text


@workflow(name="sim.gambler")
async def gambler(n: int) -> list[str]:
    """Throw dice for what to do, in several tasks at once."""

    async def player() -> str:
        told = ""
        for _ in range(random.randint(1, 4)):
            match random.choice(("step", "sleep", "bytes", "id", "seeded", "own")):
                case "step":
                    told += await drawn(f"{random.gauss(0, 1):.9f}")
                case "sleep":
                    await asyncio.sleep(random.random())
                case "bytes":
                    told += await drawn(os.urandom(4).hex())
                case "id":
                    told += await drawn(str(uuid.uuid4()))
                case "seeded":
                    told += await drawn(f"{random.Random().random():.9f}")
                case _:
                    told += await drawn(f"{wf.random().random():.9f}")
        return told

    players = [player() for _ in range(random.randint(2, 4))]
    random.shuffle(players)
    return list(await asyncio.gather(*players))


class Casino(Outside):
    """Somebody who starts runs, and looks whether each came to its end and replays alike."""

    def __init__(self, seed: int) -> None:
        plan = FaultPlan(crash=0.05, fails=0.02, silent=0.02, pauses=0.004, jumps=0.01)
        super().__init__(seed, plan, live_runs_max=2)

    @override
    async def people(self) -> None:
        for n in range(RUNS):
            await self.start(gambler.definition, f"run-{n}", n)
        rows = self.yard.database.rows
        while any(  # noqa: ASYNC110  # virtual time
            row.status not in (*CLOSED_STATUSES, "parked") for row in rows.values()
        ):
            await asyncio.sleep(1)

    @override
    def check(self) -> None:
        for row in self.yard.database.rows.values():
            is_poisonous = row.parked_as == "suspect"  # chance may blame an innocent one
            assert row.status == "completed" or is_poisonous, f"{row.id}: {row.waiting_for}"
            records = journal_of(self.yard.database, row.id)
            mismatch = replay_end(gambler.definition, records)
            assert mismatch is None, f"{row.id} replays differently: {mismatch}"
            self.seen["draws"] += sum(record.kind == "step_done" for record in records)


def test_code_that_draws_replays_alike() -> None:
    seen = play_all(Casino)

    assert seen["crashes"] > 20
    assert seen["passivated"] > 20
    assert seen["draws"] > 500


def test_chance_of_the_process_would_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A planted bug: workflow code draws from the process, and not from its run."""
    nothing: Callable[[str], random.Random | None] = lambda _: None  # noqa: E731  # as it is named
    monkeypatch.setattr(chance, "run_source", nothing)

    with pytest.raises(AssertionError):
        play_all(Casino, range(10))
