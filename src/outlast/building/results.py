"""Where a build's result goes, what may be replaced there, and how it is told apart from others.

Invariants:
  * nothing is overwritten without `--force`, and a directory only when a build has made it;
  * a result comes to its place as a whole: a build that fails leaves what was there.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Literal, TypeAlias

from outlast.errors import UsageError

Kind: TypeAlias = Literal["onefile", "onedir", "image", "systemd", "k8s"]

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_SUFFIXES: dict[Kind, str] = {
    "onefile": "",
    "onedir": "-dir",
    "image": "-image.tar",
    "systemd": ".service",
    "k8s": ".yaml",
}
# One of these lies in each directory that a build has made.
_MARKS = ("_internal/outlast-built.json", "oci-layout")


def name_of(module: str, given: str | None) -> str:
    """Return what an executable, a service or a pod is called.

    Raises:
        UsageError: it cannot be called so.
    """
    name = module.rpartition(".")[2].lower().replace("_", "-") if given is None else given
    if _NAME.fullmatch(name) is None:
        raise UsageError(
            f"{name!r} is not a valid name: give --name with up to 63 lowercase letters, digits "
            "and inner hyphens"
        )
    return name


def output_of(kind: Kind, name: str, given: Path | None) -> Path:
    """Return where the result goes: below `dist/` unless it is said."""
    return given if given is not None else Path("dist") / f"{name}{_SUFFIXES[kind]}"


def check_place(output: Path, *, force: bool) -> None:
    """Refuse to overwrite.

    Raises:
        UsageError: something is there that must stay, or nothing can be written there.
    """
    if not output.exists() and not output.is_symlink():
        return
    if not force:
        raise UsageError(
            f"{output} already exists: overwrite it with --force, or choose another place with "
            "--output"
        )
    if output.is_dir() and not any((output / mark).is_file() for mark in _MARKS):
        raise UsageError(
            f"{output} is a directory that was not created by a build, and --force does not "
            "overwrite it: choose another place with --output"
        )


def put(output: Path, make: Callable[[Path], None]) -> None:
    """Have a result made beside its place, and move it there.

    Raises:
        UsageError: the place cannot be written.
    """
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".outlast-build-", dir=output.parent) as aside:
            made = Path(aside) / "made"
            make(made)
            if output.is_dir() and not output.is_symlink():
                output.rename(Path(aside) / "old")
            elif made.is_dir() and output.exists():
                output.unlink()
            made.replace(output)
    except OSError as error:
        raise UsageError(f"cannot write {output}: {error.strerror or error}") from None


def move_to(source: Path) -> Callable[[Path], None]:
    """Return what puts an existing file or directory into place."""
    return lambda place: _move(source, place)


def _move(source: Path, place: Path) -> None:
    shutil.move(source, place)


def write_text(text: str) -> Callable[[Path], None]:
    """Return what puts text into place."""
    return lambda place: _write(text, place)


def _write(text: str, place: Path) -> None:
    place.write_text(text, encoding="utf-8")


def size_and_digest(output: Path) -> tuple[int, str]:
    """Return the bytes of a file or of all files of a directory, and a SHA-256.

    That of a directory is over the sorted lines `digest  path` of its files, as `sha256sum` prints.
    """
    if output.is_file():
        return output.stat().st_size, _digest(output)
    files = sorted(file for file in output.rglob("*") if file.is_file() and not file.is_symlink())
    lines = "".join(f"{_digest(file)}  {file.relative_to(output)}\n" for file in files)
    total = sum(file.stat().st_size for file in files)
    return total, hashlib.sha256(lines.encode()).hexdigest()


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
