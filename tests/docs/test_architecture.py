"""ARCHITECTURE.md is true: the rooms that it shows are there, and a step goes the way it says."""

from __future__ import annotations

import re
import sys
import threading
from pathlib import Path
from types import FrameType

import outlast
from outlast import step, workflow

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "outlast"
TEXT = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")


def part(begin: str, end: str) -> str:
    return TEXT.split(begin, 1)[1].split(end, 1)[0]


def rooms_in_the_map() -> set[str]:
    """Return the folders of the map, each with those around it, told by how far it is indented."""
    found: set[str] = set()
    around: list[str] = []
    for line in part("```text\nsrc/outlast/\n", "```").splitlines():
        depth = (len(line) - len(line.lstrip())) // 2
        for name in re.findall(r"^\s+(\w+)/", line):
            around = [*around[: depth - 1], name]
            found.add("/".join(around))
        found |= set(re.findall(r"\b(errors)/", line))
    return found


def test_the_map_has_every_room_and_no_other() -> None:
    folders = {
        str(file.parent.relative_to(PACKAGE))
        for file in PACKAGE.rglob("__init__.py")
        if file.parent != PACKAGE
    }

    assert rooms_in_the_map() - {"_store/sqlite/migrations"} == folders


def test_every_file_that_is_named_is_there() -> None:
    known = [
        str(file.relative_to(ROOT))
        for top in ("src", "tests")
        for file in ROOT.glob(f"{top}/**/*.py")
    ]
    named = set(re.findall(r"[\w/]*\w\.py\b", TEXT))

    assert [
        name for name in sorted(named) if not any(f"/{k}".endswith(f"/{name}") for k in known)
    ] == []


@step
async def charge(order: str) -> str:
    return order


@workflow
async def checkout(order: str) -> str:
    return await charge(order)


def way_of_a_step() -> list[tuple[str, str]]:
    """Return (file, function) of each stop of the table, from top to bottom."""
    stops: list[tuple[str, str]] = []
    for row in part("## The path of one step", "## The path of one message").splitlines():
        if not re.match(r"\| \d+ \|", row):
            continue
        file = ""
        for name in re.findall(r"`([^`]+)`", row.split("|")[2]):
            if name.endswith(".py"):
                file = name
            else:
                stops.append((file, name.rpartition(".")[2]))
    return stops


def test_a_step_goes_the_way_of_the_table(tmp_path: Path) -> None:
    entered: list[tuple[str, str]] = []

    def note(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and "/outlast/" in frame.f_code.co_filename:
            entered.append((frame.f_code.co_filename, frame.f_code.co_name))

    threading.setprofile(note)
    sys.setprofile(note)
    try:
        outlast.run(checkout("7"), db=tmp_path / "outlast.db")
    finally:
        sys.setprofile(None)
        threading.setprofile(None)

    stops = way_of_a_step()
    assert len(stops) > 20
    at = 0
    for file, function in stops:
        while at < len(entered) and not (
            entered[at][0].endswith(f"/{file}") and entered[at][1] == function
        ):
            at += 1
        assert at < len(entered), f"{file} {function} is not entered, or not after the stop before"
