"""Reading a log again that somebody writes: page by page, and over its rotation.

A place in it is the mark of a file and an offset in bytes; a file's mark is made of its first
line, so it is the same file under whatever name it has by now.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from io import SEEK_END
from pathlib import Path
from typing import Annotated, BinaryIO

import msgspec

from outlast import limits

_PAGE_BYTES = 256 * 1024  # read for one page: a few milliseconds, also where nothing is found
_MARK_BYTES = 512
_CLOSE_BYTES = 16 * 1024  # so near to a time the rest is read
_LINES_TRIED = 20


class LogLine(msgspec.Struct, frozen=True):
    """One line of a log."""

    at: Annotated[datetime, msgspec.Meta(tz=True)]
    level: str
    logger: str
    message: str
    run: str = ""
    step: str = ""
    attempt: int = 0
    error: str = ""


class LogPage(msgspec.Struct, frozen=True):
    """Some lines of a log, oldest first.

    `next` is where to go on, also when there are no more lines yet, and `previous` where the lines
    before these end. `has_more` says whether there are more in the direction of reading.
    """

    lines: list[LogLine]
    next: str
    has_more: bool
    previous: str = ""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which lines are wanted: those of one run, of a time, and how many at once."""

    run: str = ""
    since: datetime | None = None
    until: datetime | None = None
    size: int = 200


EVERY = Wanted()


async def lines_of(
    page_after: Callable[[str], Awaitable[LogPage]], *, follow: bool
) -> AsyncGenerator[LogLine, None]:
    """Iterate over a log whose pages somebody reads; with `follow` it does not end."""
    after = ""
    while True:
        page = await page_after(after)
        for line in page.lines:
            yield line
        after = page.next
        if page.has_more:
            continue
        if not follow:
            return
        await asyncio.sleep(limits.LOG_LOOK_SECONDS)


def read_log(file: Path, after: str = "", *, wanted: Wanted = EVERY) -> LogPage:
    """Return lines of a log from a place on; without a place, from the time that is wanted.

    Lines have milliseconds: one of the same millisecond as `since` is not before it.
    A place that has been deleted meanwhile means the oldest line that there is. Lines that are
    none are passed over, and one that is half-written waits until it is whole.

    Raises:
        ValueError: `after` is not the `next` of a page.
    """
    mark, offset = _place(after)
    if wanted.since is not None:
        beyond = timedelta(microseconds=wanted.since.microsecond % 1_000)
        wanted = replace(wanted, since=wanted.since - beyond)
    with ExitStack() as stack:
        marked = _parts(file, stack)
        found = [index for index, (name, _) in enumerate(marked) if name == mark]
        first = found[0] if found else 0
        if not after and wanted.since is not None:
            first, offset = _place_at(marked, wanted.since)
            found = [first]
        lines: list[LogLine] = []
        read = 0
        for index, (name, part) in enumerate(marked[first:]):
            at = part.seek(offset if found and not index else 0)
            for data in part:
                if not data.endswith(b"\n"):
                    break
                if len(lines) >= wanted.size or read >= _PAGE_BYTES:
                    return LogPage(lines, after, has_more=True)
                line = _line_in(data)
                if line is not None and wanted.until is not None and line.at > wanted.until:
                    return LogPage(lines, after, has_more=False)
                read += len(data)
                at += len(data)
                after = f"{name}-{at}"
                if line is not None and _is_wanted(line, wanted):
                    lines.append(line)
        return LogPage(lines, after, has_more=False)


