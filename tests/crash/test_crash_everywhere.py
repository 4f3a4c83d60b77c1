"""A program of gather, timer, signal, child, retry and catch, killed at every journal record."""

from __future__ import annotations

from pathlib import Path

import pytest

from outlast.testing import Sim, crash_everywhere
from tests.crash.flows import everything, go, work


@pytest.fixture(autouse=True)
def effects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the steps their effects file."""
    monkeypatch.setenv("EFFECTS", str(tmp_path / "effects"))


@pytest.mark.parametrize("n", [0, 1, 2, 5])
async def test_killed_at_every_record_the_outcome_is_the_same(n: int) -> None:
    assert await crash_everywhere(everything(n), signals=[(go, n)]) == []


async def test_a_difference_is_reported() -> None:
    seen: list[int] = []

    async def forgetful(n: int) -> int:
        seen.append(n)
        return len(seen)

    differences = await crash_everywhere(everything(1), signals=[(go, 1)], fakes={work: forgetful})

    assert differences
    assert "killed after record" in differences[0]


async def test_sim_counts_effects_apart_from_executions() -> None:
    async with Sim(seed=7, crash=0.2) as sim:
        assert await sim.run(everything(2), signals=[(go, 5)])
        assert sim.crashes > 0
        assert sim.executions(work) >= sim.effects(work) == 4


async def test_the_same_seed_gives_the_same_history() -> None:
    async def history() -> str:
        async with Sim(seed=11, crash=0.1) as sim:
            await sim.run(everything(2), id="one", signals=[(go, 5)])
            return sim.trace

    assert await history() == await history()
