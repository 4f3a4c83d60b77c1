"""What the running executable was built with, where `outlast build` made it.

The executable carries no source text, so what is computed from source text is carried instead: the
versions of its workflows. A run that a program started from source goes on in an executable of the
same code, and the other way round.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

FILE = "outlast-built.json"
WORKER_ARGUMENT = "--outlast-worker"  # it, and a descriptor: be a worker process of the engine


class Built(msgspec.Struct, frozen=True, kw_only=True):
    """The program inside of an executable."""

    name: str  # of the executable
    app: str  # what was given to `outlast build`
    module: str  # which is imported
    code: str  # a short hash of the program's files
    built_at: float
    versions: dict[str, str]  # hashes of workflows' source, by the workflow's name


def read(home: Path) -> Built | None:
    """Return what lies in the directory of an executable, None when another tool made it."""
    try:
        return msgspec.json.decode((home / FILE).read_bytes(), type=Built)
    except FileNotFoundError:
        return None


def _home() -> Path | None:
    place: object = getattr(sys, "_MEIPASS", None)
    return Path(place) if isinstance(place, str) else None


HOME: Final = _home()
"""The directory of an executable's libraries and files."""

BUILT: Final = None if HOME is None else read(HOME)
"""None in a Python that runs from source."""


def worker_environment(environment: Mapping[str, str]) -> dict[str, str] | None:
    """Return what a worker process starts with, None for what we have ourselves.

    Steps have the library path that the system had (`building.startup`), but an executable needs
    its own again: only its first process is given it.
    """
    if HOME is None:
        return None
    found = {**environment, "LD_LIBRARY_PATH": str(HOME)}
    if "LD_LIBRARY_PATH" in environment:
        found["LD_LIBRARY_PATH_ORIG"] = environment["LD_LIBRARY_PATH"]
    return found
