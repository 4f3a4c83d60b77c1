"""What an engine does to the garbage collector of its process, and takes back."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from outlast import Engine, limits
from outlast._engine.scheduling.latency import GarbagePolicy


@pytest.fixture(autouse=True)
def _nothing_frozen(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(GarbagePolicy, "_is_left_to_program", False)
    gc.unfreeze()
    yield
    gc.freeze()  # as the session had it


async def test_what_exists_is_frozen_while_an_engine_is_open() -> None:
    before = gc.get_threshold()
    async with Engine.open("memory://garbage-first"):
        assert gc.get_freeze_count() > 10_000
        assert gc.get_threshold() == limits.GC_THRESHOLDS
        async with Engine.open("memory://garbage-second"):
            pass
        assert gc.get_freeze_count() > 10_000

    assert gc.get_freeze_count() == 0
    assert gc.get_threshold() == before


async def test_what_the_program_froze_itself_stays_frozen_and_nothing_is_added() -> None:
    gc.freeze()
    frozen = gc.get_freeze_count()
    async with Engine.open("memory://garbage-program"):
        # Some of them may have been freed since.
        assert frozen / 2 < gc.get_freeze_count() <= frozen

    assert frozen / 2 < gc.get_freeze_count() <= frozen


async def test_frozen_objects_are_counted_until_the_program_has_some(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    counts: list[int] = []
    count = gc.get_freeze_count

    def counted() -> int:
        counts.append(count())
        return counts[-1]

    monkeypatch.setattr(gc, "get_freeze_count", counted)
    for froze in (False, True, True):
        if froze:
            gc.freeze()
        async with Engine.open("memory://"):
            pass

    assert len(counts) == 2
