"""A log of an earlier time never takes a database back, and the right log is always applied."""

from __future__ import annotations

import random
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import pytest

from outlast._store.sqlite.backup import salvage
from outlast._store.sqlite.connection import connect
from outlast._store.sqlite.examination import examine, prepare
from outlast._store.sqlite.files import write_ahead_log as sqlite_files
from outlast._store.sqlite.files.mark import mark_path, read_mark, write_mark
from outlast._store.sqlite.files.stale_log import log_path
from outlast._store.sqlite.files.wal import FRAME_HEADER_BYTES, HEADER_BYTES, read_log
from outlast._store.sqlite.store import SqliteStore
from outlast._store.sqlite.tables import forget as sqlite_forget
from outlast._store.sqlite.writing import Writing
from outlast._store.transactions import CommitId, Effects, StartRun, Transaction
from outlast._world import RealWorld
from outlast.cli import main
from outlast.cli.group import run_command
from outlast.errors import StoreDamaged
from outlast.types import RunId
from tests.conformance.driving import new_row, record, signal

PAGES = 40  # between two checkpoints: a life of COMMITS has many generations of the log
COMMITS = 160
EVERY = 8  # commits between two copies
FRAME_BYTES = FRAME_HEADER_BYTES + 4_096
TABLES = ("runs", "journal", "histories", "mailbox", "streams", "run_values", "shards")


@dataclass(frozen=True, slots=True)
class Life:
    """What an engine left at its clean close, and what a kill would have left at many moments."""

    closed: Path
    moments: tuple[Path, ...]

    @property
    def logs(self) -> list[Path]:
        return [moment for moment in self.moments if read_log(log_path(moment)).commits]


class Engine:
    """A writer with many runs, whose commits are of all kinds."""

    def __init__(self, path: Path) -> None:
        self.writing = Writing(prepare(path, create=True), path)
        [self.lease] = self.writing.acquire("engine-1")
        self.number = 0

    def commit(self) -> None:
        self.number += 1
        run = RunId(f"run-{self.number // 4}")
        match self.number % 4:
            case 0:
                start = StartRun(new_row(run), (record(1, kind="run_started"),), "never")
                batch = Transaction(None, run, [], Effects(starts=(start,)))
            case 1:
                batch = Transaction(self.lease, run, [record(2, body=bytes(700))])
            case 2:
                batch = Transaction(None, run, [], Effects(posts=(signal(run),)))
            case _:
                row = msgspec.structs.replace(
                    new_row(run), status="completed", closed_at=9, resident=False, last_seq=3
                )
                batch = Transaction(self.lease, run, [record(3)], Effects(summary=row))
        self.writing.commit(CommitId("engine-1", self.number), [batch])
        if self.number % 50 == 0:
            self.writing.change(lambda db: sqlite_forget.truncate(db, 100))
        self.writing.after_job()


def copy(source: Path, target: Path, *suffixes: str) -> None:
    for suffix in suffixes:
        shutil.copy(f"{source}{suffix}", f"{target}{suffix}")


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> Life:
    base = tmp_path_factory.mktemp("life")
    path = base / "outlast.db"
    moments: list[Path] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sqlite_files, "CHECKPOINT_PAGES", PAGES)
        patch.setattr(sqlite_files, "_GROWN_BYTES", 2 * PAGES * 4_120)
        engine = Engine(path)
        engine.number = 3
        while engine.number < COMMITS:
            engine.commit()
            if engine.number % EVERY == 0:
                moment = base / f"at-{engine.number}" / "outlast.db"
                moment.parent.mkdir()
                copy(path, moment, "", "-wal", ".mark")
                moments.append(moment)
        for _ in range(3):
            engine.commit()  # the last copy is one of an earlier time too
        engine.writing.close()
    assert not log_path(path).exists()
    return Life(path, tuple(moments))


def content(path: Path) -> dict[str, object]:
    """Return all that a database says, read with its log by SQLite alone, in a copy."""
    work = path.parent / "content"
    work.mkdir()
    copy(path, work / "a.db", *(s for s in ("", "-wal") if Path(f"{path}{s}").exists()))
    db = connect(str(work / "a.db"), 2)
    try:
        return {table: db.execute(f"SELECT * FROM {table}").fetchall() for table in TABLES}
    finally:
        db.close(True)
        shutil.rmtree(work)


