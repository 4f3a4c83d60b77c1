"""A run that is updated while it is killed at every journal record: the same story each time."""

from __future__ import annotations

import pytest

from outlast.testing import crash_everywhere
from tests.unit.execution.calls.carts import served, served_twice


@pytest.mark.parametrize("names", [[], ["tea"], ["tea", "tea", "cup", "cursed", "cup"]])
async def test_killed_at_every_record_updates_end_alike(names: list[str]) -> None:
    assert await crash_everywhere(served(names)) == []


async def test_killed_at_every_record_the_run_waits_for_its_handlers() -> None:
    assert await crash_everywhere(served_twice()) == []
