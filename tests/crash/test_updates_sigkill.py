"""Updates while the process dies: each is handled once, and everybody is told the same."""

from __future__ import annotations

import random
import signal
from functools import partial
from pathlib import Path

import pytest

from outlast import Engine
from tests.crash.killing import begin_worker, kill_when_grown
from tests.crash.update_worker import RUNS, THINGS, basket

begin = partial(begin_worker, "tests.crash.update_worker")


async def end_and_check(path: Path) -> None:
    """Let the worker come to its end; journals, results and what was told are one story."""
    last = begin(path)
    out, err = last.communicate(timeout=120)
    assert (last.returncode, out) == (0, "all done\n"), err
    told: dict[tuple[str, str], set[int]] = {}
    for line in (path / "told").read_text().splitlines():
        name, number, place = line.split()
        told.setdefault((name, number), set()).add(int(place))
    assert len(told) == RUNS * THINGS
    async with Engine.open(path / "outlast.db", read_only=True) as engine:
        for n in range(RUNS):
            run = engine.get(f"basket-{n}", basket)
            things = await run.result()
            assert sorted(things) == sorted(f"thing-{number}" for number in range(THINGS))
            for at, thing in enumerate(things, start=1):
                assert told[run.id, thing.removeprefix("thing-")] == {at}
            kinds = [record.kind async for record in run.journal()]
            assert kinds.count("update_accepted") == kinds.count("update_done") == THINGS


@pytest.mark.parametrize("moment", ["deliver_accepted", "deliver_done"])
async def test_an_update_goes_on_where_the_process_died(tmp_path: Path, moment: str) -> None:
    first = begin(tmp_path, moment)
    first.communicate(timeout=60)
    assert first.returncode == -signal.SIGKILL

    await end_and_check(tmp_path)


async def test_kills_at_any_moment_repeat_no_update(tmp_path: Path) -> None:
    chance = random.Random(13)
    told = tmp_path / "told"
    kills = sum(kill_when_grown(begin(tmp_path), told, chance.randint(4, 16)) for _ in range(8))
    assert kills > 4

    await end_and_check(tmp_path)
