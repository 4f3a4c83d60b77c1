"""A log is read page by page while somebody writes it and it is rotated: every line once."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

import pytest

from outlast import _logfile
from outlast._logfile import read_log


def say(file: Path, *messages: str, run: str = "") -> None:
    with file.open("a") as lines:
        for message in messages:
            fields = {"at": "2026-03-01T12:00:00Z", "level": "info", "logger": "x"}
            lines.write(json.dumps({**fields, "message": message, "run": run}) + "\n")


def rotate(file: Path) -> None:
    file.replace(file.with_name(f"{file.name}.1"))


def said(file: Path, after: str = "", *, run: str = "", size: int = 200) -> tuple[str, str]:
    page = read_log(file, after, run=run, size=size)
    return "".join(line.message for line in page.lines), page.next


def test_pages_go_on_where_the_one_before_ended(tmp_path: Path) -> None:
    file = tmp_path / "log"
    say(file, *"abcde")
    first, after = said(file, size=2)
    second, after = said(file, after, size=2)
    third, after = said(file, after, size=2)
    assert (first, second, third) == ("ab", "cd", "e")
    assert said(file, after) == ("", after)
    say(file, "f")
    assert said(file, after)[0] == "f"
    assert [read_log(file, size=n).has_more for n in (4, 5)] == [True, True]
    assert not read_log(file, size=6).has_more


def test_a_rotation_loses_nothing_and_repeats_nothing(tmp_path: Path) -> None:
    file = tmp_path / "log"
    say(file, *"ab")
    found, after = said(file)
    say(file, "c")
    rotate(file)
    assert said(file, after)[0] == "c"
    say(file, "d")
    more, after = said(file, after)
    assert (found, more) == ("ab", "cd")
    rotate(file)
    say(file, "e")
    assert said(file, after)[0] == "e"


def test_a_rotation_between_opening_the_two_files_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "log"
    say(file, "a")
    rotate(file)
    say(file, "b")
    after = said(file)[1]
    say(file, "c")
    opened = _logfile._opened

    def rotating(path: Path, stack: ExitStack) -> BinaryIO | None:
        part = opened(path, stack)
        monkeypatch.setattr(_logfile, "_opened", opened)
        rotate(file)
        say(file, "d")
        return part

    monkeypatch.setattr(_logfile, "_opened", rotating)
    first, after = said(file, after)
    assert first + said(file, after)[0] == "cd"


def test_a_place_that_is_gone_means_the_oldest_line(tmp_path: Path) -> None:
    file = tmp_path / "log"
    say(file, *"ab")
    after = said(file)[1]
    for message in "cd":
        rotate(file)
        say(file, message)
    assert said(file, after)[0] == "cd"


def test_what_is_no_line_is_passed_over_and_half_a_line_waits(tmp_path: Path) -> None:
    file = tmp_path / "log"
    file.write_bytes(b"\xff\xfe\n{}\n")
    say(file, "a")
    with file.open("a") as half:
        half.write('{"at": "2026-03-01T12:00:00Z", "level": "info", ')
    found, after = said(file)
    assert (found, said(file, after)) == ("a", ("", after))
    with file.open("a") as half:
        half.write('"logger": "x", "message": "b"}\n')
    assert said(file, after)[0] == "b"


def test_lines_of_one_run_are_found_over_pages_without_any(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_logfile, "_PAGE_BYTES", 300)
    file = tmp_path / "log"
    say(file, *("x" * 20))
    say(file, "mine", run="r")
    after, found, pages = "", "", 0
    while True:
        page = read_log(file, after, run="r")
        found += "".join(line.message for line in page.lines)
        after, pages = page.next, pages + 1
        if not page.has_more:
            break
    assert found == "mine"
    assert pages > 3


@pytest.mark.parametrize("after", ["x", "-", "0123456789ab-", "0123456789ab--1", "a-²", "-5"])
def test_a_place_that_is_none_is_refused(tmp_path: Path, after: str) -> None:
    with pytest.raises(ValueError, match="a mark and an offset"):
        read_log(tmp_path / "log", after)
