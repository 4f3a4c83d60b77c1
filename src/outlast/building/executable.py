"""The executable, made by PyInstaller in a process of its own.

Invariant: with SOURCE_DATE_EPOCH set, the same input in the same environment gives the same bytes:
the time of the build is that one, and nothing goes in that depends on the directory or on hashing.
"""

from __future__ import annotations

import ctypes.util
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from outlast import __version__
from outlast._built import FILE, Built
from outlast.building.program import Program
from outlast.building.selection import PACKAGE, data_files, excludes, hidden_imports
from outlast.errors import UsageError

_ENTRY = "from outlast.cli.built import main\n\nmain()\n"
_LINES_SHOWN = 30


class BuildFailed(UsageError):
    """PyInstaller could not make the executable; the message has the end of what it said."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What executable to make."""

    program: Program
    name: str
    is_one_file: bool
    built_at: int
    included: tuple[str, ...] = ()
    data: tuple[str, ...] = ()

    def built(self) -> Built:
        """Return what the executable is told of itself."""
        return Built(
            name=self.name,
            app=self.program.app,
            module=self.program.module,
            code=self.program.code,
            built_at=self.built_at,
            versions=dict(sorted(self.program.versions.items())),
        )


def require_tools() -> None:
    """Refuse to begin what cannot be ended.

    Raises:
        UsageError: PyInstaller is not installed, or the system is not one it is tried on.
    """
    if importlib.util.find_spec("PyInstaller") is None:
        raise UsageError("PyInstaller is not installed: pip install 'outlast[build]'")
    if sys.platform == "linux" and shutil.which("objdump") is None:
        raise UsageError("PyInstaller needs objdump: install the system's package binutils")


def make(wanted: Wanted, place: Path, progress: Callable[[str], None]) -> Path:
    """Make an executable in an empty directory and return its path: a file, or a directory.

    Raises:
        BuildFailed
    """
    _prepare(wanted, place)
    environment = {
        **os.environ,
        # Sets are iterated while the archive is written.
        "PYTHONHASHSEED": "0",
        "SOURCE_DATE_EPOCH": str(wanted.built_at),
        "PYTHONPATH": os.pathsep.join(_path(wanted.program)),
        "PYINSTALLER_CONFIG_DIR": str(place / "cache"),
    }
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "PyInstaller", "--noconfirm"),
            *("--distpath", str(place / "made"), "--workpath", str(place / "work")),
            str(place / "executable.spec"),
        ],
        cwd=place,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    last: deque[str] = deque(maxlen=_LINES_SHOWN)
    with process:
        try:
            for line in process.stdout or ():
                last.append(line)
                progress(line.strip())
        except BaseException:
            process.kill()
            raise
    made = place / "made" / wanted.name
    if process.returncode != 0 or not made.exists():
        said = "".join(last)
        raise BuildFailed(f"PyInstaller ended with {process.returncode}; it said last:\n{said}")
    return made


def _prepare(wanted: Wanted, place: Path) -> None:
    program = wanted.program
    metadata = place / f"outlast-{__version__}.dist-info" / "METADATA"
    metadata.parent.mkdir(parents=True)
    metadata.write_text(f"Metadata-Version: 2.1\nName: outlast\nVersion: {__version__}\n")
    built = place / FILE
    built.write_bytes(msgspec.json.encode(wanted.built()))
    plan: dict[str, object] = {
        "name": wanted.name,
        "is_one_file": wanted.is_one_file,
        "strips": shutil.which("strip") is not None,
        "path": _path(program),
        "hidden": hidden_imports(program, wanted.included),
        "excludes": excludes(program, wanted.included),
        "libraries": [(library, ".") for library in _needed_at_run_time()],
        "data": [
            *data_files(program, wanted.data),
            (str(built), "."),
            (str(metadata), metadata.parent.name),
        ],
    }
    (place / "plan.json").write_bytes(msgspec.json.encode(plan))
    (place / "entry.py").write_text(_ENTRY)
    shutil.copyfile(PACKAGE / "building" / "executable.spec", place / "executable.spec")


def _path(program: Program) -> list[str]:
    """Return where modules are looked for: the program's first, then this very outlast."""
    return list(dict.fromkeys((program.root, str(PACKAGE.parent), *filter(None, sys.path))))


def _needed_at_run_time() -> list[str]:
    """Return libraries that no file names: the C library loads it when a thread is ended."""
    if sys.platform != "linux":
        return []
    name = ctypes.util.find_library("gcc_s")
    folders = (
        f"/lib/{platform.machine()}-linux-gnu",
        f"/usr/lib/{platform.machine()}-linux-gnu",
        "/lib64",
        "/usr/lib64",
        "/usr/lib",
    )
    found = (Path(folder) / name for folder in folders) if name is not None else ()
    return [str(path) for path in found if path.exists()][:1]
