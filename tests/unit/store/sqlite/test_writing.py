"""The writing connection on a disk that fails, and beside programs that ought not to be there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from outlast._store.sqlite import writing as sqlite_writing
from outlast._store.sqlite.connection import Connection
from outlast._store.sqlite.examination import prepare
from outlast._store.sqlite.opening import open_reader, open_writer
from outlast._store.sqlite.store import SqliteStore
from outlast._store.sqlite.tables.checks import Checks, Reading
from outlast._store.sqlite.tables.columns import SHARDS, fetch, sealed
from outlast._store.sqlite.tables.reads import read_journal
from outlast._store.sqlite.writing import Writing
from outlast._store.transactions import (
    CommitId,
    CommitResult,
    Effects,
    Receipt,
    StartRun,
    Transaction,
)
from outlast._world import RealWorld
from outlast.errors import CommitUnknown, StoreError, StoreReplaced, StoreUnavailable
from tests.conformance.driving import RUN, new_row, record


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outlast.db"


class Disk:
    """A writer on a disk that fails when told to, once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        db = prepare(path, create=True)
        self.writing = Writing(db, path)
        [self.lease] = self.writing.acquire("engine-1")
        start = StartRun(new_row(RUN), (record(1, kind="run_started"),), "never")
        self.commit(1, Transaction(None, RUN, [], Effects(starts=(start,))))
        self._db = db

    def commit(self, number: int, *batch: Transaction) -> list[CommitResult]:
        return self.writing.commit(CommitId("engine-1", number), batch)

    def append(self, number: int) -> Transaction:
        return Transaction(self.lease, RUN, [record(number)])

    def fail_before_commit(self, code: int) -> None:
        """The disk fails while COMMIT writes: SQLite rolls back."""
        assert isinstance(self._db, apsw.Connection)
        self._db.set_commit_hook(lambda: self._fail(code))

    def fail_after_commit(self, code: int) -> None:
        """COMMIT is done, and its answer is an error all the same."""

        def hook(_: object, __: str, ___: int) -> int:
            return self._fail(code)

        self._db.set_wal_hook(hook)

    def _fail(self, code: int) -> bool:
        error = apsw.IOError("disk I/O error")
        vars(error)["extendedresult"] = code
        raise error

    def shard(self) -> list[object]:
        db = open_reader(self.path)
        [found] = fetch(db, SHARDS, "")
        db.close()
        return list(found)

    def hurry(self) -> None:
        self._db.set_busy_timeout(1)

    def written(self) -> list[int]:
        db = open_reader(self.path)
        found = [r.seq for r in read_journal(Reading(db, Checks(self.path, open_reader)), RUN, 0)]
        db.close()
        return found


@pytest.fixture
def disk(path: Path) -> Iterator[Disk]:
    disk = Disk(path)
    yield disk
    disk.writing.close()


def _refuse_to_open(path: Path) -> Connection:
    raise StoreUnavailable(f"{path} cannot be opened now")


CODES = [apsw.SQLITE_IOERR_WRITE, apsw.SQLITE_IOERR_FSYNC, apsw.SQLITE_IOERR_SHMMAP]


@pytest.mark.parametrize("code", CODES)
def test_a_commit_that_failed_is_refused_and_may_be_made_again(disk: Disk, code: int) -> None:
    disk.fail_before_commit(code)

    with pytest.raises(StoreUnavailable, match="disk I/O error"):
        disk.commit(2, disk.append(2))
    assert disk.written() == [1]

    [result] = disk.commit(2, disk.append(2))
    assert result == Receipt(position=2)
    assert disk.written() == [1, 2]


@pytest.mark.parametrize("code", CODES)
def test_a_commit_whose_answer_was_an_error_is_found_to_be_made(disk: Disk, code: int) -> None:
    disk.fail_after_commit(code)

    assert disk.commit(2, disk.append(2)) == [Receipt(position=2)]
    assert disk.commit(3, disk.append(3)) == [Receipt(position=3)]
    assert disk.written() == [1, 2, 3]


def test_after_a_failed_sync_the_log_is_copied_into_the_database_first(disk: Disk) -> None:
    wal = disk.path.with_name("outlast.db-wal")
    # Closing the last connection would empty the log anyway.
    reader = open_reader(disk.path)
    disk.fail_after_commit(apsw.SQLITE_IOERR_FSYNC)
    assert wal.stat().st_size > 0

    disk.commit(2, disk.append(2))

    assert wal.stat().st_size == 0
    reader.close()
    assert disk.written() == [1, 2]


