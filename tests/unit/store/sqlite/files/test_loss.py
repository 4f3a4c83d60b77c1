"""A database that lost acknowledged commits says so; nothing is taken for lost that is there."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from outlast._store.sqlite.files.loss import read_commits
from outlast._store.sqlite.files.mark import mark_path, read_mark, write_mark
from outlast._store.sqlite.files.wal import FRAME_HEADER_BYTES, HEADER_BYTES, read_log
from outlast._store.sqlite.opening import open_reader
from outlast._store.sqlite.store import SqliteStore
from outlast._store.sqlite.tables.schema import newest_version
from outlast._world import RealWorld
from outlast.errors import StoreDamaged
from outlast.types import RunId
from tests.conformance.driving import RUN, Driver, records, signal
from tests.unit.store.sqlite.processes import kill, next_line, python

FRAME_BYTES = FRAME_HEADER_BYTES + 4_096
FILES = ("", "-wal", "-shm", ".mark")
LAST = 60

# Commits with one record each, then a signal to another run, whose number is noted elsewhere.
WRITE_AND_WAIT = """
async def main(world):
    store = await SqliteStore.open(path, world=world)
    lease = await begin(store)
    for n in range(2, int(sys.argv[2]) + 1):
        await store.commit(CommitId("engine-1", n), [Transaction(lease, "a", [record(n)])])
        if n == 20:
            say("early")
            sys.stdin.readline()
    say("wrote")
    sys.stdin.read()
"""


@dataclass(frozen=True, slots=True)
class Killed:
    """What a killed engine left, and what an earlier copy of it had."""

    path: Path
    now: Path
    early: Path

    @property
    def wal(self) -> Path:
        return Path(f"{self.path}-wal")

    def put(self, whence: Path, *suffixes: str) -> None:
        for suffix in suffixes:
            shutil.copy(whence / f"outlast.db{suffix}", f"{self.path}{suffix}")

    def lasting(self) -> list[bytes]:
        return [Path(f"{self.path}{suffix}").read_bytes() for suffix in ("", "-wal", ".mark")]

    def end(self) -> int:
        """Return where the last frame ends: the log's space goes on."""
        return read_log(self.now / "outlast.db-wal").bytes_valid

    async def seen(self) -> list[int]:
        store = await SqliteStore.open(self.path, world=RealWorld())
        try:
            return [r.seq for r in await store.read_journal(RunId("a"))]
        finally:
            await store.close()


ALL = list(range(1, LAST + 1))
Mutation = Callable[[Killed, random.Random], None]


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Killed:
    base = tmp_path_factory.mktemp("killed")
    places = [base / name for name in ("live", "now", "early")]
    for place in places:
        place.mkdir()
    live, now, early = places
    path = live / "outlast.db"
    with python(WRITE_AND_WAIT, path, str(LAST)) as owner:
        assert next_line(owner) == "early"
        for suffix in FILES:
            shutil.copy(f"{path}{suffix}", early)
        assert owner.stdin is not None
        owner.stdin.write("\n")
        owner.stdin.flush()
        assert next_line(owner) == "wrote"
        kill(owner)
    for suffix in FILES:
        shutil.copy(f"{path}{suffix}", now)
    return Killed(path, now, early)


