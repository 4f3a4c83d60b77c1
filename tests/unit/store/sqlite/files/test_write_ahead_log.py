"""The write-ahead log beside readers that stay: commits go on, and the log shrinks afterwards."""

from __future__ import annotations

import logging
import os
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from outlast import limits
from outlast._store.sqlite import backup as sqlite_backup
from outlast._store.sqlite.backup import copy_database
from outlast._store.sqlite.examination import prepare
from outlast._store.sqlite.files import write_ahead_log as sqlite_files
from outlast._store.sqlite.opening import open_reader
from outlast._store.sqlite.store import SqliteStore
from outlast._store.sqlite.tables.checks import Checks, Reading
from outlast._store.sqlite.tables.reads import read_journal
from outlast._store.sqlite.writing import Writing
from outlast._store.transactions import CommitId, Effects, StartRun, Transaction
from outlast._world import RealWorld
from tests.conformance.driving import RUN, Driver, new_row, record, records
from tests.unit.store.sqlite.processes import kill, next_line, python

PAGES = 20  # between two checkpoints here


READ_AND_STAY = """
async def main(world):
    import sqlite3
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("BEGIN")
    db.execute("SELECT count(*) FROM runs").fetchone()
    say("reading")
    sys.stdin.readline()
    db.close()
    say("read")
    sys.stdin.read()
"""


WRITE_FOR_EVER = """
async def main(world):
    store = await SqliteStore.open(path, world=world)
    lease = await begin(store)
    n = 1
    while True:
        n += 1
        await store.commit(CommitId("engine-1", n), [Transaction(lease, "a", [record(n)])])
        if n == 500:
            say("at work")
"""


class Log:
    """A writer whose log is long after a few commits."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.wal = path.with_name("outlast.db-wal")
        self.writing = Writing(prepare(path, create=True), path)
        [self.lease] = self.writing.acquire("engine-1")
        start = StartRun(new_row(RUN), (record(1, kind="run_started"),), "never")
        self.number = 1
        self.writing.commit(
            CommitId("engine-1", 1), [Transaction(None, RUN, [], Effects(starts=(start,)))]
        )

    def commit(self, count: int) -> None:
        for _ in range(count):
            self.number += 1
            records = [record(self.number, body=bytes(10_000))]
            transaction = Transaction(self.lease, RUN, records)
            self.writing.commit(CommitId("engine-1", self.number), [transaction])
            self.writing.after_job()


@pytest.fixture
def long_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Log]:
    monkeypatch.setattr(sqlite_files, "CHECKPOINT_PAGES", PAGES)
    monkeypatch.setattr(sqlite_files, "_AT_ONCE_PAGES", 4 * PAGES)
    monkeypatch.setattr(sqlite_files, "_GROWN_BYTES", 2 * PAGES * 4_120)
    monkeypatch.setattr(limits, "STORE_LOG_BYTES", 10 * PAGES * 4_120)
    long_log = Log(tmp_path / "outlast.db")
    yield long_log
    long_log.writing.close()


def go(reader: subprocess.Popen[str]) -> None:
    assert reader.stdin is not None
    reader.stdin.write("\n")
    reader.stdin.flush()
    assert next_line(reader) == "read"


def test_without_readers_the_log_stays_short(long_log: Log) -> None:
    for _ in range(50):
        long_log.commit(10)
        assert long_log.wal.stat().st_size < 4 * PAGES * 4_120


def test_a_reader_that_stays_is_warned_of_once_and_the_log_shrinks_when_it_leaves(
    long_log: Log, caplog: pytest.LogCaptureFixture
) -> None:
    with python(READ_AND_STAY, long_log.path) as reader:
        assert next_line(reader) == "reading"
        long_log.commit(200)
        assert long_log.writing.log_bytes > 20 * PAGES * 4_120
        told = [r for r in caplog.records if "and prevents its reuse" in r.getMessage()]
        assert [r.levelno for r in told] == [logging.WARNING]
        # The thread that copies the log reads too: what is said of this process depends on it.
        assert f"because process {reader.pid} (" in caplog.text

        go(reader)
        for _ in range(200):  # a thread copies what is left, as late as the machine makes it
            long_log.commit(10)
            if long_log.writing.log_bytes < 20 * PAGES * 4_120:
                break
        assert long_log.writing.log_bytes < 20 * PAGES * 4_120
        assert long_log.wal.stat().st_size < 4 * PAGES * 4_120
        reader.communicate()
    assert len(caplog.records) == 1
    db = open_reader(long_log.path)
    assert [
        r.seq for r in read_journal(Reading(db, Checks(long_log.path, open_reader)), RUN, 0)
    ] == list(range(1, long_log.number + 1))
    db.close()


def test_a_lookup_of_our_own_that_takes_long_is_not_blamed_on_others(
    long_log: Log, caplog: pytest.LogCaptureFixture
) -> None:
    db = open_reader(long_log.path)
    db.execute("BEGIN")
    db.execute("SELECT count(*) FROM runs").fetchall()

    long_log.commit(200)

    assert (
        f"because a lookup of this process ({os.getpid()}) has been running for a long time"
        in caplog.text
    )
    db.execute("ROLLBACK")
    db.close()
    long_log.commit(200)
    assert long_log.wal.stat().st_size < 4 * PAGES * 4_120


def test_the_log_shrinks_while_nothing_is_committed(long_log: Log) -> None:
    with python(READ_AND_STAY, long_log.path) as reader:
        assert next_line(reader) == "reading"
        long_log.commit(200)
        long_log.writing.look_after_files()
        assert long_log.wal.stat().st_size > 20 * PAGES * 4_120
        go(reader)

        for _ in range(3):
            long_log.writing.look_after_files()
            assert long_log.writing.watch.fault is None
            thread = long_log.writing._wal._thread
            if thread is not None:
                thread.join()

        assert long_log.wal.stat().st_size == 0
        reader.communicate()


def test_a_reader_that_stays_makes_no_commit_wait(
    long_log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    with python(READ_AND_STAY, long_log.path) as reader:
        assert next_line(reader) == "reading"
        # A wait for the reader would end in an error only after this time.
        monkeypatch.setattr(sqlite_files, "BUSY_MILLISECONDS", 3_600_000)
        long_log.commit(400)
        long_log.writing.close()
        reader.communicate()


def test_a_copy_ends_although_the_source_is_written_all_the_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_backup, "_STEP_PAGES", 1)
    copy = tmp_path / "copy.db"
    copy.touch()
    with python(WRITE_FOR_EVER, tmp_path / "outlast.db") as owner:
        assert next_line(owner) == "at work"
        copy_database(tmp_path / "outlast.db", copy)
        kill(owner)

    db = sqlite3.connect(copy)
    assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert db.execute("SELECT max(seq) = count(*), count(*) >= 500 FROM journal").fetchone() == (
        1,
        1,
    )
    db.close()


async def test_a_log_whose_size_cannot_be_told_is_not_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "outlast.db"
    store = await SqliteStore.open(path, world=RealWorld())
    engine = await Driver.begin(store)
    await engine.start(RUN)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fstat", _fail)
        for seq in range(2, 60):
            await engine.commit(engine.on(RUN, record(seq)))

    assert await store.read_journal(RUN) == [record(1, kind="run_started"), *records(2, 59)]
    await store.close()


def _fail(_: int) -> os.stat_result:
    raise OSError(5, "Input/output error")
