"""Real processes, killed at seeded moments: nothing lost, nothing stuck, nothing run again."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from outlast import Engine
from tests.crash.flows import everything

IS_FULL = os.environ.get("OUTLAST_TEST_FULL") == "1"
RUNS = 500 if IS_FULL else 120
KILLS = 100 if IS_FULL else 15


def begin(db: Path, effects: Path, live: int) -> subprocess.Popen[str]:
    """Start the worker."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.crash.worker", str(db), str(RUNS), str(live)],
        env={**os.environ, "EFFECTS": str(effects)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def kill_after(worker: subprocess.Popen[str], seconds: float) -> bool:
    """Kill the worker, unless it ends before; say whether it was killed."""
    try:
        worker.wait(seconds)
    except subprocess.TimeoutExpired:
        worker.send_signal(signal.SIGKILL)
        worker.communicate()
        return True
    worker.communicate()
    return False


@pytest.mark.parametrize("live", [10_000, 20], ids=["resident", "passivating"])
async def test_kills_at_any_moment_lose_nothing_and_repeat_no_record(
    tmp_path: Path, live: int
) -> None:
    db, effects = tmp_path / "outlast.db", tmp_path / "effects"
    chance = random.Random(live)
    kills = 0
    for _ in range(KILLS):
        # From the first moments of start-up, and creation of the file, to the midst of the work.
        worker = begin(db, effects, live)
        if not kill_after(worker, chance.choice((0.15, 0.3, 0.6)) * (0.5 + chance.random())):
            break
        kills += 1
    last = begin(db, effects, live)
    out, err = last.communicate(timeout=180)
    assert kills >= KILLS // 2
    assert last.returncode == 0, err
    assert out == "all done\n"

    done_keys: Counter[str] = Counter()
    async with Engine.open(db, read_only=True) as engine:
        infos = [info async for info in engine.runs("")]
        for info in infos:
            records = [record async for record in engine.get(info.id).journal()]
            assert [r.seq for r in records] == list(range(1, len(records) + 1))
            done_keys.update(f"{info.id}/{r.key}" for r in records if r.kind == "step_done")
        results = [await engine.get(f"run-{n}", everything).result() for n in range(RUNS)]
    assert {info.status for info in infos} == {"completed"}
    assert len(infos) == 2 * RUNS
    assert all(count == 1 for count in done_keys.values())
    for n, result in enumerate(results):
        odd = n if n % 2 == 0 else "odd"
        assert result == [n + 1, n + 2, n, n, n + 1, odd, "b"]
    attempts = Counter(tuple(line.split()[:2]) for line in effects.read_text().splitlines())
    assert {key for key, _ in attempts} == set(done_keys)
    # An attempt runs again only when its process died while it was in flight.
    assert max(attempts.values()) <= KILLS + 1


def test_a_clean_stop_leaves_nothing_to_recover(tmp_path: Path) -> None:
    db, effects = tmp_path / "outlast.db", tmp_path / "effects"
    worker = begin(db, effects, 10_000)
    out, err = worker.communicate(timeout=120)

    assert (worker.returncode, out) == (0, "all done\n"), err
    before = effects.read_text()
    began = time.monotonic()
    again = begin(db, effects, 10_000)
    assert again.communicate(timeout=120)[0] == "all done\n"
    assert effects.read_text() == before
    assert time.monotonic() - began < 120
