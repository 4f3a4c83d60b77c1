"""Reading a log again that somebody writes: page by page, and over its rotation.

A place in it is the mark of a file and an offset in bytes; a file's mark is made of its first
line, so it is the same file under whatever name it has by now.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

import msgspec

from outlast import limits

_PAGE_BYTES = 256 * 1024  # read for one page: a few milliseconds, also where nothing is found
_MARK_BYTES = 512


class LogLine(msgspec.Struct, frozen=True):
    """One line of a log."""

    at: datetime
    level: str
    logger: str
    message: str
    run: str = ""
    step: str = ""
    attempt: int = 0
    error: str = ""


class LogPage(msgspec.Struct, frozen=True):
    """Some lines of a log, oldest first; `next` is where to go on, also when there are no more."""

    lines: list[LogLine]
    next: str
    has_more: bool


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


def read_log(file: Path, after: str = "", *, run: str = "", size: int = 200) -> LogPage:
    """Return lines of a log from a place on: of one run, or of all.

    A place that has been deleted meanwhile means the oldest line that there is. Lines that are
    none are passed over, and one that is half-written waits until it is whole.

    Raises:
        ValueError: `after` is not the `next` of a page.
    """
    mark, offset = _place(after)
    with ExitStack() as stack:
        # The newer first: rotated in between, it is found under both names, not under none.
        newer = _opened(file, stack)
        parts = [_opened(file.with_name(f"{file.name}.1"), stack), newer]
        there = {_mark_of(part): part for part in parts if part is not None}
        marked = [(name, part) for name, part in there.items() if name]
        found = [index for index, (name, _) in enumerate(marked) if name == mark]
        lines: list[LogLine] = []
        read = 0
        for index, (name, part) in enumerate(marked[found[0] if found else 0 :]):
            at = part.seek(offset if found and not index else 0)
            for data in part:
                if not data.endswith(b"\n"):
                    break
                if len(lines) >= size or read >= _PAGE_BYTES:
                    return LogPage(lines, after, has_more=True)
                read += len(data)
                at += len(data)
                after = f"{name}-{at}"
                lines += _line_in(data, run)
        return LogPage(lines, after, has_more=False)


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


def _line_in(data: bytes, run: str) -> Iterator[LogLine]:
    try:
        line = msgspec.json.decode(data, type=LogLine)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return
    if run in ("", line.run):
        yield line
