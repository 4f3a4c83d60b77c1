"""`outlast build`: what is needed to run a program where there is no Python."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from outlast.building import executable
from outlast.building.executable import Wanted
from outlast.building.image import PORT, image_of
from outlast.building.libraries import libraries_of
from outlast.building.manifests import manifests_of
from outlast.building.program import Program, describe
from outlast.building.results import (
    Kind,
    check_place,
    move_to,
    name_of,
    output_of,
    put,
    size_and_digest,
    write_text,
)
from outlast.building.units import unit_of
from outlast.cli.places import json_option
from outlast.cli.printing import Status, as_json, note, safe_line, say
from outlast.errors import UsageError


@dataclass(frozen=True, slots=True)
class Result:
    """What was made."""

    kind: Kind
    path: str
    bytes: int
    sha256: str
    name: str
    code: str
    built_at: int
    workflows: int


_KINDS: dict[Kind, str] = {
    "onefile": "Build one executable file (the default).",
    "onedir": "Build a directory, which starts faster because nothing is unpacked.",
    "image": "Build a container image (OCI layout): a directory, or an archive if named .tar.",
    "systemd": "Write a systemd unit for the executable.",
    "k8s": "Write Kubernetes manifests for the image.",
}


@click.command()
@click.argument("app", metavar="APP")
@click.option("--onefile", "kind", flag_value="onefile", default=True, help=_KINDS["onefile"])
@click.option("--onedir", "kind", flag_value="onedir", help=_KINDS["onedir"])
@click.option("--image", "kind", flag_value="image", help=_KINDS["image"])
@click.option("--systemd", "kind", flag_value="systemd", help=_KINDS["systemd"])
@click.option("--k8s", "kind", flag_value="k8s", help=_KINDS["k8s"])
@click.option("--output", type=click.Path(path_type=Path), default=None, help="[default: dist/…]")
@click.option("--name", default=None, help="Name of the result [default: the module's name]")
@click.option(
    "--include",
    "included",
    multiple=True,
    metavar="MODULE",
    help="Include a module that is imported by name.",
)
@click.option("--data", multiple=True, metavar="PATH[:DIR]", help="Include data files.")
@click.option("--force", is_flag=True, help="Overwrite existing output.")
@json_option
def build(
    *,
    app: str,
    kind: Kind,
    output: Path | None,
    name: str | None,
    included: Sequence[str],
    data: Sequence[str],
    force: bool,
    as_data: bool,
) -> None:
    """Package a program as an executable, a directory, an image, a unit or manifests.

    APP is file.py or package.module. The executable is the `outlast` command with APP built in.
    """
    built_at = build_time(os.environ.get("SOURCE_DATE_EPOCH"))
    if kind in ("onefile", "onedir", "image"):
        executable.require_tools()
    for item in data:
        if not Path(item.partition(":")[0]).exists():
            raise UsageError(f"--data {item}: there is no such file or directory")
    note(f"analysing {safe_line(app)}")
    program = describe(app)
    named = name_of(program.module, name)
    place = output_of(kind, named, output)
    check_place(place, force=force)
    wanted = Wanted(
        program,
        named,
        is_one_file=kind == "onefile",
        built_at=built_at,
        included=tuple(included),
        data=tuple(data),
    )
    put(place, _maker(kind, wanted, place))
    size, digest = size_and_digest(place)
    result = Result(
        kind=kind,
        path=str(place),
        bytes=size,
        sha256=digest,
        name=named,
        code=program.code,
        built_at=built_at,
        workflows=len(program.versions),
    )
    _tell(result, as_data=as_data)


def build_time(given: str | None) -> int:
    """Return the time that goes into what is made: now, or what SOURCE_DATE_EPOCH says.

    Raises:
        UsageError: it says no time.
    """
    if not given:
        return int(time.time())
    try:
        return int(given)
    except ValueError:
        raise UsageError(
            f"SOURCE_DATE_EPOCH is {given!r}: it must be a number of seconds since 1970"
        ) from None


def _maker(kind: Kind, wanted: Wanted, place: Path) -> Callable[[Path], None]:
    program: Program = wanted.program
    match kind:
        case "onefile" | "onedir":
            return lambda made: _make_executable(wanted, lambda tree: move_to(tree)(made))
        case "image":
            return lambda made: _make_executable(
                wanted, lambda tree: _write_image(wanted, tree, made, place)
            )
        case "systemd":
            return write_text(unit_of(wanted.name, PORT))
        case "k8s":
            return write_text(manifests_of(wanted.name, program.code, PORT))


def _make_executable(wanted: Wanted, use: Callable[[Path], None]) -> None:
    note("building the executable; this takes 10 to 60 seconds")
    status = Status()
    try:
        with tempfile.TemporaryDirectory(prefix="outlast-build-") as work:
            made = executable.make(wanted, Path(work), status.show)
            status.clear()
            use(made)
    finally:
        status.clear()


def _write_image(wanted: Wanted, tree: Path, made: Path, place: Path) -> None:
    image = image_of(
        wanted.program,
        wanted.name,
        tree,
        libraries_of(tree),
        built_at=wanted.built_at,
        progress=note,
    )
    if place.suffix == ".tar":
        image.write_archive(made)
    else:
        image.write_directory(made)
    note(f"image {image.digest}")


def _tell(result: Result, *, as_data: bool) -> None:
    if as_data:
        say(as_json(result))
        return
    say(safe_line(result.path))
    note(
        f"{result.bytes / 2**20:.1f} MiB, sha256 {result.sha256}, code {result.code}, "
        f"{result.workflows} workflows"
    )
    for line in _next(result):
        note(safe_line(line))


def _next(result: Result) -> list[str]:
    """Return what to do with it."""
    path, name = result.path, result.name
    match result.kind:
        case "onefile":
            return [f"next: {Path(path).absolute()} serve"]
        case "onedir":
            return [f"next: {Path(path).absolute() / name} serve"]
        case "image":
            form = "oci-archive" if path.endswith(".tar") else "oci"
            return [f"next: skopeo copy {form}:{path} docker://REGISTRY/{name}:{result.code}"]
        case "systemd":
            return [f"next: `head {path}` shows how to install it"]
        case "k8s":
            return [f"next: edit the values marked CHANGE, then kubectl apply -f {path}"]
