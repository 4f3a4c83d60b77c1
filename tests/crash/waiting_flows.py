"""A workflow that waits until it is told to go on, and what fills a disk."""

from __future__ import annotations

from pathlib import Path

from outlast import Signal, workflow

go = Signal("go", int)


@workflow
async def waits(n: int) -> int:
    """Wait for a number and add it."""
    return n + await go.receive()


def fill(disk: Path) -> Path:
    """Take all the space that is left."""
    filler = disk / "filler"
    with filler.open("ab", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4_096))
        except OSError:
            return filler