async def open_once(path: Path) -> None:
    store = await SqliteStore.open(path, world=RealWorld())
    await store.close()


def lasting(path: Path) -> dict[str, bytes]:
    return {suffix: Path(f"{path}{suffix}").read_bytes() for suffix in ("", "-wal", ".mark")}


def set_aside(path: Path) -> list[Path]:
    return list(path.parent.glob("outlast.db-wal.stale-*"))


MARKS = ("current", "of the log", "missing")


@pytest.mark.parametrize("mark", MARKS)
async def test_a_log_of_an_earlier_time_is_set_aside_and_everything_is_there(
    life: Life, tmp_path: Path, mark: str, caplog: pytest.LogCaptureFixture
) -> None:
    right = content(life.closed)
    assert len(life.logs) > COMMITS / EVERY / 2
    for moment in life.logs:
        place = tmp_path / moment.parent.name / "outlast.db"
        place.parent.mkdir()
        copy(life.closed, place, "")
        if mark != "missing":
            copy(life.closed if mark == "current" else moment, place, ".mark")
        copy(moment, place, "-wal")
        caplog.clear()

        await open_once(place)

        [kept] = set_aside(place)
        assert kept.read_bytes() == log_path(moment).read_bytes()
        assert f"{kept}" in caplog.text
        assert "Without it, the database has" in caplog.text
        assert content(place) == right, moment


async def test_what_a_kill_leaves_is_opened_with_its_log(life: Life, tmp_path: Path) -> None:
    for moment in life.moments:
        place = tmp_path / moment.parent.name / "outlast.db"
        place.parent.mkdir()
        copy(moment, place, "", "-wal", ".mark")
        right = content(place)

        await open_once(place)

        assert content(place) == right
        assert set_aside(place) == []


@pytest.mark.parametrize("seed", range(4))
async def test_the_right_log_repairs_a_file_whose_checkpoint_was_interrupted(
    life: Life, tmp_path: Path, seed: int
) -> None:
    rng = random.Random(seed)
    for moment in life.logs:
        place = tmp_path / moment.parent.name / "outlast.db"
        place.parent.mkdir()
        copy(moment, place, "", "-wal", ".mark")
        right = content(place)
        checkpoint_in_part(place, rng)

        await open_once(place)

        assert content(place) == right, moment
        assert set_aside(place) == []


def checkpoint_in_part(path: Path, rng: random.Random) -> None:
    """Copy some pages of the log into the file: a kill leaves the first, a power loss any."""
    log = log_path(path).read_bytes()[: read_log(log_path(path)).bytes_valid]
    newest: dict[int, bytes] = {}
    for at in range(HEADER_BYTES, len(log), FRAME_BYTES):
        newest[int.from_bytes(log[at : at + 4])] = log[at + FRAME_HEADER_BYTES : at + FRAME_BYTES]
    pages = sorted(newest)
    count = rng.randint(0, len(pages))
    chosen = pages[:count] if rng.random() < 0.5 else rng.sample(pages, count)
    with path.open("r+b") as file:
        for page in chosen:
            file.seek((page - 1) * 4_096)
            file.write(newest[page])


async def test_a_damaged_log_is_not_taken_for_a_stale_one(life: Life, tmp_path: Path) -> None:
    for number, moment in enumerate(life.logs):
        place = tmp_path / moment.parent.name / "outlast.db"
        place.parent.mkdir()
        copy(moment, place, "", "-wal", ".mark")
        checkpoint_in_part(place, random.Random(number))
        with log_path(place).open("r+b") as file:
            file.seek(HEADER_BYTES + 30)
            file.write(b"damage")

        try:
            await open_once(place)
        except StoreDamaged:
            assert set_aside(place) == []
            continue
        assert content(place) == content(moment)


