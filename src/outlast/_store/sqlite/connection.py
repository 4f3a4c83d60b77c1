"""A database connection, typed: the part of apsw's that we use.

apsw's own stubs name a type that Python has only since 3.12, so before that nothing that passes
through them has a type.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, TypeAlias

import apsw

from outlast._store.row_codec import RowCodec

BUSY_MILLISECONDS = 5_000  # a connection waits so long for a lock of another program

Cell = int | str | bytes | None


# As text: apsw.CArrayBinding is in the stubs only.
Cells: TypeAlias = "Sequence[Cell | apsw.CArrayBinding]"


class Rows(Protocol):
    """What a statement returned."""

    def fetchall(self) -> Sequence[Sequence[object]]:
        """Return all of them; this ends the statement."""
        ...

    def fetchone(self) -> Sequence[object] | None:
        """Return the next one; the statement goes on until `close`."""
        ...

    def close(self, force: bool = False, /) -> None:
        """End the statement."""
        ...


class Connection(Protocol):
    """One connection; see apsw for the meaning of its methods."""

    codec: RowCodec | None
    """What bodies pass through; None on a connection that takes rows as they are stored."""

    @property
    def system_errno(self) -> int:
        """The operating system's number for the last error."""
        ...

    def execute(self, statements: str, bindings: Cells = (), /) -> Rows:
        """Run statements."""
        ...

    def executemany(self, statements: str, bindings: Iterable[Sequence[Cell]], /) -> Rows:
        """Run a statement for each of the bindings."""
        ...

    def changes(self) -> int:
        """Return how many rows the last statement changed."""
        ...

    def get_autocommit(self) -> bool:
        """Whether no transaction is open."""
        ...

    def pragma(self, name: str, value: str | int | None = None, /) -> object:
        """Set or read a pragma."""
        ...

    def config(self, option: int, value: int, /) -> int:
        """Set one of SQLite's options of a connection."""
        ...

    def set_busy_timeout(self, milliseconds: int, /) -> None:
        """Wait this long for a lock."""
        ...

    def set_wal_hook(self, callable: Callable[[object, str, int], int] | None, /) -> None:
        """Call after every commit with the pages in the write-ahead log."""
        ...

    def wal_checkpoint(self, dbname: str | None = None, mode: int = 0) -> tuple[int, int]:
        """Copy the write-ahead log into the database."""
        ...

    def file_control(self, dbname: str, op: int, pointer: int) -> bool:
        """Ask the file of a database for something that SQL cannot say."""
        ...

    def set_progress_handler(self, callable: Callable[[], bool] | None, nsteps: int, /) -> None:
        """Call after so many steps of a statement; it is interrupted when that returns True."""
        ...

    def interrupt(self) -> None:
        """End what another thread executes on it."""
        ...

    def close(self, force: bool = False, /) -> None:
        """Close it."""
        ...


class _Connection(apsw.Connection):
    codec: RowCodec | None = None


def connect(name: str, flags: int, *, statements_cached: int = 100) -> Connection:
    """Open a database."""
    return _Connection(name, flags=flags, statementcachesize=statements_cached)


def texts(values: Iterable[str]) -> apsw.CArrayBinding:
    """Return what `carray(?)` takes: many texts in one parameter."""
    return apsw.carray(tuple(values))  # pyright: ignore[reportUnknownMemberType]  # see above