def change(path: Path, at: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(data)


def data_at(path: Path, at: int, size: int) -> bytes:
    with path.open("rb") as file:
        file.seek(at)
        return file.read(size)


def any_frame(killed: Killed, rng: random.Random) -> int:
    count = (killed.end() - HEADER_BYTES) // FRAME_BYTES
    return HEADER_BYTES + rng.randrange(count) * FRAME_BYTES


def _flip(killed: Killed, rng: random.Random) -> None:
    at = rng.randrange(killed.end())
    [byte] = data_at(killed.wal, at, 1)
    change(killed.wal, at, bytes((byte ^ 1 << rng.randrange(8),)))


def _flip_in_header(killed: Killed, rng: random.Random) -> None:
    at = rng.randrange(HEADER_BYTES)
    [byte] = data_at(killed.wal, at, 1)
    change(killed.wal, at, bytes((byte ^ 1 << rng.randrange(8),)))


def _cut(killed: Killed, rng: random.Random) -> None:
    with killed.wal.open("r+b") as file:
        file.truncate(rng.randrange(killed.end()))


def _delete(killed: Killed, _: random.Random) -> None:
    killed.wal.unlink()


def _zero_frame(killed: Killed, rng: random.Random) -> None:
    change(killed.wal, any_frame(killed, rng), bytes(FRAME_BYTES))


def _zero_page(killed: Killed, rng: random.Random) -> None:
    change(killed.wal, rng.randrange(killed.end() // 4_096) * 4_096, bytes(4_096))


def _swap_frames(killed: Killed, rng: random.Random) -> None:
    first, second = any_frame(killed, rng), any_frame(killed, rng)
    a, b = (data_at(killed.wal, at, FRAME_BYTES) for at in (first, second))
    change(killed.wal, first, b)
    change(killed.wal, second, a)


def _stale_log(killed: Killed, _: random.Random) -> None:
    killed.put(killed.early, "-wal")


def _stale_database_and_log(killed: Killed, _: random.Random) -> None:
    killed.put(killed.early, "", "-wal", "-shm")


def _no_shared_memory(killed: Killed, _: random.Random) -> None:
    Path(f"{killed.path}-shm").unlink()


def _stale_shared_memory(killed: Killed, _: random.Random) -> None:
    killed.put(killed.early, "-shm")


MUTATIONS: tuple[Mutation, ...] = (
    _flip, _flip, _flip, _flip_in_header, _cut, _cut, _delete, _zero_frame, _zero_page,
    _swap_frames, _stale_log, _stale_database_and_log, _no_shared_memory, _stale_shared_memory,
)  # fmt: skip
SEEDS = range(10)
EACH = 30


@pytest.mark.parametrize("seed", SEEDS)
async def test_after_any_damage_to_a_log_all_is_there_or_the_loss_is_said(
    killed: Killed, seed: int
) -> None:
    rng = random.Random(seed)
    refused = 0
    for number in range(EACH):
        mutation = MUTATIONS[(seed * EACH + number) % len(MUTATIONS)]
        killed.put(killed.now, *FILES)
        mutation(killed, rng)
        before = killed.wal.read_bytes() if killed.wal.exists() else None
        try:
            found = await killed.seen()
        except StoreDamaged as error:
            said = f"{error}"
        else:
            assert found == ALL, mutation
            continue
        refused += 1
        assert "acknowledged commit" in said
        assert "db salvage" in said
        assert before is None or killed.wal.read_bytes() == before
    assert refused > EACH / 2


async def test_a_damaged_last_commit_is_a_loss_when_it_was_acknowledged(killed: Killed) -> None:
    killed.put(killed.now, *FILES)
    change(killed.wal, killed.end() - 100, b"damage")

    with pytest.raises(StoreDamaged, match=r"lacks 1 acknowledged commit.*--accept-loss 1"):
        await killed.seen()


@pytest.mark.parametrize("behind", [1, 5, LAST])
async def test_after_a_power_loss_the_mark_may_lag_and_the_last_commit_be_torn(
    killed: Killed, behind: int
) -> None:
    killed.put(killed.now, *FILES)
    set_back_mark(killed.path, behind)
    change(killed.wal, killed.end() - 100, b"damage")

    assert await killed.seen() == ALL[:-1]


@pytest.mark.parametrize("behind", [2, LAST])
async def test_two_commits_behind_a_break_are_a_loss_whatever_the_mark_says(
    killed: Killed, behind: int
) -> None:
    killed.put(killed.now, *FILES)
    set_back_mark(killed.path, behind)
    change(killed.wal, killed.end() - 20 * FRAME_BYTES + 100, b"damage")

    with pytest.raises(StoreDamaged, match=r"its write-ahead log .* is damaged at byte"):
        await killed.seen()


def set_back_mark(path: Path, behind: int) -> None:
    mark = read_mark(path)
    assert mark is not None
    write_mark(path, replace(mark, number=max(0, mark.number - behind)))


async def test_a_missing_mark_is_said_and_made_anew(
    killed: Killed, caplog: pytest.LogCaptureFixture
) -> None:
    killed.put(killed.now, *FILES)
    mark_path(killed.path).unlink()

    assert await killed.seen() == ALL
    assert "outlast.db.mark is missing" in caplog.text

    caplog.clear()
    assert await killed.seen() == ALL
    assert caplog.records == []


@pytest.mark.parametrize("slot", [0, 512])
async def test_one_damaged_slot_of_a_mark_leaves_the_other(killed: Killed, slot: int) -> None:
    killed.put(killed.now, *FILES)
    change(mark_path(killed.path), slot + 20, b"damage")
    killed.wal.unlink()

    with pytest.raises(StoreDamaged, match="acknowledged commits"):
        await killed.seen()


async def test_the_mark_of_another_database_is_set_aside(
    killed: Killed, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other = tmp_path / "outlast.db"
    store = await SqliteStore.open(other, world=RealWorld())
    await (await Driver.begin(store)).start(RUN)
    await store.close()
    killed.put(killed.now, *FILES)
    shutil.copy(mark_path(killed.path), mark_path(other))

    await (await SqliteStore.open(other, world=RealWorld())).close()

    assert "belongs to another database" in caplog.text
    assert len(marks_in(tmp_path)) == 2


@pytest.mark.parametrize("exchanged", ["", "-wal"])
async def test_the_log_of_another_database_is_refused(
    killed: Killed, tmp_path_factory: pytest.TempPathFactory, exchanged: str
) -> None:
    other = tmp_path_factory.mktemp("other") / "outlast.db"
    with python(WRITE_AND_WAIT, other, "4") as owner:
        assert next_line(owner) == "wrote"
        kill(owner)
    killed.put(killed.now, *FILES)
    os.unlink(f"{killed.path}-shm")  # noqa: PTH108  # as the other files, by its name
    shutil.copy(f"{other}{exchanged}", f"{killed.path}{exchanged}")
    before = killed.lasting()

    with pytest.raises(StoreDamaged, match="log of another database"):
        await killed.seen()

    assert killed.lasting() == before


def marks_in(directory: Path) -> list[Path]:
    return list(directory.glob("outlast.db.mark*"))


async def test_every_commit_has_the_next_number_whatever_it_writes(tmp_path: Path) -> None:
    path = tmp_path / "outlast.db"
    store = await SqliteStore.open(path, world=RealWorld())
    engine = await Driver.begin(store)
    numbers = [number_of(path)]
    await engine.start(RUN)
    numbers.append(number_of(path))
    await engine.receipt(engine.on(RUN, *records(2, 9)))
    numbers.append(number_of(path))
    await engine.post(signal(RUN))
    numbers.append(number_of(path))
    await engine.close_run(RUN)
    numbers.append(number_of(path))
    await store.truncate_log(1_000)
    numbers.append(number_of(path))
    await store.release_leases(list(engine.leases.values()))
    numbers.append(number_of(path))
    await store.close()
    numbers.append(number_of(path) + 1)

    assert numbers == list(range(1, 9))
    again = await SqliteStore.open(path, world=RealWorld())
    await Driver.begin(again)
    assert number_of(path) == 8
    await again.close()


def number_of(path: Path) -> int:
    """Return the number in the mark, which is that of the database."""
    mark = read_mark(path)
    reader = open_reader(path)
    commits = read_commits(reader, newest_version())
    reader.close()
    assert mark is not None
    assert commits is not None
    assert mark == commits.as_mark
    return mark.number
