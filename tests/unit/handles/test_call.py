"""Calls: each is used once, and says what to do outside of a run."""

from __future__ import annotations

import pytest

from outlast import Engine
from outlast.errors import (
    CallReused,
    NotInRun,
)
from tests.unit.engine import flows


async def test_a_call_is_used_once(engine: Engine) -> None:
    call = flows.sums(1)
    await engine.run(call)

    with pytest.raises(CallReused):
        await engine.run(call)


async def test_a_workflow_awaited_outside_a_run_says_what_to_do() -> None:
    with pytest.raises(NotInRun, match=r"engine\.run"):
        await flows.sums(1)


async def test_a_step_awaited_outside_a_run_is_its_function() -> None:
    assert await flows.add(1, 2) == 3
    assert await flows.blocking_add(1, 2) == 3


async def test_wrong_arguments_fail_where_they_are_written() -> None:
    with pytest.raises(TypeError):
        flows.sums()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]  # the point
