"""The profiles by name, and the process in which one is measured.

Run as `python -m outlast.bench.profiles.table PROFILE SIZE DIRECTORY`: each profile has a process
of its own, so that none is measured in a heap that another has filled.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Coroutine
from pathlib import Path

import msgspec

from outlast.bench.profiles.actors import actors
from outlast.bench.profiles.agents import agents
from outlast.bench.profiles.answers import signal, start
from outlast.bench.profiles.growth import growth
from outlast.bench.profiles.latency import latency
from outlast.bench.profiles.overload import overload
from outlast.bench.profiles.parallel import parallel
from outlast.bench.profiles.rates import concurrent, sequential
from outlast.bench.profiles.recovery import recovery
from outlast.bench.profiles.waiting import passivated
from outlast.bench.result import Result
from outlast.bench.sizes import SIZES, SizeName, Sizes, size_named
from outlast.bench.web import http, stream
from outlast.engine import run_loop

Profile = Callable[[Path, Sizes, Callable[[str], None]], Coroutine[object, object, Result]]

PROFILES: dict[str, Profile] = {
    "sequential": sequential,
    "concurrent": concurrent,
    "growth": growth,
    "start": start,
    "signal": signal,
    "passivated": passivated,
    "recovery": recovery,
    "latency": latency,
    "parallel": parallel,
    "actors": actors,
    "agents": agents,
    "http": http,
    "stream": stream,
    "overload": overload,
}


def measure(name: str, size: SizeName, directory: Path) -> Result:
    """Measure one profile in this process."""

    def note(text: str) -> None:
        if sys.stderr.isatty():
            print(f"\r\x1b[K{name}: {text}", end="", file=sys.stderr, flush=True)

    try:
        return run_loop(PROFILES[name](directory, SIZES[size], note))
    finally:
        if sys.stderr.isatty():
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def main(arguments: list[str]) -> None:
    """Measure, and print the result as JSON."""
    name, size, directory = arguments
    result = measure(name, size_named(size), Path(directory))
    sys.stdout.buffer.write(msgspec.json.encode(result))


if __name__ == "__main__":
    main(sys.argv[1:])