@pytest.mark.parametrize("is_made", [True, False])
def test_what_cannot_be_told_now_is_told_when_the_file_is_back(disk: Disk, is_made: bool) -> None:
    (disk.fail_after_commit if is_made else disk.fail_before_commit)(apsw.SQLITE_IOERR_WRITE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sqlite_writing, "open_writer", _refuse_to_open)
        with pytest.raises(CommitUnknown, match="cannot be told"):
            disk.commit(2, disk.append(2))
        with pytest.raises(StoreUnavailable):
            disk.writing.outcome_of(CommitId("engine-1", 2))

    outcome = disk.writing.outcome_of(CommitId("engine-1", 2))

    assert outcome == ([Receipt(position=2)] if is_made else None)
    if not is_made:
        disk.commit(2, disk.append(2))
    disk.commit(3, disk.append(3))
    assert disk.written() == [1, 2, 3]


def take_over(disk: Disk) -> None:
    other = open_writer(disk.path)
    [[*cells, _]] = fetch(other, SHARDS, "")
    _, _, _, *rest = [cell for cell in cells if isinstance(cell, int | str | bytes)]
    marks = ", ".join("?" * (len(SHARDS.columns) + 1))
    thief = sealed((0, "thief", 9, *rest))
    other.execute(f"UPDATE shards SET ({SHARDS.selected}) = ({marks})", thief)
    other.close()


def test_an_engine_that_has_lost_its_lease_writes_nothing_more(disk: Disk) -> None:
    take_over(disk)

    for _ in range(2):
        with pytest.raises(
            StoreReplaced, match=r"another engine \(thief\) took the lease under epoch 9"
        ):
            disk.commit(2, disk.append(2))

    assert disk.written() == [1]


def test_upkeep_of_an_engine_that_has_lost_its_lease_leaves_it_to_the_other(disk: Disk) -> None:
    take_over(disk)
    before = disk.shard()

    with pytest.raises(StoreReplaced, match="took the lease"):
        disk.writing.change(lambda _: None)
    with pytest.raises(StoreReplaced, match="took the lease"):
        disk.writing.release([disk.lease])

    assert disk.shard() == before


def test_an_idle_engine_notices_that_its_lease_was_taken(disk: Disk) -> None:
    heard: list[StoreError] = []
    disk.writing.watch.on_fault = heard.append
    disk.writing.look_after_files()
    assert heard == []
    take_over(disk)

    disk.writing.look_after_files()

    assert [type(error) for error in heard] == [StoreReplaced]


def test_a_commit_whose_end_is_unknown_is_not_settled_under_the_lease_of_another(
    disk: Disk,
) -> None:
    disk.fail_before_commit(apsw.SQLITE_IOERR_WRITE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sqlite_writing, "open_writer", _refuse_to_open)
        with pytest.raises(CommitUnknown):
            disk.commit(2, disk.append(2))
    take_over(disk)

    with pytest.raises(StoreReplaced, match="took the lease"):
        disk.writing.outcome_of(CommitId("engine-1", 2))


def test_records_that_another_program_deleted_stop_the_engine(disk: Disk) -> None:
    other = open_writer(disk.path)
    other.execute("DELETE FROM journal")
    other.close()

    for _ in range(2):
        with pytest.raises(StoreReplaced, match="another program changed the tables"):
            disk.commit(2, disk.append(2))


def test_a_database_held_by_another_program_makes_the_writer_wait(disk: Disk) -> None:
    other = open_writer(disk.path)
    other.execute("BEGIN IMMEDIATE")
    disk.hurry()

    with pytest.raises(StoreUnavailable, match="locked by another program"):
        disk.commit(2, disk.append(2))

    other.close(True)
    disk.commit(2, disk.append(2))
    assert disk.written() == [1, 2]


def test_a_value_that_sqlite_refuses_leaves_the_writer_usable(disk: Disk) -> None:
    broken = Transaction(
        disk.lease, RUN, [record(2, body=b"x")], Effects(values=(("\ud800", b""),))
    )

    with pytest.raises(UnicodeEncodeError):
        disk.commit(2, broken)

    disk.commit(3, disk.append(2))
    assert disk.written() == [1, 2]


async def test_looking_for_rows_of_the_audit_to_delete_is_no_commit(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "outlast.db", world=RealWorld())
    assert store._writing is not None
    before = store._writing.shard
    assert await store.prune_audit(10, 10, 10, 10) == 0
    assert store._writing.shard == before
    await store.close()
