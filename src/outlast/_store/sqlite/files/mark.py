"""The mark of a database: the number of its last acknowledged commit, in a file beside it.

SQLite cannot tell a write-ahead log that was deleted, cut or damaged from one that ended there.
The mark can: a database that has fewer commits than its mark says has lost some.

Invariants:
  * the mark never leads: it is written after a commit is synced, before it is acknowledged;
  * it may lag after a power loss, for it is synced only with a checkpoint and at a clean close;
  * it has two slots, written in turns: one that is torn or damaged leaves the other;
  * it has its name only when it is filled: a kill leaves a whole mark, or none;
  * an open database's mark that is deleted, replaced or cannot be written is made anew; until that
    has succeeded the log is emptied after each commit, so that nothing depends on the mark.
"""

from __future__ import annotations

import logging
import os
import struct
from dataclasses import dataclass, field
from pathlib import Path
from zlib import crc32

from outlast._store.sqlite.files.descriptors import close_private, open_private
from outlast._store.sqlite.files.write_ahead_log import sync_path
from outlast.errors import StoreError

log = logging.getLogger("outlast.store")

# Magic, database id, epoch, commit number, that of the last finished checkpoint; the CRC-32 of all
# these follows.
_SLOT = struct.Struct(">8s16sQQQ")
_MAGIC = b"outlmrk2"
_FIRST_SLOT = struct.Struct(">8s16sQQ")  # of marks that did not have the last number yet
_FIRST_MAGIC = b"outlmrk1"
_CRC_BYTES = 4
_SLOT_BYTES = _SLOT.size + _CRC_BYTES
_SLOT_OFFSET = 512  # sectors are written whole or not at all: each slot has one of its own
_pack = _SLOT.pack


@dataclass(frozen=True, slots=True)
class MarkContent:
    """What a mark says."""

    database_id: bytes
    epoch: int
    number: int
    # The database file alone has so many commits at least; 0 where that is not known.
    number_in_file: int = field(default=0, compare=False)


class Mark:
    """The mark of one open database."""

    def __init__(self, database: Path, database_id: bytes, epoch: int, number: int) -> None:
        """Open it, or make it, and note the last commit.

        Raises:
            StoreError: it cannot be made.
        """
        self._path = mark_path(database)
        self._id = database_id
        self.number_in_file = 0  # the commit up to which a checkpoint has copied all
        self.is_failing = False
        self._is_warned = False
        try:
            if _is_whole(self._path):
                self._descriptor = open_private(str(self._path), os.O_RDWR)
            else:
                self._descriptor = _made(self._path, self._slot(epoch, number), number)
            self._file = os.fstat(self._descriptor)
        except OSError as error:
            raise StoreError(f"cannot create {self._path}: {error.strerror}") from error
        self.write(epoch, number)

    def write(self, epoch: int, number: int) -> None:
        """Note a commit that is synced."""
        content = self._slot(epoch, number)
        try:
            os.pwrite(self._descriptor, content, (number & 1) * _SLOT_OFFSET)
        except OSError as error:
            self._fail(f"cannot be written ({error.strerror})")

    def _slot(self, epoch: int, number: int) -> bytes:
        content = _pack(_MAGIC, self._id, epoch, number, self.number_in_file)
        return content + crc32(content).to_bytes(_CRC_BYTES, "big")

    def look(self, epoch: int, number: int) -> None:
        """Make it anew when its path leads to another file or none, or when it was not written."""
        if not self.is_failing and self._is_in_place():
            self._is_warned = False
            return
        if not self.is_failing:
            log.warning("%s was deleted or replaced; it is created again", self._path)
        try:
            descriptor = _made(self._path, self._slot(epoch, number), number)
        except OSError as error:
            self._fail(f"cannot be created again ({error.strerror})")
            return
        close_private(self._descriptor)
        self._descriptor, self._file = descriptor, os.fstat(descriptor)
        self.is_failing = False

    def _is_in_place(self) -> bool:
        try:
            found = self._path.stat()
        except OSError:
            return False
        return os.path.samestat(found, self._file)

    def _fail(self, what: str) -> None:
        if not self._is_warned:
            log.warning(
                "%s %s: outlast tries to create it again after each commit. Until then, it copies "
                "every commit into the database file at once, so that losing the log cannot lose "
                "commits undetected",
                self._path,
                what,
            )
        self.is_failing = self._is_warned = True

    def sync(self) -> None:
        """Make it durable."""
        try:
            os.fsync(self._descriptor)
        except OSError as error:
            log.warning("%s cannot be synced: %s", self._path, error)

    def close(self) -> None:
        """Close it."""
        close_private(self._descriptor)


def _made(path: Path, slot: bytes, number: int) -> int:
    """Make a mark that has one slot filled, in place of any other; return its descriptor."""
    made = path.with_name(f"{path.name}.new")
    descriptor = open_private(str(made), os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    try:
        # All its space is taken now: writing it later does not fail for want of it.
        os.pwrite(descriptor, bytes(2 * _SLOT_OFFSET), 0)
        os.pwrite(descriptor, slot, (number & 1) * _SLOT_OFFSET)
        os.fsync(descriptor)
        made.replace(path)
        sync_path(path.parent)
    except OSError:
        close_private(descriptor)
        raise
    return descriptor


def _is_whole(path: Path) -> bool:
    try:
        return path.stat().st_size >= 2 * _SLOT_OFFSET
    except FileNotFoundError:
        return False


def is_blank(database: Path) -> bool:
    """Whether there is a mark in which nothing was ever written.

    Versions that made the file before they filled it left it so when they were killed in between.
    """
    try:
        return not any(mark_path(database).read_bytes())
    except OSError:
        return False


def mark_path(database: Path) -> Path:
    """Return the mark's file of a database."""
    return database.with_name(database.name + ".mark")


def read_mark(database: Path) -> MarkContent | None:
    """Return what the mark of a database says, None when it is missing or both slots are damaged.

    Raises:
        StoreError: it cannot be read.
    """
    try:
        data = mark_path(database).read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreError(f"cannot read {mark_path(database)}: {error.strerror}") from error
    slots = [_slot(data[offset : offset + _SLOT_BYTES]) for offset in (0, _SLOT_OFFSET)]
    found = [slot for slot in slots if slot is not None]
    return max(found, key=lambda slot: slot.number, default=None)


def _slot(data: bytes) -> MarkContent | None:
    for layout, magic in ((_SLOT, _MAGIC), (_FIRST_SLOT, _FIRST_MAGIC)):
        content, crc = data[: layout.size], data[layout.size : layout.size + _CRC_BYTES]
        if content.startswith(magic) and crc32(content).to_bytes(_CRC_BYTES, "big") == crc:
            _, database_id, *numbers = layout.unpack(content)
            return MarkContent(database_id, *numbers)
    return None


def write_mark(database: Path, content: MarkContent) -> None:
    """Write a mark anew, whatever it said before.

    Raises:
        StoreError: it cannot be made.
    """
    mark_path(database).unlink(missing_ok=True)
    mark = Mark(database, content.database_id, content.epoch, content.number)
    mark.sync()
    mark.close()
