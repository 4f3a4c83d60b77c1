"""The engine process of the demo: what a service of yours would be. The demo kills it.

Run as `python -m outlast.demo.worker DB PORT MODULE...`. It serves HTTP and the dashboard,
prints a line when it does, and ends when its standard input does, so that it cannot outlive the
demo, however that ends.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from outlast._server.access import Access
from outlast._server.codes import SignInCodes
from outlast._server.guard import Addresses
from outlast._server.serving import Serving
from outlast._server.tcp import listen
from outlast._server.tokenfile import TokenFile
from outlast.demo.manual import MANUAL, write_manual
from outlast.demo.stage import CODE, Files
from outlast.engine import Engine, run_loop

_GRACE_SECONDS = 5.0


async def work(files: Files, port: int, modules: Sequence[str]) -> None:
    """Serve, and start the manual or go on with the one that an earlier process began."""
    listener = listen("127.0.0.1", port)
    tokens = TokenFile(files.tokens)
    codes = SignInCodes(tokens.admin(), time.monotonic)
    codes.add(os.environ[CODE])
    access = Access(tokens, time.monotonic, codes)
    async with Engine.open(files.db) as engine:
        serving = Serving(engine, access, Addresses.of("127.0.0.1", port), listener)
        loop = asyncio.get_running_loop()
        transport, _ = await loop.connect_read_pipe(lambda: _Watch(serving.stop), sys.stdin)
        await engine.start(write_manual(list(modules), files.folder), id=MANUAL)
        await serving.run(
            on_ready=lambda: print("ready", flush=True),
            grace_seconds=_GRACE_SECONDS,
            handles_signals=False,
        )
        transport.close()


class _Watch(asyncio.Protocol):
    def __init__(self, on_end: Callable[[], object]) -> None:
        self._on_end = on_end

    def eof_received(self) -> None:
        """Standard input has ended."""
        self._on_end()


def main(arguments: list[str]) -> None:
    """Work until standard input ends."""
    db, port, *modules = arguments
    run_loop(work(Files(Path(db)), int(port), modules))


if __name__ == "__main__":
    main(sys.argv[1:])
