"""The engine process of the demo: what a service of yours would be. The demo kills it.

Run as `python -m outlast.demo.worker DB CATALOGUE [LIMIT]`. It ends when its standard input does,
so that it cannot outlive the demo, however that ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Callable
from pathlib import Path

from outlast.demo.job import SURVEY, Totals, survey
from outlast.engine import Engine, run_loop


async def work(db: str, catalogue: Path, limit: int | None) -> Totals:
    """Run the survey to its end: start it, or go on with the one that an earlier process began."""
    async with Engine.open(db) as engine:
        run = await engine.start(survey(catalogue, limit), id=SURVEY)
        return await run.result()


async def work_until_left_alone(db: str, catalogue: Path, limit: int | None) -> bool:
    """Work; stop cleanly when standard input ends. Return whether the work was done."""
    loop = asyncio.get_running_loop()
    working = asyncio.create_task(work(db, catalogue, limit))
    transport, _ = await loop.connect_read_pipe(lambda: _Watch(working.cancel), sys.stdin)
    with contextlib.suppress(asyncio.CancelledError):
        await working
    transport.close()
    return not working.cancelled()


class _Watch(asyncio.Protocol):
    def __init__(self, on_end: Callable[[], object]) -> None:
        self._on_end = on_end

    def eof_received(self) -> None:
        """Standard input has ended."""
        self._on_end()


def main(arguments: list[str]) -> int:
    """Return 0 when the survey is done, 1 when it was stopped before."""
    db, catalogue, *rest = arguments
    limit = int(rest[0]) if rest else None
    return 0 if run_loop(work_until_left_alone(db, Path(catalogue), limit)) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
