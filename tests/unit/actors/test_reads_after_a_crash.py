"""What a reading handler answers while its actor waits in the midst of a message."""

from __future__ import annotations

from dataclasses import dataclass

from outlast import Actor, actor, handler, wf
from outlast.testing import Sim


@dataclass
class Held:
    """How many messages have ended."""

    count: int = 0


@actor(name="reads.holder")
class Holder(Actor[Held]):
    """Waits for a person in each message."""

    @handler
    async def hold(self) -> None:
        await wf.approve("Go on?")
        self.state.count += 1

    @handler(read=True)
    async def count(self) -> int:
        return self.state.count


async def test_an_actor_answers_readers_while_it_waits_also_after_a_crash() -> None:
    async with Sim(seed=3, slow=0.0) as sim:
        holder = sim.engine.actor(Holder, "one")
        await holder.tell(Holder.hold)
        await sim.advance(1)
        before = await holder.options(timeout="10s").ask(Holder.count)

        sim.crash()
        await sim.advance(5)
        after = await holder.options(timeout="10s").ask(Holder.count)

    assert (before, after) == (0, 0)
