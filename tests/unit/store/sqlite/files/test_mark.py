"""The mark of an open database: made anew when it goes, and not missed in silence at an open."""

from __future__ import annotations

import errno
import logging
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from zlib import crc32

import pytest

from outlast._store.sqlite.examination import look_for_loss, prepare
from outlast._store.sqlite.files.mark import mark_path, read_mark
from outlast._store.sqlite.writing import Writing
from outlast._store.transactions import CommitId, Effects, StartRun, Transaction
from outlast.errors import StoreDamaged
from outlast.types import Lease
from tests.conformance.driving import RUN, new_row, record


class Store:
    """A writer, and the upkeep that its thread does after each job and while idle."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.writing = Writing(prepare(path, create=True), path)
        self.lease: Lease = self.writing.acquire("e")[0]
        self.number = 1
        start = StartRun(new_row(RUN), (record(1, kind="run_started"),), "never")
        self.writing.commit(
            CommitId("e", 1), [Transaction(None, RUN, [], Effects(starts=(start,)))]
        )

    def commit(self) -> None:
        self.number += 1
        transaction = Transaction(self.lease, RUN, [record(self.number)])
        self.writing.commit(CommitId("e", self.number), [transaction])
        self.writing.after_job()

    def marked(self) -> int:
        mark = read_mark(self.path)
        assert mark is not None
        return mark.number


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "outlast.db")
    yield store
    store.writing.close()


def copy_killed(store: Store, to: Path) -> Path:
    """Copy all files as they are: what a kill leaves."""
    to.mkdir()
    for file in store.path.parent.glob("outlast.db*"):
        (to / file.name).write_bytes(file.read_bytes())
    return to / store.path.name


def _delete(mark: Path) -> None:
    mark.unlink()


def _replace(mark: Path) -> None:
    other = mark.with_name("other")
    other.write_bytes(mark.read_bytes())
    other.replace(mark)


@pytest.mark.parametrize("harm", [_delete, _replace], ids=lambda f: f.__name__)
@pytest.mark.parametrize("is_idle", [True, False])
def test_a_mark_that_goes_is_made_anew_and_notes_every_later_commit(
    store: Store, harm: object, is_idle: bool, caplog: pytest.LogCaptureFixture
) -> None:
    assert callable(harm)
    caplog.set_level(logging.WARNING, "outlast.store")
    harm(mark_path(store.path))

    if is_idle:
        store.writing.look_after_files()
    else:
        store.commit()
    assert store.marked() == store.writing.shard.commits
    store.commit()
    assert store.marked() == store.writing.shard.commits
    assert caplog.text.count("was deleted or replaced; it is created again") == 1


def test_while_the_mark_cannot_be_written_a_lost_log_loses_nothing(
    store: Store,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING, "outlast.store")

    def fail(_: int, __: bytes, ___: int) -> int:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as broken:
        broken.setattr(os, "pwrite", fail)
        for _ in range(3):
            store.commit()
        copy = copy_killed(store, tmp_path / "killed")
    copy.with_name("outlast.db-wal").unlink()
    copy.with_name("outlast.db-shm").unlink()
    db = prepare(copy, create=False)
    found = db.execute("SELECT count(*) FROM journal").fetchall()
    db.close(True)

    assert found == [(store.number,)]
    assert caplog.text.count("every commit into the database file") == 1
    store.commit()
    assert store.marked() == store.writing.shard.commits


def test_a_database_whose_log_and_mark_are_gone_before_its_first_checkpoint_is_refused(
    store: Store, tmp_path: Path
) -> None:
    copy = copy_killed(store, tmp_path / "killed")
    for suffix in ("-wal", "-shm", ".mark"):
        copy.with_name(copy.name + suffix).unlink()

    with pytest.raises(StoreDamaged, match=r"lacks at least 1 .*reserve.*--accept-loss 1"):
        prepare(copy, create=False)
    loss = look_for_loss(copy)
    assert loss is not None
    assert loss.is_least


def test_a_database_alone_is_opened_with_a_warning_that_its_mark_is_missing(
    store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "outlast.store")
    copy = tmp_path / "alone.db"
    copy.write_bytes(store.path.read_bytes())

    prepare(copy, create=False).close(True)

    assert f"{copy}.mark is missing" in caplog.text


def test_a_new_database_is_opened_without_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "outlast.store")

    Writing(prepare(tmp_path / "new.db", create=True), tmp_path / "new.db").close()

    assert caplog.records == []


def test_a_mark_of_the_first_layout_is_still_read(tmp_path: Path) -> None:
    path = tmp_path / "outlast.db"
    content = struct.pack(">8s16sQQ", b"outlmrk1", b"i" * 16, 3, 42)
    slot = content + crc32(content).to_bytes(4, "big")
    mark_path(path).write_bytes(slot.ljust(512, b"\0") + bytes(512))

    mark = read_mark(path)

    assert mark is not None
    assert (mark.database_id, mark.epoch, mark.number, mark.number_in_file) == (b"i" * 16, 3, 42, 0)


def test_a_mark_notes_up_to_where_the_file_alone_is(store: Store) -> None:
    store.commit()
    store.writing.close()

    store.writing = Writing(prepare(store.path, create=False), store.path)
    opened = store.marked()
    store.writing.acquire("e")

    mark = read_mark(store.path)
    assert mark is not None
    assert (mark.number, mark.number_in_file) == (opened + 1, opened)


def test_a_mark_has_its_name_only_when_it_is_filled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "outlast.db"
    seen: list[bool] = []
    write = os.pwrite

    def looks(descriptor: int, data: bytes, offset: int) -> int:
        seen.append(mark_path(path).exists() and read_mark(path) is None)
        return write(descriptor, data, offset)

    with monkeypatch.context() as watched:
        watched.setattr(os, "pwrite", looks)
        Writing(prepare(path, create=True), path).close()

    assert seen
    assert not any(seen)
    assert read_mark(path) is not None
    assert [file.name for file in tmp_path.glob("*.new")] == []


@pytest.mark.parametrize("size", [0, 1024])
def test_an_empty_mark_of_a_killed_opening_is_no_damage(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, size: int
) -> None:
    caplog.set_level(logging.WARNING, "outlast.store")
    path = tmp_path / "outlast.db"
    prepare(path, create=True).close(True)
    mark_path(path).write_bytes(bytes(size))

    Writing(prepare(path, create=False), path).close()

    assert caplog.records == []
    mark = read_mark(path)
    assert mark is not None
    assert mark.number == 0


def test_an_empty_mark_beside_commits_says_no_more_than_a_missing_one(
    store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "outlast.store")
    copy = copy_killed(store, tmp_path / "killed")
    mark_path(copy).write_bytes(b"")

    prepare(copy, create=False).close(True)

    assert "is empty: commits lost before now cannot be detected" in caplog.text
