"""The process that is killed: opens the store, starts runs that are not there, waits for all."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from outlast import Engine
from outlast.engine import run_loop
from tests.crash.flows import everything, go


async def main(db: Path, runs: int, live: int) -> None:
    """Bring all runs to their end."""
    async with Engine.open(db, live_runs_max=live) as engine:

        async def one(n: int) -> None:
            run = await engine.start(everything(n), id=f"run-{n}")
            await run.signal(go, n, dedup="go") if (await run.info()).closed_at is None else None
            await run.result()

        await asyncio.gather(*(one(n) for n in range(runs)))
    sys.stdout.write("all done\n")


if __name__ == "__main__":
    run_loop(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
