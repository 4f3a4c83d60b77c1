"""Single bits that flip and files that are cut: what is read is right, or said to be damaged."""

from __future__ import annotations

import asyncio
import logging
import random
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import compress
from pathlib import Path

import pytest

from tests.crash.damaging import Refused, build, differences, fold, look

Damage = Callable[[random.Random, bytearray], None]


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Every flip logs what it found."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def flip(rng: random.Random, data: bytearray) -> None:
    # Most of a small file is zeros that mean nothing: four of five flips are of another byte.
    used = list(compress(range(len(data)), data))
    at = rng.choice(used) if used and rng.random() < 0.8 else rng.randrange(len(data))
    data[at] ^= 1 << rng.randrange(8)


def cut(rng: random.Random, data: bytearray) -> None:
    del data[rng.randrange(len(data)) :]


def copy(source: Path, target: Path) -> None:
    for file in target.parent.iterdir():
        file.unlink()
    for suffix in ("", "-wal", ".mark"):
        if source.with_name(source.name + suffix).exists():
            shutil.copy(f"{source}{suffix}", f"{target}{suffix}")


def outcomes(
    tmp_path: Path, damage: Damage, *, count: int, seed: int, in_log: bool = False
) -> Counter[str]:
    """Damage a database again and again, and count what came of it; fail on a wrong value."""
    source, place = tmp_path / "source.db", tmp_path / "work" / "outlast.db"
    place.parent.mkdir()
    (tmp_path / "built").mkdir()
    asyncio.run(build(tmp_path / "built" / "outlast.db", source))
    if not in_log:
        fold(source)
    copy(source, place)
    right = asyncio.run(look(place))
    assert not any(isinstance(value, Refused) for value in right.values())
    rng = random.Random(seed)
    counts: Counter[str] = Counter()
    for number in range(count):
        copy(source, place)
        file = place.with_name(place.name + "-wal") if in_log else place
        data = bytearray(file.read_bytes())
        damage(rng, data)
        file.write_bytes(data)
        seen = asyncio.run(look(place))
        wrong = differences(right, seen)
        assert not wrong, f"damage {number} of seed {seed}: {wrong}"
        counts["refused" if "open" in seen else "right" if seen == right else "damaged"] += 1
    return counts


@pytest.mark.crash
def test_no_flipped_bit_of_the_database_becomes_a_value(tmp_path: Path) -> None:
    counts = outcomes(tmp_path, flip, count=75, seed=1)

    assert counts["damaged"] > counts["refused"] > 0


@pytest.mark.crash
def test_no_flipped_bit_of_the_log_becomes_a_value(tmp_path: Path) -> None:
    outcomes(tmp_path, flip, count=25, seed=2, in_log=True)


@pytest.mark.crash
def test_no_truncation_loses_anything_silently(tmp_path: Path) -> None:
    counts = outcomes(tmp_path, cut, count=50, seed=3)

    assert counts["refused"] > 40


@pytest.mark.full
@pytest.mark.crash
@pytest.mark.parametrize("seed", [11, 12])
def test_of_a_thousand_flips_none_is_silent(tmp_path: Path, seed: int) -> None:
    outcomes(tmp_path, flip, count=1_000, seed=seed)


@pytest.mark.full
@pytest.mark.crash
def test_of_five_hundred_truncations_and_flips_of_the_log_none_is_silent(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    outcomes(tmp_path / "a", cut, count=500, seed=21)
    outcomes(tmp_path / "b", flip, count=300, seed=22, in_log=True)
