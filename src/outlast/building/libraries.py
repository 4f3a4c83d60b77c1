"""Shared libraries of the system that a built directory needs: for a root that has nothing."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from outlast.errors import UsageError

_ELF = b"\x7fELF"
_LINE = re.compile(r"^\s+(?:(?P<name>\S+) => )?(?P<path>/\S+) \(0x[0-9a-f]+\)$")
_MISSING = re.compile(r"^\s+(?P<name>\S+) => not found$", re.MULTILINE)


def libraries_of(tree: Path) -> list[Path]:
    """Return, by the paths that the loader asks for, what lies outside of a tree.

    Raises:
        UsageError: there is no `ldd`, or it does not find a library.
    """
    if shutil.which("ldd") is None:
        raise UsageError("ldd was not found: an image can be built only on Linux")
    files = [file for file in sorted(tree.rglob("*")) if file.is_file() and _is_elf(file)]
    # The executable is started before anything says where the libraries of the tree are.
    first = [file for file in files if file.parent == tree]
    rest = [file for file in files if file.parent != tree]
    folders = sorted({str(file.parent) for file in rest})
    found = {*_asked_for(first, ""), *_asked_for(rest, os.pathsep.join(folders))}
    return sorted(path for path in found if not path.is_relative_to(tree))


def _asked_for(files: Sequence[Path], library_path: str) -> list[Path]:
    if not files:
        return []
    done = subprocess.run(
        ["ldd", *map(str, files)],
        env={**os.environ, "LC_ALL": "C", "LD_LIBRARY_PATH": library_path},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    missing = sorted(set(_MISSING.findall(done.stdout)))
    if missing:
        raise UsageError(f"these libraries are missing on this machine: {', '.join(missing)}")
    return paths_in(done.stdout)


def paths_in(text: str) -> list[Path]:
    """Return the files that `ldd` names."""
    found = (_LINE.match(line) for line in text.splitlines())
    return sorted({Path(match["path"]) for match in found if match is not None})


def _is_elf(file: Path) -> bool:
    with file.open("rb") as stream:
        return stream.read(len(_ELF)) == _ELF
