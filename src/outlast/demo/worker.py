"""The engine process of the demo: what a service of yours would be. The demo kills it.

Run as `python -m outlast.demo.worker DB CATALOGUE PORT [LIMIT]`. It serves HTTP and the dashboard,
and ends when its standard input does, so that it cannot outlive the demo, however that ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from outlast._handles.run import Run
from outlast._server.access import Access
from outlast._server.codes import SignInCodes
from outlast._server.guard import Addresses
from outlast._server.serving import Serving
from outlast._server.tcp import listen
from outlast._server.tokenfile import TokenFile
from outlast.demo.digest import DIGEST, SUMMARIES, Digest, digest, summary
from outlast.demo.effects import CODE
from outlast.demo.job import SURVEY, survey
from outlast.engine import Engine, run_loop

_GRACE_SECONDS = 5.0
_FIRST_WORD_SECONDS = 5.0


async def work(db: Path, catalogue: Path, port: int, limit: int | None) -> None:
    """Serve, and start both jobs or go on with those that an earlier process began."""
    listener = listen("127.0.0.1", port)
    tokens = TokenFile(token_file(db))
    codes = SignInCodes(tokens.admin(), time.monotonic)
    codes.add(os.environ[CODE])
    access = Access(tokens, time.monotonic, codes)
    async with Engine.open(db) as engine:
        serving = Serving(engine, access, Addresses.of("127.0.0.1", port), listener)
        loop = asyncio.get_running_loop()
        transport, _ = await loop.connect_read_pipe(lambda: _Watch(serving.stop), sys.stdin)
        said = await engine.start(digest(SUMMARIES, limit), id=DIGEST)
        starting = asyncio.create_task(_start_survey(engine, said, catalogue, limit))
        await serving.run(
            on_ready=lambda: None, grace_seconds=_GRACE_SECONDS, handles_signals=False
        )
        starting.cancel()
        transport.close()


async def _start_survey(
    engine: Engine, said: Run[Digest], catalogue: Path, limit: int | None
) -> None:
    """Start the survey once the model speaks: the survey takes every processor there is."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_FIRST_WORD_SECONDS):
            async for _ in said.stream(summary):
                break
    await engine.start(survey(catalogue, limit), id=SURVEY)


def token_file(db: Path) -> Path:
    """Return where the token of the demo's server is kept."""
    return db.with_name(f"{db.stem}-token")


class _Watch(asyncio.Protocol):
    def __init__(self, on_end: Callable[[], object]) -> None:
        self._on_end = on_end

    def eof_received(self) -> None:
        """Standard input has ended."""
        self._on_end()


def main(arguments: list[str]) -> None:
    """Work until standard input ends."""
    db, catalogue, port, *rest = arguments
    run_loop(work(Path(db), Path(catalogue), int(port), int(rest[0]) if rest else None))


if __name__ == "__main__":
    main(sys.argv[1:])
