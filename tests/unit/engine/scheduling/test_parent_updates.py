"""A child that updates its parent, which waits for the child."""

from __future__ import annotations

import pytest

from outlast import CallCycle, Engine, Update, wf, workflow
from outlast.errors import RunFailed
from tests.unit.execution.calls.carts import served

told = Update("parent_updates_told", str, str)


@workflow(name="parent_updates.tells")
async def tells(parent: str) -> str:
    """Update the parent."""
    return await wf.get(parent).update(told, "half")


@workflow(name="parent_updates.parent")
async def parent(how: str) -> str:
    """Wait for a child that updates this run."""
    child = wf.start(tells(wf.run_id))
    if how == "no handler":
        return await child.result()

    @told.handler
    async def on_told(what: str) -> str:
        await wf.sleep(0.01)
        return f"{what} of it"

    return f"{await wf.get(child.id).result()}" if how == "by handle" else await child.result()


async def test_each_update_of_a_waiting_parent_is_answered(engine: Engine) -> None:
    items, got = await engine.run(served(["tea", "tea", "cursed"]))

    assert items == ["tea", "cursed"]
    assert got == ["1 r-tea", "UpdateRejected", "UpdateFailed"]


@pytest.mark.parametrize("how", ["by child", "by handle"])
async def test_a_parent_may_wait_for_its_child_in_each_way(engine: Engine, how: str) -> None:
    assert await engine.run(parent(how)) == "half of it"


async def test_an_update_that_its_waiting_parent_does_not_handle_is_refused(
    engine: Engine,
) -> None:
    with pytest.raises(RunFailed, match=CallCycle.__name__):
        await engine.run(parent("no handler"))
