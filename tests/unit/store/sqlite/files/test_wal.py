from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest

from outlast._store.sqlite.files.wal import FRAME_HEADER_BYTES, HEADER_BYTES, LogContent, read_log

COMMITS = 20
FRAME_BYTES = FRAME_HEADER_BYTES + 4_096


@pytest.fixture
def wal(tmp_path: Path) -> Path:
    """A log with COMMITS commits, of one frame or two each, and what an earlier one left."""
    path = tmp_path / "a.db"
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA page_size=4096")
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA wal_autocheckpoint=0")
    db.execute("CREATE TABLE t (a)")
    for n in range(3 * COMMITS):
        db.execute("INSERT INTO t VALUES (?)", (bytes(100) + b"%d" % n,))
    db.execute("PRAGMA wal_checkpoint(PASSIVE)")
    for n in range(COMMITS):
        db.execute("INSERT INTO t VALUES (?)", (bytes(2_000) + b"%d" % n,))
    copy = tmp_path / "copy-wal"
    shutil.copy(tmp_path / "a.db-wal", copy)
    db.close()
    return copy


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def frame(number: int) -> int:
    return HEADER_BYTES + number * FRAME_BYTES


def test_a_sound_log_holds_its_commits_and_ignores_an_earlier_generation(wal: Path) -> None:
    content = read_log(wal)

    assert (content.commits, content.ignored) == (COMMITS, 0)
    assert content.bytes_valid < wal.stat().st_size


@pytest.mark.parametrize("place", [0, 8, FRAME_HEADER_BYTES - 1, FRAME_HEADER_BYTES + 2_000])
@pytest.mark.parametrize("number", [0, 1, 10])
def test_commits_behind_a_damaged_frame_are_counted(wal: Path, number: int, place: int) -> None:
    flip(wal, frame(number) + place)

    content = read_log(wal)

    assert content.commits < COMMITS
    # The damaged frame may have been a commit's last one, and is of no generation any more.
    assert content.commits + content.ignored in (COMMITS - 1, COMMITS)
    assert content.bytes_valid <= frame(number)


@pytest.mark.parametrize("at", range(0, HEADER_BYTES, 3))
def test_commits_behind_a_damaged_header_are_counted(wal: Path, at: int) -> None:
    whole = read_log(wal)
    flip(wal, at)

    content = read_log(wal)

    assert content.commits == 0
    assert content.ignored >= whole.commits


def test_what_is_cut_away_leaves_nothing_behind_the_break(wal: Path) -> None:
    data = wal.read_bytes()
    for size in range(0, len(data), 997):
        wal.write_bytes(data[:size])
        content = read_log(wal)
        assert content.ignored == 0 or size < HEADER_BYTES
        assert content.bytes_valid <= size


def test_no_log_and_an_empty_one_hold_nothing(wal: Path) -> None:
    wal.write_bytes(b"")
    assert read_log(wal) == LogContent()
    wal.unlink()
    assert read_log(wal) == LogContent()


def test_zeros_behind_the_end_are_no_commits(wal: Path) -> None:
    sound = read_log(wal)
    with wal.open("ab") as file:
        file.write(bytes(10 * FRAME_BYTES))

    assert read_log(wal) == sound
