"""What a disk may hold after the power is lost, worked out of every system call a program made.

A program runs under strace. From the calls come the operations on the files of one directory, in
the order in which they were completed, between them what the program told of acknowledgements. At
any moment the disk has for sure only what was synced until then: of a file its contents as of its
last fsync, of a directory its entries as of its own. Whatever came behind that may be there or not,
each write and each entry by itself, and one write in part (cut at a sector).

The shared memory of SQLite (`-shm`) is left out: it is written through a mapping, and rebuilt.
"""

from __future__ import annotations

import random
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

SECTOR_BYTES = 512

_CALLS = (
    "openat,open,creat,close,write,pwrite64,writev,pwritev,ftruncate,truncate,fallocate,fsync,"
    "fdatasync,rename,renameat,renameat2,unlink,unlinkat,mkdir,mkdirat,rmdir,link,linkat,lseek,"
    "dup,dup2,dup3,copy_file_range,sendfile"
)
_LINE = re.compile(r"^(\d+) +(\w+)\((.*)\) += (-?\d+)")
_BEGUN = re.compile(r"^(\d+) +(\w+)\((.*?) *<unfinished \.\.\.>$")
_ENDED = re.compile(r"^(\d+) +<\.\.\. (\w+) resumed>(.*)$")
_STRING = re.compile(r'"((?:\\x[0-9a-f]{2})*)"(\.\.\.)?')


@dataclass(slots=True, eq=False)
class Inode:
    """A file: what is surely on the disk, and what was written behind that."""

    durable: bytearray = field(default_factory=bytearray)
    pending: list[tuple[int, bytes | None]] = field(default_factory=list[tuple[int, bytes | None]])

    def sync(self) -> None:
        for place, data in self.pending:
            _apply(self.durable, place, data)
        self.pending.clear()


def _apply(content: bytearray, place: int, data: bytes | None) -> None:
    """Write `data` at a place; with None, cut or fill the file to that length."""
    if data is None:
        del content[place:]
        content.extend(bytes(place - len(content)))
        return
    content.extend(bytes(max(0, place - len(content))))
    content[place : place + len(data)] = data


@dataclass(slots=True, eq=False)
class Directory:
    """A directory: its entries on the disk, and those changed since its last sync."""

    durable: dict[str, Inode | Directory] = field(default_factory=dict[str, "Inode | Directory"])
    current: dict[str, Inode | Directory] = field(default_factory=dict[str, "Inode | Directory"])
    pending: list[Change] = field(default_factory=list["Change"])

    def sync(self) -> None:
        for change in list(self.pending):
            change.sync()


@dataclass(slots=True, eq=False)
class Change:
    """What one call made of names; it is on the disk as a whole or not at all."""

    entries: list[tuple[Directory, str, Inode | Directory | None]]

    def make(self) -> None:
        for directory, name, what in self.entries:
            _enter(directory.current, name, what)
            if self not in directory.pending:
                directory.pending.append(self)

    def sync(self) -> None:
        for directory, name, what in self.entries:
            _enter(directory.durable, name, what)
            if self in directory.pending:
                directory.pending.remove(self)


def _enter(names: dict[str, Inode | Directory], name: str, what: Inode | Directory | None) -> None:
    if what is None:
        names.pop(name, None)
    else:
        names[name] = what


@dataclass(frozen=True, slots=True)
class Call:
    """One system call that has succeeded."""

    name: str
    arguments: str
    result: int

    @property
    def strings(self) -> list[bytes]:
        found = _STRING.findall(self.arguments)
        assert not any(cut for _, cut in found), "strace has shortened a string"
        return [bytes.fromhex(text.replace("\\x", "")) for text, _ in found]

    @property
    def numbers(self) -> list[int]:
        bare = _STRING.sub("", self.arguments)
        return [int(part) for part in bare.split(",") if part.strip().lstrip("-").isdigit()]


def can_trace() -> bool:
    """Whether strace is here and may look at what this user runs."""
    if shutil.which("strace") is None:
        return False
    tried = subprocess.run(["strace", "-qq", "true"], capture_output=True, check=False)
    return tried.returncode == 0


