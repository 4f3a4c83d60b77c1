"""One seed of actors: machines crash and lose leases while clients write to them.

Each sender numbers its messages and sends the next when the one before is acknowledged, again and
again under one dedup key until it is. In the end every actor must have each acknowledged message
once, those of one sender in order.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field
from unittest import mock

from outlast import limits, step, wf
from outlast._engine.open_engine import EngineCore
from outlast._execution.envelopes import Envelope
from outlast._registry import default_registry
from outlast.actor import Actor, actor, handler
from outlast.errors import HandlerFailed
from outlast.types import RunId
from tests.simulation.invariants import Violated, require
from tests.simulation.scenario import Scenario, busy_rows, play, print_seeds

_KEYS = ("a", "b", "c")
_MESSAGES = 4


@dataclass
class Seen:
    """The messages that an actor has handled: (sender, number)."""

    messages: list[tuple[str, int]] = field(default_factory=list[tuple[str, int]])
    forwarded: int = 0


@step
async def think(number: int) -> int:
    """Take a moment outside."""
    await asyncio.sleep(0.05)
    return number


@actor(name="sim.Counter")
class Counter(Actor[Seen]):
    """Notes what it gets."""

    @handler
    async def plain(self, sender: str, number: int) -> int:
        """Change the state at once."""
        self.state.messages.append((sender, number))
        return len(self.state.messages)

    @handler
    async def slow(self, sender: str, number: int) -> int:
        """Change the state around a step and a timer."""
        await think(number)
        self.state.messages.append((sender, number))
        await asyncio.sleep(0.2)
        return len(self.state.messages)

    @handler
    async def forward(self, sender: str, number: int) -> int:
        """Tell another actor, with the commit of this message."""
        self.state.messages.append((sender, number))
        self.state.forwarded += 1
        other = wf.actor(Counter, f"{self.key}-next")
        await other.tell(Counter.plain, f"{self.key} for {sender}", number)
        return len(self.state.messages)

    @handler
    async def relay(self, sender: str, number: int) -> int:
        """Ask another actor, and wait for its answer."""
        other = wf.actor(Counter, f"{self.key}-last")
        await other.ask(Counter.plain, f"{self.key} for {sender}", number)
        self.state.messages.append((sender, number))
        return len(self.state.messages)


_HANDLERS = (Counter.plain, Counter.slow, Counter.forward, Counter.relay)
_definition = default_registry.find_actor(Counter)


class ActorScenario(Scenario):
    """The machines and faults of a seed, with senders in the place of other clients."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.acknowledged: dict[str, list[tuple[str, int]]] = {}
        self.mail_max = random.Random(f"mail {seed}").choice((2, 3, 10_000))

    async def client(self, number: int) -> None:
        """One sender's life: messages to every actor, each safe before the next."""
        chance = random.Random(f"client {self.seed} {number}")
        sender = f"s{number}"
        await asyncio.sleep(self.rng.random() * 10)
        for count in range(_MESSAGES):
            key = chance.choice(_KEYS)
            message = chance.choice(_HANDLERS)
            found = _definition.handlers[message.__name__]
            envelope = Envelope(
                _definition,
                key,
                found,
                found.signature.encode(found.signature.bind((sender, count), {})),
                dedup=f"{sender}-{count}",
            )
            await self._deliver(envelope, asks=chance.random() < 0.5)
            self.acknowledged.setdefault(key, []).append((sender, count))
            if message is Counter.forward:
                self.acknowledged.setdefault(f"{key}-next", []).append(
                    (f"{key} for {sender}", count)
                )
            if message is Counter.relay:
                self.acknowledged.setdefault(f"{key}-last", []).append(
                    (f"{key} for {sender}", count)
                )
            await asyncio.sleep(self.rng.random() * self.rng.choice((0.01, 0.1, 3)))

    async def _deliver(self, envelope: Envelope, *, asks: bool) -> None:
        async def ask(core: EngineCore) -> None:
            await core.actors.ask(envelope)

        async def tell(core: EngineCore) -> None:
            await core.actors.tell(envelope)

        try:
            await self._call(ask if asks else tell)
        except HandlerFailed as failed:
            raise Violated(f"a handler failed: {failed} {failed.traceback}") from failed

    def _open(self) -> list[str]:
        database = self.yard.database
        missing = [
            key for key in self.acknowledged if RunId(f"sim.Counter/{key}") not in database.rows
        ]
        return busy_rows(database) + missing

    def check(self) -> None:
        """Every acknowledged message was handled once, those of one sender in order."""
        require(not self.observer.violations, "; ".join(self.observer.violations[:3]))
        database = self.yard.database
        require(not database.dead(None, 0, 10), f"dead letters: {database.dead(None, 0, 10)}")
        for row in database.rows.values():
            key = row.id.partition("/")[2]
            state = _definition.state.decode(row.output or b"")
            messages = state.messages if isinstance(state, Seen) else []
            require(
                sorted(messages) == sorted(self.acknowledged.get(key, [])),
                f"{row.id} has {messages}, acknowledged {self.acknowledged.get(key)}",
            )
            for sender in {sender for sender, _ in messages}:
                numbers = [n for s, n in messages if s == sender]
                require(numbers == sorted(numbers), f"{row.id}: {sender} out of order: {numbers}")


def run_actor_seed(seed: int) -> int:
    """Run one seed and check everything; return how often machines crashed.

    Raises:
        Violated: with the seed and what does not hold.
    """
    scenario = ActorScenario(seed)
    with (
        mock.patch.object(limits, "ACTOR_MAIL_MAX", scenario.mail_max),
        mock.patch.object(limits, "MAILBOX_READ_MAX", max(2, scenario.mail_max // 2)),
    ):
        return play(scenario, "tests.simulation.actors").crashes


if __name__ == "__main__":
    print_seeds(run_actor_seed)
