"""What a write-ahead log holds, read without SQLite, which would act upon what it finds.

The format is that of "WAL-mode File Format" in SQLite's documentation. A header of 32 bytes has
the page size and two salts that change whenever the log starts anew. Each frame is a header of 24
bytes (page number, size of the database if the frame ends a commit, the salts, a checksum) and a
page. The checksum is cumulative: it covers every frame so far.

SQLite takes the frames up to the last commit before the first frame that does not fit, and ignores
what follows. That is right after a power loss, when the last commit was never synced. It is wrong
when a synced frame was damaged later: then commits that were acknowledged lie behind the break.
"""

from __future__ import annotations

import os
import struct
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

HEADER_BYTES = 32
FRAME_HEADER_BYTES = 24
SALTS_OF_LOG, SALTS_OF_FRAME, SALTS_BYTES = 16, 8, 8  # where they are in a header, and how long
_MAGIC = {0x377F0682: "<", 0x377F0683: ">"}  # the byte order of the checksum
_PAGE_BYTES = 4_096  # ours, where the header is damaged
_HEADER = struct.Struct(">8I")
_FRAME = struct.Struct(">6I")
_MASK = 0xFFFF_FFFF

Salts = tuple[int, int]
Sums = tuple[int, int]


@dataclass(frozen=True, slots=True)
class LogContent:
    """How many commits a log holds: those that SQLite takes, and those that it ignores."""

    commits: int = 0
    ignored: int = 0  # of the same generation of the log, behind the first frame that is wrong
    bytes_valid: int = 0  # up to the end of the last commit that SQLite takes
    pages: frozenset[int] = frozenset()  # the database's pages that these commits wrote
    pages_ignored: frozenset[int] = frozenset()  # those of the ignored frames, finished or not


def read_log(path: Path) -> LogContent:
    """Read a write-ahead log; one that is missing or empty holds nothing.

    A log that its owner is writing to may look damaged.

    Raises:
        OSError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            head = file.read(HEADER_BYTES)
            frames = _Frames(head)
            while len(frame := file.read(frames.frame_bytes)) == frames.frame_bytes:
                frames.take(frame)
    except FileNotFoundError:
        return LogContent()
    return frames.content()


def has_frames(path: Path, first: int, end: int) -> bool:
    """Say whether a log has the frames from `first` up to `end`, each of its own generation.

    It looks at their heads only: it finds what was cut off, zeroed or overwritten with another
    generation, not a flipped bit.

    Raises:
        OSError: it cannot be read.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        head = os.pread(descriptor, HEADER_BYTES, 0)
        if len(head) < HEADER_BYTES:
            return end == 0
        page_bytes = _HEADER.unpack(head)[2]
        if not page_bytes:
            return end == 0  # it was zeroed
        salts = head[SALTS_OF_LOG : SALTS_OF_LOG + SALTS_BYTES]
        frame_bytes = FRAME_HEADER_BYTES + page_bytes
        at = HEADER_BYTES + first * frame_bytes + SALTS_OF_FRAME
        for _ in range(first, end):
            if os.pread(descriptor, SALTS_BYTES, at) != salts:
                return False
            at += frame_bytes
    finally:
        os.close(descriptor)
    return True


def has_copied_page(log: Path, database: Path, bytes_valid: int) -> bool:
    """Say whether the database has a page just as a frame before `bytes_valid` of the log has it.

    Raises:
        OSError: one of them cannot be read.
    """
    with log.open("rb") as frames, database.open("rb") as pages:
        head = frames.read(HEADER_BYTES)
        if not bytes_valid:
            return False
        page_bytes = _HEADER.unpack(head)[2]
        size = FRAME_HEADER_BYTES + page_bytes
        for _ in range((bytes_valid - HEADER_BYTES) // size):
            frame = frames.read(size)
            number = _FRAME.unpack_from(frame)[0]
            pages.seek((number - 1) * page_bytes)
            if pages.read(page_bytes) == frame[FRAME_HEADER_BYTES:]:
                return True
    return False


class _Frames:
    """Takes the frames of one log in their order."""

    def __init__(self, head: bytes) -> None:
        self._sums: Sums | None = None  # of all so far; None behind a break
        self._order = "<"
        self._salts: Salts | None = None
        page_bytes = _PAGE_BYTES
        if len(head) == HEADER_BYTES:
            magic, _, size, _, salt1, salt2, sum1, sum2 = _HEADER.unpack(head)
            self._order = _MAGIC.get(magic, "")
            if self._order and _sums_of(head[:24], (0, 0), self._order) == (sum1, sum2):
                self._sums = (sum1, sum2)
                self._salts = (salt1, salt2)
                page_bytes = size
        self.frame_bytes = FRAME_HEADER_BYTES + page_bytes
        self._count = 0
        self._commits = 0
        self._end = 0
        self._ignored: Counter[Salts] = Counter()
        self._pages: set[int] = set()
        self._unfinished: set[int] = set()  # of a commit whose last frame has not come yet
        self._pages_ignored: dict[Salts, set[int]] = {}

    def take(self, frame: bytes) -> None:
        page, size_after, salt1, salt2, sum1, sum2 = _FRAME.unpack_from(frame)
        salts = (salt1, salt2)
        self._count += 1
        if self._sums is not None:
            sums = _sums_of(frame[:8], self._sums, self._order)
            sums = _sums_of(frame[FRAME_HEADER_BYTES:], sums, self._order)
            is_right = page > 0 and salts == self._salts and sums == (sum1, sum2)
            self._sums = sums if is_right else None
        if self._sums is None:
            self._ignored[salts] += size_after > 0
            self._pages_ignored.setdefault(salts, set()).add(page)
            return
        self._unfinished.add(page)
        if size_after:
            self._commits += 1
            self._pages |= self._unfinished
            self._unfinished.clear()
            self._end = HEADER_BYTES + self._count * self.frame_bytes

    def content(self) -> LogContent:
        salts = self._salts
        if salts is None:
            # The header is damaged; its salts are those that most of the frames have.
            known = [kind for kind in self._ignored if kind != (0, 0)]
            salts = max(known, key=self._ignored.__getitem__, default=(0, 0))
        ignored = self._ignored[salts] if salts != (0, 0) else 0
        return LogContent(
            self._commits,
            ignored,
            self._end,
            frozenset(self._pages),
            frozenset(self._pages_ignored.get(salts, set()) | self._unfinished),
        )


def _sums_of(data: bytes, sums: Sums, order: str) -> Sums:
    """Return the checksum of what came before and of `data`, whose length is a multiple of 8."""
    first, second = sums
    words = iter(struct.unpack(f"{order}{len(data) // 4}I", data))
    for low, high in zip(words, words, strict=True):
        first = (first + low + second) & _MASK
        second = (second + high + first) & _MASK
    return first, second
