"""One seed of counters and registers in actors: is what their clients saw linearisable?

Clients ask concurrently while machines crash and lose leases. An operation that is asked again
under its dedup key until it is answered is one operation. One whose client gave up, or whose
deadline passed on the way, is pending for ever: it may have taken effect or may do so yet.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from typing import TypeAlias

from typing_extensions import override

from outlast import step
from outlast._actors import Actor, actor, handler
from outlast._engine.open_engine import EngineCore
from outlast._messages.envelopes import Envelope
from outlast._registry import default_registry
from outlast.errors import AskTimeout, HandlerFailed
from tests.simulation.invariants import Violated, require
from tests.simulation.linearise import (
    CELL,
    Add,
    CellInput,
    Get,
    Operation,
    Swap,
    Write,
    find_order,
)
from tests.simulation.scenario import PASSING, Report, Scenario, busy_rows, play, print_seeds

_KEYS = ("counter", "register", "mixed")
_OPERATIONS = 6


@dataclass
class Number:
    """What a cell holds."""

    value: int = 0


@step
async def ponder(number: int) -> int:
    """Take a moment outside, between a look at the state and its change."""
    await asyncio.sleep(0.05)
    return number


@actor(name="sim.Cell")
class Cell(Actor[Number]):
    """A counter and a register."""

    @handler
    async def add(self, amount: int) -> int:
        self.state.value += amount
        return self.state.value

    @handler
    async def add_slowly(self, amount: int) -> int:
        before = self.state.value
        self.state.value = before + await ponder(amount)
        await asyncio.sleep(0.1)
        return self.state.value

    @handler
    async def write(self, value: int) -> int:
        self.state.value = value
        return value

    @handler
    async def swap(self, expected: int, value: int) -> int:
        if self.state.value != expected:
            return 0
        self.state.value = await ponder(value)
        return 1

    @handler
    async def get(self) -> int:
        return self.state.value

    @handler(read=True)
    async def peek(self) -> int:
        return self.state.value

    @handler
    async def refuse(self, value: int) -> int:
        """Change the state, and then raise: nothing of it may be seen."""
        self.state.value = await ponder(value)
        raise ValueError("refused")


_definition = default_registry.find_actor(Cell)


class CellScenario(Scenario):
    """The machines and faults of a seed; the clients ask cells and note what they see."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.histories: dict[str, list[Operation[CellInput, int]]] = {key: [] for key in _KEYS}

    @override
    async def client(self, number: int) -> None:
        """One client's life: operations on all cells, one after another."""
        chance = random.Random(f"cells {self.seed} {number}")
        await asyncio.sleep(self.rng.random() * 3)
        for count in range(_OPERATIONS):
            key = chance.choice(_KEYS)
            asked, message, args = _choose(key, chance)
            found = _definition.handlers[message]
            envelope = Envelope(
                _definition,
                key,
                found,
                found.signature.encode(found.signature.bind(args, {})),
                timeout=chance.choice((None, None, None, 0.5)),
                dedup=f"c{number}-{count}",
            )
            await self._operate(envelope, asked, patience=chance.choice((None, None, 0.2)))
            await asyncio.sleep(self.rng.random() * self.rng.choice((0.01, 0.1, 3)))

    async def _operate(
        self, envelope: Envelope, asked: CellInput, *, patience: float | None
    ) -> None:
        """Ask once, or without `patience` until there is an answer; note what was seen."""

        async def ask(core: EngineCore) -> bytes:
            return await core.actors.ask(envelope)

        called = self.yard.client.now()
        output: int | None = None
        try:
            if patience is None:
                data = await self._call(ask)
            else:
                machine = self.rng.choice(self.yard.machines)
                data = await asyncio.wait_for(self.yard.attempt(ask, machine), patience)
        except HandlerFailed as failed:
            was_meant = envelope.handler.name == "refuse"
            require(was_meant, f"a handler failed: {failed} {failed.traceback}")
            return  # it has had no effect
        except (*PASSING, AskTimeout, TimeoutError) as error:
            is_given_up = isinstance(error, AskTimeout) and error.is_final
            if envelope.handler.name == "refuse" or is_given_up:
                return
        else:
            output = int(str(envelope.handler.signature.returns.decode(data)))
        returned = None if output is None else self.yard.client.now()
        self.histories[envelope.key].append(Operation(asked, called, output, returned))

    @override
    def _open(self) -> list[str]:
        return busy_rows(self.yard.database)

    @override
    def check(self) -> None:
        """Every cell's history is linearisable."""
        require(not self.observer.violations, "; ".join(self.observer.violations[:3]))
        unexpected = [d for d in self.yard.database.dead(None, 0, 1_000) if d.reason != "expired"]
        require(not unexpected, f"dead letters: {unexpected[:3]}")
        for key, history in self.histories.items():
            if find_order(CELL, history) is None:
                lines = sorted(history, key=lambda operation: operation.called)
                seen = "\n".join(f"  {_describe(operation)}" for operation in lines)
                raise Violated(f"what clients saw of {key!r} is not linearisable:\n{seen}")


_Choice: TypeAlias = tuple[CellInput, str, tuple[int, ...]]


def _choose(key: str, chance: random.Random) -> _Choice:
    """Return an operation, and the message and arguments that ask for it."""
    amount, expected = chance.randint(1, 3), chance.randint(0, 3)
    additions: list[_Choice] = [
        (Add(amount), "add", (amount,)),
        (Add(amount), "add_slowly", (amount,)),
    ]
    writes: list[_Choice] = [
        (Write(amount), "write", (amount,)),
        (Swap(expected, amount), "swap", (expected, amount)),
        (Swap(expected, amount), "swap", (expected, amount)),
    ]
    reads: list[_Choice] = [(Get(), "get", ()), (Get(), "peek", ()), (Get(), "refuse", (99,))]
    changes = {"counter": additions, "register": writes, "mixed": additions + writes}[key]
    return chance.choice([*changes, *changes, *reads])


def _describe(operation: Operation[CellInput, int]) -> str:
    end = "never" if operation.returned is None else f"{operation.returned / 1e6:.6f}"
    return f"{operation.called / 1e6:.6f} to {end}: {operation.input} gave {operation.output}"


def run_cell_seed(seed: int) -> Report:
    """Run one seed and check what its clients saw.

    Raises:
        Violated: with the seed and the history that no order explains.
    """
    return play(CellScenario(seed), "tests.simulation.cells")


if __name__ == "__main__":
    print_seeds(run_cell_seed)
