"""A log is read page by page while somebody writes it and it is rotated: every line once."""

from __future__ import annotations

import json
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO

import pytest

from outlast import _logfile
from outlast._logfile import LogPage, Wanted, read_log, read_log_before


def say(file: Path, *messages: str, run: str = "") -> None:
    with file.open("a") as lines:
        for message in messages:
            fields = {"at": "2026-03-01T12:00:00Z", "level": "info", "logger": "x"}
            lines.write(json.dumps({**fields, "message": message, "run": run}) + "\n")


def rotate(file: Path) -> None:
    file.replace(file.with_name(f"{file.name}.1"))


def said(file: Path, after: str = "", *, run: str = "", size: int = 200) -> tuple[str, str]:
    page = read_log(file, after, wanted=Wanted(run=run, size=size))
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
    assert [read_log(file, wanted=Wanted(size=n)).has_more for n in (4, 5)] == [True, True]
    assert not read_log(file, wanted=Wanted(size=6)).has_more


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
        page = read_log(file, after, wanted=Wanted(run="r"))
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


BEGAN = datetime(2026, 3, 1, 12, tzinfo=UTC)


def say_each_second(file: Path, first: int, last: int, run: str = "") -> None:
    with file.open("a") as lines:
        for n in range(first, last):
            at = (BEGAN + timedelta(seconds=n)).isoformat()
            fields = {"at": at, "level": "info", "logger": "x", "message": f"{n}", "run": run}
            lines.write(json.dumps(fields) + "\n")


def numbers(page: LogPage) -> list[int]:
    return [int(line.message) for line in page.lines]


def all_before(file: Path, wanted: Wanted) -> list[int]:
    """Read backwards from the end to the beginning."""
    found: list[int] = []
    page = read_log_before(file, wanted=wanted)
    while True:
        found = numbers(page) + found
        if not page.has_more:
            return found
        page = read_log_before(file, page.previous, wanted=wanted)


def test_a_log_is_read_backwards_from_its_end_over_a_rotation(tmp_path: Path) -> None:
    file = tmp_path / "log"
    say_each_second(file, 0, 3_000)
    rotate(file)
    say_each_second(file, 3_000, 3_050)

    page = read_log_before(file, wanted=Wanted(size=30))

    assert numbers(page) == list(range(3_020, 3_050))
    assert all_before(file, Wanted(size=700)) == list(range(3_050))
    say_each_second(file, 3_050, 3_052)
    assert numbers(read_log(file, page.next)) == [3_050, 3_051]


def test_reading_backwards_waits_for_whole_lines_and_passes_over_what_is_none(
    tmp_path: Path,
) -> None:
    file = tmp_path / "log"
    say_each_second(file, 0, 10)
    with file.open("a") as lines:
        lines.write("x" * 2_000_000 + "\n")  # no page holds it
    say_each_second(file, 10, 20)
    with file.open("a") as lines:
        lines.write("not JSON\n{half")

    assert all_before(file, Wanted(size=3)) == list(range(20))
    assert read_log_before(tmp_path / "none") == LogPage([], "", has_more=False)
    with pytest.raises(ValueError, match="a mark and an offset"):
        read_log_before(file, "here")
    assert read_log_before(file, "abcdefabcdef-5").lines == []  # rotated away meanwhile


@pytest.mark.parametrize("since", [0, 1, 1_234, 2_999, 3_000, 3_001, 3_049])
def test_reading_begins_at_a_time_without_reading_what_is_before(
    tmp_path: Path, since: int
) -> None:
    file = tmp_path / "log"
    say_each_second(file, 0, 3_000)
    rotate(file)
    say_each_second(file, 3_000, 3_050)
    at = BEGAN + timedelta(seconds=since)

    page = read_log(file, wanted=Wanted(since=at, size=5))
    last = read_log(file, page.next, wanted=Wanted(until=at + timedelta(seconds=6), size=200))

    assert numbers(page) == list(range(since, min(since + 5, 3_050)))
    assert numbers(last) == [n for n in (since + 5, since + 6) if n < 3_050]
    assert not last.has_more


def test_a_line_of_the_millisecond_in_which_a_run_began_is_not_before_it(tmp_path: Path) -> None:
    file = tmp_path / "log"
    say_each_second(file, 0, 2)

    page = read_log(file, wanted=Wanted(since=BEGAN + timedelta(microseconds=999)))

    assert numbers(page) == [0, 1]


def test_a_time_behind_the_end_of_a_log_has_no_lines(tmp_path: Path) -> None:
    file = tmp_path / "log"
    say_each_second(file, 0, 100)
    page = read_log(file, wanted=Wanted(since=BEGAN + timedelta(hours=1)))
    assert (page.lines, page.has_more) == ([], False)