def traced(command: Sequence[str], log: Path) -> list[Call]:
    """Run a command under strace, and return its successful calls in the order they ended."""
    strace = ["strace", "-f", "-qq", "-xx", "-s", "16000000", "-e", f"trace={_CALLS}"]
    done = subprocess.run(
        [*strace, "-o", str(log), *command], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    begun: dict[str, str] = {}
    calls: list[Call] = []
    for line in log.read_text().splitlines():
        if (start := _BEGUN.match(line)) is not None:
            begun[start[1]] = f"{start[1]} {start[2]}({start[3]}"
            continue
        if (end := _ENDED.match(line)) is not None:
            line = begun.pop(end[1]) + end[3]
        if (whole := _LINE.match(line)) is not None and int(whole[4]) >= 0:
            calls.append(Call(whole[2], whole[3], int(whole[4])))
    return calls


class Disk:
    """The files below one directory, which is there from the start, as calls change them."""

    def __init__(self, root: Path, said: Callable[[str], None]) -> None:
        self.root = Directory()
        self._place = PurePosixPath(root)
        self._said = said
        self._open: dict[int, Inode | Directory] = {}
        self._positions: dict[int, int] = {}

    def do(self, call: Call) -> bool:
        """Follow a call; say whether it changed something here."""
        match call.name:
            case "openat" | "open" | "creat":
                return self._opened(call)
            case "close":
                self._open.pop(call.numbers[0], None)
                return False
            case "dup" | "dup2" | "dup3":
                assert call.numbers[0] not in self._open, "two descriptors of one file"
                return False
            case "copy_file_range" | "sendfile":
                assert not any(n in self._open for n in call.numbers), f"{call.name} here"
                return False
            case "rename" | "renameat" | "renameat2":
                return self._renamed(*call.strings)
            case "link" | "linkat":
                return self._linked(*call.strings)
            case "unlink" | "unlinkat" | "rmdir":
                return self._enter(call.strings[0], None)
            case "mkdir" | "mkdirat":
                return self._enter(call.strings[0], Directory())
            case _:
                return self._changed(call)

    def _changed(self, call: Call) -> bool:
        number = call.numbers[0]
        if number == 1 and call.name == "write":
            self._said(call.strings[0].decode())
            return True
        what = self._open.get(number)
        if call.name in ("fsync", "fdatasync") and what is not None:
            what.sync()
            return True
        if not isinstance(what, Inode):
            return False
        match call.name:
            case "lseek":
                self._positions[number] = call.result
                return False
            case "write":
                data = call.strings[0][: call.result]
                what.pending.append((self._positions[number], data))
                self._positions[number] += call.result
            case "pwrite64":
                what.pending.append((call.numbers[-1], call.strings[0][: call.result]))
            case "ftruncate":
                what.pending.append((call.numbers[-1], None))
            case "fallocate":
                size = _size_of(what)
                what.pending.append((max(size, sum(call.numbers[-2:])), None))
            case _:
                raise AssertionError(f"{call.name} is not followed")
        return True

    def _opened(self, call: Call) -> bool:
        self._open.pop(call.result, None)
        parent, name = self._parent_of(call.strings[0])
        if parent is None or name.endswith("-shm"):
            if call.strings[0].decode() == str(self._place):
                self._open[call.result] = self.root
            return False
        found, is_new = parent.current.get(name), False
        if found is None:
            found, is_new = Inode(), True
            Change([(parent, name, found)]).make()
        if "O_TRUNC" in call.arguments and isinstance(found, Inode):
            found.pending.append((0, None))
        self._open[call.result] = found
        self._positions[call.result] = 0
        assert "O_APPEND" not in call.arguments, "appending is not followed"
        return is_new

    def _parent_of(self, path: bytes) -> tuple[Directory | None, str]:
        try:
            parts = PurePosixPath(path.decode()).relative_to(self._place).parts
        except ValueError:
            return None, ""
        place: Inode | Directory | None = self.root
        for part in parts[:-1]:
            assert isinstance(place, Directory)
            place = place.current.get(part)
        return (place, parts[-1]) if isinstance(place, Directory) and parts else (None, "")

    def _enter(self, path: bytes, what: Inode | Directory | None) -> bool:
        parent, name = self._parent_of(path)
        if parent is None or name.endswith("-shm"):
            return False
        Change([(parent, name, what)]).make()
        return True

    def _linked(self, source: bytes, target: bytes) -> bool:
        parent, name = self._parent_of(source)
        return parent is not None and self._enter(target, parent.current[name])

    def _renamed(self, source: bytes, target: bytes) -> bool:
        before, old = self._parent_of(source)
        after, new = self._parent_of(target)
        if before is None or after is None:
            return False
        Change([(before, old, None), (after, new, before.current[old])]).make()
        return True


def _size_of(inode: Inode) -> int:
    content = bytearray(inode.durable)
    for place, data in inode.pending:
        _apply(content, place, data)
    return len(content)


class State:
    """One state that the disk may be in; `keeps` says of each unsynced change whether it is."""

    def __init__(self, keeps: Callable[[], bool], rng: random.Random) -> None:
        self._keeps = keeps
        self._rng = rng
        self._kept: dict[Change, bool] = {}

    def lay_out(self, directory: Directory, place: Path) -> None:
        """Write the files of a directory to a place."""
        names = dict(directory.durable)
        for change in directory.pending:
            if change not in self._kept:
                self._kept[change] = self._keeps()
            if self._kept[change]:
                for changed, name, what in change.entries:
                    if changed is directory:
                        _enter(names, name, what)
        place.mkdir(exist_ok=True)
        for name, what in names.items():
            if isinstance(what, Directory):
                self.lay_out(what, place / name)
            else:
                (place / name).write_bytes(self._content_of(what))

    def _content_of(self, inode: Inode) -> bytes:
        content = bytearray(inode.durable)
        kept = [change for change in inode.pending if self._keeps()]
        is_torn = kept and len(kept) < len(inode.pending)
        torn = self._rng.randrange(len(kept)) if is_torn else -1
        for number, (at, data) in enumerate(kept):
            if number == torn and data is not None and len(data) > SECTOR_BYTES:
                data = data[: self._rng.randrange(0, len(data), SECTOR_BYTES)]
            _apply(content, at, data)
        return bytes(content)


def python(module: str, *arguments: str) -> list[str]:
    """Return the command of a test program."""
    return [sys.executable, "-m", module, *arguments]