@pytest.fixture
def swapped(life: Life, tmp_path: Path) -> Path:
    """The closed database with a log of the middle of its life."""
    place = tmp_path / "outlast.db"
    copy(life.closed, place, "", ".mark")
    copy(life.logs[len(life.logs) // 2], place, "-wal")
    return place


async def test_a_file_that_lacks_commits_too_is_refused_and_salvage_keeps_what_it_has(
    life: Life, swapped: Path
) -> None:
    mark = read_mark(swapped)
    assert mark is not None
    write_mark(swapped, replace(mark, number=mark.number + 7))
    before = lasting(swapped)

    with pytest.raises(StoreDamaged, match=r"lacks 7 acknowledged commits.*put the right one back"):
        await open_once(swapped)
    with pytest.raises(StoreDamaged, match=r"lacks 7 acknowledged commits.*--accept-loss 7"):
        await SqliteStore.open(swapped, world=RealWorld(), read_only=True)
    assert lasting(swapped) == before

    done = salvage(swapped, 7)

    assert done.kept is not None
    assert (done.kept / "outlast.db-wal").read_bytes() == before["-wal"]
    assert content(swapped) == content(life.closed)
    await open_once(swapped)
    assert content(swapped) == content(life.closed)


@pytest.mark.parametrize("command", ["verify", "backup", "status", "doctor", "ls"])
def test_a_reader_refuses_a_database_beside_a_stale_log_and_says_what_helps(
    swapped: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = lasting(swapped)
    copied = f"{swapped.parent / 'copy.db'}"
    others = {"backup": ["db", "backup", copied], "doctor": ["doctor"], "ls": ["ls"]}
    words = others.get(command, ["db", command])

    code = run_command(main, [*words, "--db", f"{swapped}"])

    printed = capsys.readouterr()
    said = printed.out + printed.err
    assert code != 0
    assert "is not the log of this state of the database" in said
    assert "outlast db migrate" in said
    assert not Path(copied).exists()
    assert lasting(swapped) == before


async def test_salvage_says_that_nothing_is_lost_beside_a_stale_log(
    life: Life, swapped: Path
) -> None:
    before = lasting(swapped)

    found = salvage(swapped, None)

    assert (found.loss, found.kept) == (None, None)
    assert found.stale_log is not None
    assert found.stale_log.path == log_path(swapped)
    assert lasting(swapped) == before
    await open_once(swapped)
    assert content(swapped) == content(life.closed)


async def test_a_backup_copied_over_a_killed_engines_files_is_not_taken_back(
    life: Life, tmp_path: Path
) -> None:
    place = tmp_path / "outlast.db"
    copy(life.moments[3], place, "", "-wal", ".mark")
    copy(life.closed, place, "")

    await open_once(place)

    assert content(place) == content(life.closed)


async def test_a_file_that_is_not_whole_is_refused_beside_a_stale_log(
    life: Life, swapped: Path
) -> None:
    db = connect(str(life.closed), 1)
    [[page]] = db.execute(
        "SELECT rootpage FROM sqlite_schema WHERE name = 'runs_by_age'"
    ).fetchall()
    db.close(True)
    assert isinstance(page, int)
    with swapped.open("r+b") as file:
        file.seek((page - 1) * 4_096)
        file.write(bytes(4_096))
    before = log_path(swapped).read_bytes()

    with pytest.raises(StoreDamaged):
        await open_once(swapped)

    assert log_path(swapped).read_bytes() == before
    assert set_aside(swapped) == []


def test_two_stale_logs_are_kept_under_two_names(life: Life, swapped: Path) -> None:
    for count in (1, 2):
        copy(life.logs[count], swapped, "-wal")
        writing = Writing(prepare(swapped, create=False), swapped)
        writing.close()
        assert len(set_aside(swapped)) == count
    assert examine(swapped).stale_log is None
    assert mark_path(swapped).exists()


async def test_a_file_of_an_earlier_time_under_a_newer_log_is_refused_or_everything_is_there(
    life: Life, tmp_path: Path
) -> None:
    refused = 0
    for number, older in enumerate(life.moments):
        for moment in life.moments[number + 1 :: 3]:
            place = tmp_path / older.parent.name / moment.parent.name / "outlast.db"
            place.parent.mkdir(parents=True)
            copy(moment, place, "", "-wal", ".mark")
            right = content(place)
            copy(older, place, "")
            before = lasting(place)

            try:
                await open_once(place)
            except StoreDamaged:
                refused += 1
                assert lasting(place) == before
                continue
            assert content(place) == right, (older, moment)
    assert refused > COMMITS / EVERY
