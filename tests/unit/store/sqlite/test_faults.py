"""A device that fails to read: said as such, tried again, and not called damage."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import apsw
import pytest

from outlast._store.sqlite.examination import prepare
from outlast._store.sqlite.faults import explain, translate
from outlast._store.sqlite.workers import Workers
from outlast._store.sqlite.writing import Writing
from outlast._store.transactions import CommitId, Effects, Receipt, StartRun, Transaction
from outlast._world import RealWorld
from outlast.errors import StoreDamaged, StoreUnavailable
from tests.conformance.driving import RUN, new_row, record


def test_a_log_that_cannot_be_read_once_refuses_that_commit_and_takes_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "outlast.db"
    writing = Writing(prepare(path, create=True), path)
    [lease] = writing.acquire("e")
    start = StartRun(new_row(RUN), (record(1, kind="run_started"),), "never")
    writing.commit(CommitId("e", 1), [Transaction(None, RUN, [], Effects(starts=(start,)))])

    def fail(_: int, __: int, ___: int) -> bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as broken:
        broken.setattr(os, "pread", fail)
        with pytest.raises(StoreUnavailable, match=r"outlast\.db-wal cannot be read now \(Input"):
            writing.commit(CommitId("e", 2), [Transaction(lease, RUN, [record(2)])])

    [receipt] = writing.commit(CommitId("e", 3), [Transaction(lease, RUN, [record(2)])])
    writing.close()
    assert receipt == Receipt(position=2)


def test_what_a_device_fails_to_read_is_not_called_damaged() -> None:
    malformed = apsw.CorruptError("database disk image is malformed")

    failed = translate(malformed, "o.db", system_errno=errno.EIO)
    damaged = translate(malformed, "o.db")

    assert isinstance(failed, StoreUnavailable)
    assert "outlast db verify" in f"{failed}"
    assert "backup" not in f"{failed}"
    assert isinstance(damaged, StoreDamaged)
    assert "db verify" in f"{damaged}"


def test_an_error_of_the_operating_system_names_the_file_and_the_cause() -> None:
    error = explain(OSError(errno.EIO, "Input/output error", "o.db-wal"), "o.db")
    refused = translate(apsw.IOError("disk I/O error"), "o.db", system_errno=errno.EPERM)

    assert isinstance(error, StoreUnavailable)
    assert "o.db-wal cannot be read now (Input/output error)" in f"{error}"
    assert os.strerror(errno.EPERM) in f"{refused}"


async def test_upkeep_that_fails_leaves_a_thread_that_takes_the_next_job() -> None:
    def fail(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    workers = Workers(
        RealWorld(),
        [1],
        name="w",
        after_job=fail,
        explain=lambda error, _: explain(error, "o.db"),
    )

    assert [await workers.call(lambda n: n + 1) for _ in range(3)] == [2, 2, 2]
    workers.close()
