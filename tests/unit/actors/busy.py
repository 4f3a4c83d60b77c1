"""An actor whose handlers wait, sleep and take steps, and mailboxes that are filled beforehand."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field

from outlast import Actor, Engine, actor, handler, step, this_step
from outlast._engine.open_engine import CoreOptions
from outlast._engine.opening import open_target, parse_url
from outlast._messages.envelopes import envelope_of
from outlast._registry import default_registry
from outlast._store.contract import Store


@dataclass
class Lines:
    lines: list[str] = field(default_factory=list[str])


gates: list[asyncio.Event] = []


@step
async def gate() -> None:
    """Wait until the test lets go."""
    await gates[0].wait()


@step
async def beats() -> None:
    """Say how far it is, and go on."""
    this_step().heartbeat("half way")
    await asyncio.sleep(10)


@step
async def large(size: int) -> str:
    """Return more than fits a row."""
    return "x" * size


@step
async def moment() -> None:
    """Take a moment outside."""


@actor(name="busy.Busy", mailbox=100_000)
class Busy(Actor[Lines]):
    @handler
    async def add(self, line: str) -> int:
        self.state.lines.append(line)
        return len(self.state.lines)

    @handler
    async def wait(self) -> None:
        await gate()

    @handler
    async def nap(self, times: int) -> None:
        for _ in range(times):
            await asyncio.sleep(0.01)

    @handler
    async def sleep(self, seconds: float) -> float:
        await asyncio.sleep(seconds)
        self.state.lines.append(f"slept {seconds}")
        return seconds

    @handler
    async def read(self, size: int) -> int:
        first = len(await large(size))
        await moment()
        return first + len(await large(size))

    @handler
    async def beat(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.05):
                await beats()

    @handler(read=True)
    async def all(self) -> list[str]:
        return self.state.lines


async def post(url: str, letters: list[tuple[str, str]]) -> None:
    """Put messages for `Busy` actors into a store while nobody executes them."""
    options = CoreOptions(recover=False, executes=False, retention_seconds=None, owns_process=False)
    opened = await open_target(parse_url(url, read_only=False), options, default_registry)
    assert opened.core is not None
    actors, registry = opened.core.actors, default_registry
    for key, line in letters:
        envelope = envelope_of(registry, "busy.Busy", key, "add", {"line": line}, timeout=None)
        await actors.tell(envelope)
    await opened.close(0)


async def store_class_of(url: str) -> type[Store]:
    """Return the class of the store that is behind an address."""
    async with Engine.open(url, recover=False) as engine:
        return type(engine._core.store)
