"""People answer while the process dies: what was taken counts, once, and nothing waits for ever."""

from __future__ import annotations

import random
import signal
from functools import partial
from pathlib import Path

import pytest

from outlast import Engine
from tests.crash.killing import begin_worker, kill_when_grown
from tests.crash.token_worker import RUNS, questions

begin = partial(begin_worker, "tests.crash.token_worker")


async def check(path: Path) -> None:
    """Check that rows, journals, results, and what people were told are the same story."""
    told = [line.split() for line in (path / "told").read_text().splitlines()]
    async with Engine.open(path / "outlast.db", read_only=True) as engine:
        tokens = {info.id: info async for info in engine.tokens(open_only=False)}
        assert len(tokens) == 2 * RUNS
        assert {info.status for info in tokens.values()} <= {"answered", "expired"}
        for token, who in told:
            assert tokens[token].by == who
        for n in range(RUNS):
            run = engine.get(f"run-{n}", questions)
            mine = [info for info in tokens.values() if info.run == run.id]
            by_title = {info.title: info.by for info in mine}
            assert await run.result() == [by_title["first?"], by_title["second?"]]
            heard = [r async for r in run.journal() if r.kind == "token_answered"]
            assert len(heard) == 2


def end(path: Path) -> None:
    """Let the worker come to its end."""
    last = begin(path)
    out, err = last.communicate(timeout=120)
    assert (last.returncode, out) == (0, "all done\n"), err


@pytest.mark.parametrize("moment", ["told", "recorded"])
async def test_an_answer_that_was_taken_survives_whoever_was_to_hear_of_it(
    tmp_path: Path, moment: str
) -> None:
    first = begin(tmp_path, moment)
    first.communicate(timeout=60)
    assert first.returncode == -signal.SIGKILL

    async with Engine.open(tmp_path / "outlast.db", read_only=True) as engine:
        taken = [info async for info in engine.tokens(open_only=False) if info.status == "answered"]
    assert taken

    end(tmp_path)
    await check(tmp_path)


async def test_kills_at_any_moment_lose_no_answer_and_give_none_twice(tmp_path: Path) -> None:
    chance = random.Random(12)
    told = tmp_path / "told"
    kills = sum(kill_when_grown(begin(tmp_path), told, chance.randint(2, 6)) for _ in range(8))
    assert kills > 4

    end(tmp_path)
    await check(tmp_path)
