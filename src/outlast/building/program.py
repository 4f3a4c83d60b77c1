"""The program that is built: what it imports, and which versions its workflows have.

It is imported once, by a process of its own (`outlast.cli.program.describing`), so modules that it
finds by name at run time are known too, as far as they are loaded when it is imported.
"""

from __future__ import annotations

import ast
import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import msgspec

from outlast.errors import UnknownWorkflow, UsageError

_LIBRARIES = ("site-packages", "dist-packages")
_SECONDS_MAX = 300.0


class Program(msgspec.Struct, frozen=True, kw_only=True, tag="program"):
    """What APP is."""

    app: str
    module: str
    root: str  # the directory that its imports start from
    package: str  # the top package, which goes in as a whole; empty for a file
    modules: list[str]  # loaded when it was imported
    imports: list[str]  # top names of what its own code imports anywhere
    code: str  # a short hash of its own files
    versions: dict[str, str]


class Refused(msgspec.Struct, frozen=True, tag="refused"):
    """It cannot be imported."""

    message: str
    is_missing: bool


Described: TypeAlias = Program | Refused


@dataclass(frozen=True, slots=True)
class OwnCode:
    """What of a program is the user's own."""

    hash: str
    imports: frozenset[str]


def describe(app: str) -> Program:
    """Return what APP is.

    Raises:
        UnknownWorkflow: it is not there; UsageError: it cannot be imported.
    """
    with tempfile.TemporaryDirectory(prefix="outlast-describe-") as place:
        answer = Path(place) / "program.json"
        try:
            done = subprocess.run(
                [sys.executable, "-m", "outlast.cli.program.describing", app, str(answer)],
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                timeout=_SECONDS_MAX,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise UsageError(
                f"{app} was not imported within {_SECONDS_MAX:.0f} seconds: does it do its work "
                f'outside of `if __name__ == "__main__":`?'
            ) from None
        if not answer.exists():
            said = done.stderr.decode("utf-8", "replace")[-2000:]
            raise UsageError(f"importing {app} ended the process with {done.returncode}:\n{said}")
        found: Described = msgspec.json.decode(answer.read_bytes(), type=Program | Refused)
    if isinstance(found, Refused):
        raise (UnknownWorkflow if found.is_missing else UsageError)(found.message)
    return found


def modules_of_package(root: Path, package: str) -> dict[str, Path | None]:
    """Return all modules in a package's directory, imported or not."""
    return {
        ".".join(file.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): file
        for file in files_of_package(root, package)
        if file.suffix == ".py"
        and all(part.isidentifier() for part in file.relative_to(root).with_suffix("").parts)
    }


def files_of_package(root: Path, package: str) -> list[Path]:
    """Return all files in a package's directory but caches and hidden ones."""
    return sorted(
        file
        for file in (root / package).rglob("*")
        if file.is_file()
        and not any(
            part.startswith(".") or part == "__pycache__" for part in file.relative_to(root).parts
        )
    )


def own_code(loaded: Mapping[str, Path | None], root: Path) -> OwnCode:
    """Return a hash over the modules below `root` that are no library's, and what they import."""
    digest = hashlib.sha256()
    imports: set[str] = set()
    for name, file in sorted(loaded.items()):
        if file is None or file.suffix != ".py" or not _is_own(file, root):
            continue
        data = file.read_bytes()
        digest.update(f"{name}\0{len(data)}\0".encode() + data)
        imports |= top_imports(data)
    return OwnCode(digest.hexdigest()[:12], frozenset(imports))


def _is_own(file: Path, root: Path) -> bool:
    if not file.is_relative_to(root) or file.is_relative_to(sys.base_prefix + "/lib"):
        return False
    return not any(part in _LIBRARIES for part in file.relative_to(root).parts)


def top_imports(source: bytes) -> set[str]:
    """Return the top names of everything that a module imports, in functions too."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return set()
    return {name.partition(".")[0] for node in ast.walk(tree) for name in _imported(node) if name}


def _imported(node: ast.AST) -> Iterable[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and not node.level:
        return [node.module or ""]
    return []
