"""A signal or an update to an actor is refused with what to do, never taken and dropped."""

from __future__ import annotations

import asyncio

import pytest

from outlast import Engine, Signal, Update
from outlast._messages.payloads import typed_payload
from outlast._store.rows import Message
from outlast.errors import UsageError
from outlast.types import RunId
from tests.unit.actors.busy import Busy, gates

shipped: Signal[int] = Signal("signals_to_actors_shipped", int)
priced: Update[int, int] = Update("signals_to_actors_priced", int, int)
_INSTEAD = r"is an actor: send it a message with ask\(\) or tell\(\) instead"


@pytest.mark.parametrize("is_at_work", [True, False])
async def test_a_signal_or_an_update_to_an_actor_is_refused(url: str, is_at_work: bool) -> None:
    gates[:] = [asyncio.Event()]
    async with Engine.open(url) as engine:
        busy = engine.actor(Busy, "a")
        await busy.ask(Busy.add, "first")
        if is_at_work:
            await busy.tell(Busy.wait)
        run = engine.get(busy.id)

        with pytest.raises(UsageError, match=_INSTEAD):
            await run.signal(shipped, 1)
        with pytest.raises(UsageError, match=_INSTEAD):
            await run.signal("signals_to_actors_shipped", 1)
        with pytest.raises(UsageError, match=_INSTEAD):
            await run.update(priced, 1)
        gates[0].set()


async def test_one_that_was_stored_by_an_engine_without_its_class_is_a_dead_letter(
    url: str,
) -> None:
    async with Engine.open(url) as engine:
        busy = engine.actor(Busy, "a")
        await busy.ask(Busy.add, "first")
        body = typed_payload(shipped.adapter, 1)
        message = Message(run=RunId(busy.id), kind="signal", name=shipped.name, body=body, at=1)

        await engine._core.messages._post(message)
        await busy.ask(Busy.add, "second")

        [letter] = [letter async for letter in engine.dead_letters()]
    assert letter.reason == "no_handler"
