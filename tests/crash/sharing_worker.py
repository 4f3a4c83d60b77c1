"""One of several processes that use a file: `python -m tests.crash.sharing_worker DB TOLD NAME`.

It does rounds until a file `NAME.stop` is there, and notes each one when it is acknowledged.
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass
from pathlib import Path

from outlast import Actor, Engine, Signal, actor, handler, step, workflow

heard = Signal("heard", str)


@step
async def doubled(n: int) -> int:
    return 2 * n


@workflow
async def job(n: int) -> int:
    return await doubled(n) + 1


@workflow
async def hears(name: str) -> list[str]:
    """Collect what is sent until an empty text comes."""
    texts = list[str]()
    while text := await heard.receive():
        texts.append(text)
    return texts


@dataclass
class Count:
    n: int = 0


@actor
class Tally(Actor[Count]):
    @handler
    async def add(self) -> int:
        self.state.n += 1
        return self.state.n

    @handler
    async def total(self) -> int:
        return self.state.n


async def main(db: Path, told: Path, name: str) -> None:
    async with Engine.open(db, share=True) as engine:
        with told.open("a", buffering=1) as notes:
            await engine.start(hears(name), id=f"hears-{name}")
            n = 0
            while not db.with_name(f"{name}.stop").exists():
                n += 1
                assert await engine.run(job(n), id=f"{name}-{n}") == 2 * n + 1
                await engine.get(f"hears-{name}").signal(heard, f"{n}")
                await engine.actor(Tally, name).tell(Tally.add)
                assert await engine.actor(Tally, f"{name}-asked").ask(Tally.add) == n
                notes.write(f"{name} {n}\n")


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]))
