"""Journals replay the same: cut anywhere, under other hash seeds, on other Pythons."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from outlast import workflow
from outlast.errors import ReplayMismatch
from outlast.testing import Sim, replay
from tests.replay import programs

IS_FULL = os.environ.get("OUTLAST_TEST_FULL") == "1"
SEEDS = 1_000 if IS_FULL else 120
SHARED = 300 if IS_FULL else 40
PART = 40


def pythons() -> list[str]:
    """Return the Pythons that journals are carried between; ours is one of them."""
    others = os.environ.get("OUTLAST_OTHER_PYTHONS", "").split(":")
    return [sys.executable, *(p for p in others if p and p != sys.executable)]


@pytest.mark.parametrize("first", range(0, SEEDS, PART))
def test_random_programs_cut_by_crashes_replay_the_same(first: int) -> None:
    for seed in range(first, first + PART):
        records = asyncio.run(programs.journal_of(seed, crash=0.05))

        assert programs.divergence(records) is None, f"seed {seed}"


@pytest.mark.parametrize("writer", pythons())
def test_a_journal_replays_on_every_python_and_hash_seed(writer: str, tmp_path: Path) -> None:
    file = tmp_path / "journals"
    module = "tests.replay.programs"
    subprocess.run(
        [writer, "-m", module, "write", str(file), "5000", str(SHARED)],
        env={**os.environ, "PYTHONHASHSEED": "1"},
        check=True,
    )

    for reader in pythons():
        for hash_seed in ("2", "3"):
            result = subprocess.run(
                [reader, "-m", module, "check", str(file)],
                env={**os.environ, "PYTHONHASHSEED": hash_seed},
                capture_output=True,
                text=True,
                check=False,
            )
            assert result.returncode == 0, f"{writer} to {reader}: {result.stderr}"


@workflow
async def before(n: int) -> int:
    """What ran."""
    return await programs.draw("a", 10) + await programs.draw("b", n)


@workflow
async def other_step(n: int) -> int:
    """The same with a step in another place."""
    return await programs.draw.options(timeout="1m")("b", n) + await asyncio.sleep(1, 5)


@workflow
async def fewer(n: int) -> int:
    """The same with a step left out."""
    return await programs.draw("a", n)


@workflow
async def more(n: int) -> int:
    """The same with a step more."""
    return await before.fn(n) + await programs.draw("c", n)


async def test_a_journal_fits_its_own_code_and_no_other() -> None:
    async with Sim(seed=1) as sim:
        await sim.run(before(7), id="r")
        journal = await sim.journal("r")

    await replay(before, journal)
    for changed in (other_step, fewer, more):
        with pytest.raises(ReplayMismatch):
            await replay(changed, journal)


async def test_a_mismatch_names_both_operations_and_their_lines() -> None:
    async with Sim(seed=1) as sim:
        await sim.run(before(7), id="r")
        journal = await sim.journal("r")

    with pytest.raises(
        ReplayMismatch, match=r"draw' at 0#2 \(replay/test_replay.py:\d+\)"
    ) as raised:
        await replay(other_step, journal)

    assert "'timer' at 0#2 (replay/test_replay.py:" in raised.value.actual