def read_log_before(file: Path, before: str = "", *, wanted: Wanted = EVERY) -> LogPage:
    """Return the last lines of a log before a place; without a place, before its end.

    Raises:
        ValueError: `before` is not the `previous` of a page.
    """
    mark, end = _place(before)
    with ExitStack() as stack:
        marked = _parts(file, stack)
        if not marked:
            return LogPage([], "", has_more=False)
        found = [index for index, (name, _) in enumerate(marked) if name == mark]
        if before and not found:  # deleted meanwhile, and all before it as well
            return LogPage([], before, has_more=False)
        index = found[0] if found else len(marked) - 1
        name, part = marked[index]
        pieces, begin = _last_lines(part, end if found else part.seek(0, SEEK_END))
        following = begin + sum(map(len, pieces))
        at = following
        lines: list[LogLine] = []
        for data in reversed(pieces):
            if len(lines) >= wanted.size:
                break
            at -= len(data)
            line = _line_in(data)
            if line is not None and _is_wanted(line, wanted):
                lines.append(line)
        earlier, offset = (name, at) if at else ("", 0)
        if not at and index:
            earlier, offset = marked[index - 1][0], marked[index - 1][1].seek(0, SEEK_END)
        previous = f"{earlier}-{offset}" if earlier else ""
        return LogPage(lines[::-1], f"{name}-{following}", earlier != "", previous)


def _parts(file: Path, stack: ExitStack) -> list[tuple[str, BinaryIO]]:
    """Return the files of a log that have lines, the older first, with their marks."""
    # The newer first: rotated in between, it is found under both names, not under none.
    newer = _opened(file, stack)
    parts = [_opened(file.with_name(f"{file.name}.1"), stack), newer]
    there = {_mark_of(part): part for part in parts if part is not None}
    return [(name, part) for name, part in there.items() if name]


def _last_lines(part: BinaryIO, end: int) -> tuple[list[bytes], int]:
    """Return whole lines that end at `end` at the latest, a page of them, and where they begin."""
    begin = max(0, end - _PAGE_BYTES)
    part.seek(begin)
    data = part.read(end - begin)
    if begin:  # in the middle of a line
        cut = data.find(b"\n") + 1
        if cut == len(data):  # of one that is longer than a page: it is passed over
            return [], begin
        begin, data = begin + cut, data[cut:]
    whole = data[: data.rfind(b"\n") + 1]
    return [line + b"\n" for line in whole.split(b"\n")[:-1]], begin


def _place_at(marked: list[tuple[str, BinaryIO]], since: datetime) -> tuple[int, int]:
    """Return the file and the offset of a line shortly before a time, by bisection."""
    for index in reversed(range(len(marked))):
        part = marked[index][1]
        part.seek(0)
        first = _next_at(part)
        if index and (first is None or first >= since):
            continue  # it begins in the file before
        low, high = 0, part.seek(0, SEEK_END)
        while high - low > _CLOSE_BYTES:
            middle = (low + high) // 2
            part.seek(middle)
            part.readline()
            at = _next_at(part)
            low, high = (middle, high) if at is not None and at < since else (low, middle)
        part.seek(low)
        if low:
            part.readline()
        return index, part.tell()
    return 0, 0


def _next_at(part: BinaryIO) -> datetime | None:
    """Return the time of the next line that is one; None where there is none nearby."""
    for _ in range(_LINES_TRIED):
        line = _line_in(part.readline())
        if line is not None:
            return line.at
    return None


def _is_wanted(line: LogLine, wanted: Wanted) -> bool:
    is_late_enough = wanted.since is None or line.at >= wanted.since
    return is_late_enough and wanted.run in ("", line.run)


def _place(after: str) -> tuple[str, int]:
    if not after:
        return "", 0
    mark, _, offset = after.partition("-")
    if len(mark) != 12 or not offset.isascii() or not offset.isdigit() or len(offset) > 18:
        raise ValueError("a place in a log is a mark and an offset")
    return mark, int(offset)


def _opened(path: Path, stack: ExitStack) -> BinaryIO | None:
    try:
        return stack.enter_context(path.open("rb"))
    except FileNotFoundError:
        return None


def _mark_of(part: BinaryIO) -> str:
    """Return what tells this file from others, nothing while it has no line."""
    first = part.readline(_MARK_BYTES)
    is_whole = first.endswith(b"\n") or len(first) == _MARK_BYTES
    return hashlib.sha256(first).hexdigest()[:12] if is_whole else ""


def _line_in(data: bytes) -> LogLine | None:
    try:
        return msgspec.json.decode(data, type=LogLine)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
