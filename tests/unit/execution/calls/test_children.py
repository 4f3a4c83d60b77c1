"""Children of runs: what becomes of them with their parent, and of it with them."""

from __future__ import annotations

import pytest

from outlast import Engine, wf, workflow
from outlast.errors import (
    ChildFailed,
    RunCancelled,
    RunFailed,
    RunTerminated,
)
from tests.unit.engine import flows

_may_complete: list[bool] = []


@workflow
async def named_child() -> int:
    """Do a little."""
    return await flows.add(1, 2)


@workflow
async def parent_of_named() -> int:
    """Fail after the child, until it may complete."""
    child = wf.start(named_child(), id=f"{wf.run_id}-0")
    value = await child.result()
    if not _may_complete:
        raise ValueError("not yet")
    return value


async def test_a_failed_parent_starts_again_with_its_named_children(engine: Engine) -> None:
    _may_complete.clear()
    with pytest.raises(RunFailed, match="not yet"):
        await engine.run(parent_of_named(), id="parent", timeout="30s")
    _may_complete.append(True)

    assert await engine.run(parent_of_named(), id="parent", timeout="30s") == 3


@pytest.mark.parametrize(
    ("policy", "ends"), [("cancel", "cancelled"), ("terminate", "terminated"), ("abandon", None)]
)
async def test_children_follow_their_policy(engine: Engine, policy: str, ends: str | None) -> None:
    parent = await engine.start(flows.parent_of(0.4, policy))
    assert await parent.result() == "closed"
    kid = engine.get(f"{parent.id}-kid", flows.naps)

    if ends is None:
        assert await kid.result(timeout="30s") == "awake"
    else:
        with pytest.raises((RunCancelled, RunTerminated)):
            await kid.result(timeout="30s")
        assert (await kid.info()).status == ends
    assert (await kid.info()).parent == parent.id


async def test_a_failed_child_raises_child_failed_with_its_cause(engine: Engine) -> None:
    @workflow
    async def parent() -> str:
        try:
            await flows.fails("broken")
        except ChildFailed as error:
            return f"{type(error.cause).__name__}: {error.cause}"
        return "fine"

    assert "broken" in await engine.run(parent())
