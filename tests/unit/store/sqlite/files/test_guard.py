"""Files of an open database that are deleted, moved or replaced."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import shutil
import sqlite3
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from outlast import limits
from outlast._store.sqlite.backup import copy_database
from outlast._store.sqlite.store import SqliteStore
from outlast._world import RealWorld
from outlast.errors import StoreDamaged, StoreReplaced
from outlast.types import RunId
from tests.conformance.driving import RUN, Driver, record
from tests.unit.store.sqlite.processes import kill, next_line, output_of, python


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    return tmp_path / "data" / "outlast.db"


@pytest.fixture
async def engine(path: Path) -> AsyncIterator[Driver]:
    store = await SqliteStore.open(path, world=RealWorld())
    engine = await Driver.begin(store)
    await engine.start(RUN)
    yield engine
    await store.close()


def beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _delete(path: Path) -> None:
    path.unlink()


def _delete_log(path: Path) -> None:
    beside(path, "-wal").unlink()


def _delete_all(path: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        beside(path, suffix).unlink()


def _move_away(path: Path) -> None:
    path.rename(path.with_name("elsewhere.db"))


def _replace_by_copy(path: Path) -> None:
    shutil.copy(path, beside(path, ".copy"))
    beside(path, ".copy").rename(path)


def _replace_by_empty(path: Path) -> None:
    beside(path, ".empty").touch()
    beside(path, ".empty").rename(path)


def _replace_log(path: Path) -> None:
    shutil.copy(beside(path, "-wal"), beside(path, ".copy"))
    beside(path, ".copy").rename(beside(path, "-wal"))


def _move_directory(path: Path) -> None:
    path.parent.rename(path.parent.with_name("moved"))


def _replace_directory(path: Path) -> None:
    shutil.copytree(
        path.parent,
        path.parent.with_name("copy"),
        # The owner's socket and such are no files to copy.
        ignore=lambda place, names: [n for n in names if not Path(place, n).is_file()],
    )
    _move_directory(path)
    path.parent.with_name("copy").rename(path.parent)


def _copy_backup_over(path: Path) -> None:
    beside(path, ".backup").touch()
    copy_database(path, beside(path, ".backup"))
    shutil.copy(beside(path, ".backup"), path)


def _write_over(path: Path) -> None:
    path.write_bytes(b"something else" * 1_000)


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _cut_log(path: Path) -> None:
    os.truncate(beside(path, "-wal"), 0)


def _halve_log(path: Path) -> None:
    os.truncate(beside(path, "-wal"), beside(path, "-wal").stat().st_size // 2)


def _zero_log(path: Path) -> None:
    with beside(path, "-wal").open("r+b") as file:
        file.write(bytes(beside(path, "-wal").stat().st_size))


def _write_other_log_over(path: Path) -> None:
    log = bytearray(beside(path, "-wal").read_bytes())
    log[16:24] = bytes(8)  # the salts: of another generation
    with beside(path, "-wal").open("r+b") as file:
        file.write(log)


def _delete_lock(path: Path) -> None:
    beside(path, ".lock").unlink()


def _replace_lock(path: Path) -> None:
    beside(path, ".other").touch()
    beside(path, ".other").rename(beside(path, ".lock"))


DAMAGES: tuple[Callable[[Path], None], ...] = (
    _delete,
    _delete_log,
    _delete_all,
    _move_away,
    _replace_by_copy,
    _replace_by_empty,
    _replace_log,
    _move_directory,
    _replace_directory,
    _copy_backup_over,
    _write_over,
    _empty,
    _cut_log,
    _halve_log,
    _zero_log,
    _write_other_log_over,
    _delete_lock,
    _replace_lock,
)


def names_in(directory: Path) -> set[str]:
    return {file.name for file in directory.iterdir()} if directory.exists() else set()


@pytest.mark.parametrize("damage", DAMAGES)
async def test_a_commit_into_files_that_are_gone_is_not_acknowledged(
    path: Path, engine: Driver, damage: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    damage(path)
    before = names_in(path.parent)

    with pytest.raises(StoreReplaced, match=r"outlast\.db"):
        await engine.commit(engine.on(RUN, record(2)))

    assert engine.store.fault is not None
    with pytest.raises(StoreReplaced):
        await engine.commit(engine.on(RUN, record(2)))
    with pytest.raises(StoreReplaced):
        await engine.store.read_run(RUN)
    # A look after the mark that was under way while the files went may have warned before.
    said = [r.levelno for r in caplog.records if r.name == "outlast.store"]
    assert said.count(logging.CRITICAL) == 1
    assert said[-1] == logging.CRITICAL
    await engine.store.close()
    assert names_in(path.parent) == before


def _delete_shm(path: Path) -> None:
    beside(path, "-shm").unlink()


REPLACED = (
    _delete,
    _delete_log,
    _delete_shm,
    _delete_all,
    _move_away,
    _replace_by_copy,
    _replace_by_empty,
    _replace_log,
    _move_directory,
    _replace_directory,
)


@pytest.mark.parametrize("is_owned", [True, False])
@pytest.mark.parametrize("damage", REPLACED)
async def test_a_reader_whose_files_are_gone_says_so(
    path: Path, is_owned: bool, damage: Callable[[Path], None]
) -> None:
    with python(WRITE_AND_WAIT, path) as owner:
        assert next_line(owner) == "wrote"
        if not is_owned:
            kill(owner)
        reader = await SqliteStore.open(path, world=RealWorld(), read_only=True)
        assert await reader.read_run(RunId("a")) is not None

        damage(path)

        for _ in range(2):
            with pytest.raises(StoreReplaced, match=r"outlast\.db.*Reopen the database"):
                await reader.read_run(RunId("a"))
        assert isinstance(reader.fault, StoreReplaced)
        await reader.close()
        kill(owner)


async def test_a_reader_goes_on_when_owners_come_and_go(path: Path) -> None:
    with python(WRITE_AND_WAIT, path) as owner:
        next_line(owner)
        reader = await SqliteStore.open(path, world=RealWorld(), read_only=True)
        kill(owner)

    for _ in range(2):
        assert output_of(OPEN_AND_CLOSE, path) == "closed"
        assert await reader.read_run(RunId("a")) is not None
    with python(WRITE_AND_WAIT.replace("begin(store)", "begin(store, 'b')"), path) as owner:
        next_line(owner)
        assert await reader.read_run(RunId("b")) is not None
        kill(owner)
    await reader.close()


async def test_an_earlier_state_copied_over_the_database_is_noticed(
    path: Path, engine: Driver
) -> None:
    early = data_of(path)
    for seq in range(2, 200):
        await engine.commit(engine.on(RUN, record(seq, body=bytes(30_000))))
    assert len(data_of(path)) > len(early), "a checkpoint was made"
    put(path, early)

    with pytest.raises(StoreReplaced, match="another file was copied over"):
        await engine.commit(engine.on(RUN, record(200)))


@pytest.mark.parametrize("kind", ["PASSIVE", "FULL", "RESTART", "TRUNCATE"])
async def test_a_checkpoint_of_another_program_is_no_damage(
    path: Path, engine: Driver, kind: str
) -> None:
    for seq in range(2, 30):
        await engine.commit(engine.on(RUN, record(seq)))
        db = sqlite3.connect(path)
        db.execute(f"PRAGMA wal_checkpoint({kind})").fetchone()
        db.close()

    assert engine.store.fault is None
    assert len(await engine.store.read_journal(RUN)) == 29


def data_of(path: Path) -> bytes:
    return path.read_bytes()


def put(path: Path, data: bytes) -> None:
    path.write_bytes(data)


class Logged(logging.Handler):
    """Tells a loop of the first line that is logged."""

    def __init__(self) -> None:
        super().__init__(logging.CRITICAL)
        self.loop = asyncio.get_running_loop()
        self.event = asyncio.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self.loop.call_soon_threadsafe(self.event.set)


async def test_a_log_that_was_cut_is_not_copied_into_the_database(
    path: Path, engine: Driver
) -> None:
    for seq in range(2, 30):
        await engine.commit(engine.on(RUN, record(seq)))
    before = data_of(path)
    os.truncate(beside(path, "-wal"), 100_000)

    await engine.store.close()

    assert data_of(path) == before
    with pytest.raises(StoreDamaged, match="acknowledged commit"):
        await SqliteStore.open(path, world=RealWorld())


@pytest.mark.parametrize("suffix", ["", "-wal", "-shm", ".lock"])
async def test_a_file_that_goes_while_nothing_is_committed_is_noticed(
    path: Path, engine: Driver, suffix: str
) -> None:
    logged = Logged()
    logging.getLogger("outlast.store").addHandler(logged)
    try:
        beside(path, suffix).unlink()
        await asyncio.wait_for(logged.event.wait(), 30 * limits.STORE_LOOK_SECONDS)
    finally:
        logging.getLogger("outlast.store").removeHandler(logged)

    assert f"outlast.db{suffix} was deleted" in f"{engine.store.fault}"
    with pytest.raises(StoreReplaced):
        await engine.store.read_run(RUN)


@pytest.mark.parametrize("damage", [_delete_log, _replace_log])
async def test_what_a_lost_log_had_acknowledged_is_saved_into_the_database(
    path: Path, engine: Driver, damage: Callable[[Path], None]
) -> None:
    for seq in range(2, 50):
        await engine.commit(engine.on(RUN, record(seq)))
    damage(path)

    with pytest.raises(StoreReplaced, match="was copied into the database file"):
        await engine.commit(engine.on(RUN, record(50)))
    await engine.store.close()

    beside(path, "-wal").unlink(missing_ok=True)
    again = await SqliteStore.open(path, world=RealWorld())
    assert [r.seq for r in await again.read_journal(RUN)][:49] == list(range(1, 50))
    await again.close()


@pytest.mark.parametrize("kept", ["outlast.db-wal", "outlast.db.reserve", "outlast.db.lock"])
@pytest.mark.parametrize("read_only", [False, True])
async def test_no_new_database_is_made_where_one_was_lost(
    path: Path, kept: str, read_only: bool
) -> None:
    with python(WRITE_AND_WAIT, path) as owner:
        next_line(owner)
        kill(owner)
    for name in names_in(path.parent) - {kept}:
        (path.parent / name).unlink()

    with pytest.raises(StoreDamaged, match=f"once existed.*{kept}.*No new database"):
        await SqliteStore.open(path, world=RealWorld(), read_only=read_only)
    assert "outlast.db" not in names_in(path.parent)

    (path.parent / kept).unlink()
    if not read_only:
        (path.parent / "outlast.db.lock").unlink(missing_ok=True)
        await (await SqliteStore.open(path, world=RealWorld())).close()
        assert "outlast.db" in names_in(path.parent)


async def test_a_clean_close_leaves_no_log_and_drops_the_locks(path: Path, engine: Driver) -> None:
    await engine.store.close()

    assert names_in(path.parent) >= {"outlast.db"}
    assert not names_in(path.parent) & {"outlast.db-wal", "outlast.db-shm"}
    db = sqlite3.connect(path)
    assert db.execute("PRAGMA journal_mode=DELETE").fetchone() == ("delete",)  # wants it alone
    db.close()


# ------------------------------------------------------------------- in its own process
WRITE_AND_WAIT = """
async def main(world):
    store = await SqliteStore.open(path, world=world)
    lease = await begin(store)
    say("wrote")
    sys.stdin.read()
"""

# What a step may do with the files of its own engine: each of these drops every POSIX lock.
DROPS = {
    "query": "import sqlite3; c = sqlite3.connect(path); c.execute('select 1'); c.close()",
    "copy": "import shutil; [shutil.copy(path + s, path + s + '.x') for s in ('', '-wal', '-shm')]",
    "read the lock": "open(path + '.lock').close()",
    "read all": "import pathlib as p; [f.open().close() for f in p.Path(path).parent.iterdir()]",
}

DROP_AND_WRITE = """
async def main(world):
    store = await SqliteStore.open(path, world=world)
    lease = await begin(store)
    exec(sys.argv[2], globals())
    say("dropped")
    sys.stdin.readline()
    for n in range(2, 22):
        await store.commit(CommitId("engine-1", n), [Transaction(lease, "a", [record(n)])])
    say("wrote")
    os.kill(os.getpid(), signal.SIGKILL)
"""

CLOSE_LAST = """
async def main(world):
    import sqlite3
    db = sqlite3.connect(path)
    db.execute("SELECT count(*) FROM sqlite_master").fetchone()
    db.close()
    try:
        await SqliteStore.open(path, world=world)
    except StoreLocked as error:
        say("locked by", error.pid)
"""


@pytest.mark.crash
@pytest.mark.skipif(not hasattr(fcntl, "F_OFD_SETLK"), reason="the locks are Linux's")
@pytest.mark.parametrize("drop", DROPS)
async def test_reading_its_own_files_costs_an_owner_neither_lock_nor_log(
    path: Path, drop: str
) -> None:
    with python(DROP_AND_WRITE, path, DROPS[drop]) as owner:
        assert next_line(owner) == "dropped"
        assert output_of(CLOSE_LAST, path) == f"locked by {owner.pid}"
        assert owner.stdin is not None
        owner.stdin.write("\n")
        owner.stdin.flush()
        assert next_line(owner) == "wrote"
        owner.communicate()

    store = await SqliteStore.open(path, world=RealWorld())
    assert [r.seq for r in await store.read_journal(RunId("a"))] == list(range(1, 22))
    await store.close()


OPEN_AND_CLOSE = """
async def main(world):
    store = await SqliteStore.open(path, world=world)
    await store.close()
    say("closed")
"""

FORK_AND_DIE = """
async def main(world):
    store = await SqliteStore.open(path, world=world)
    await begin(store)
    if os.fork() == 0:
        say("child")
        sys.stdin.read()
        os._exit(0)
    import subprocess
    subprocess.Popen([sys.executable, "-c", "print('program', flush=True); input()"])
    sys.stdin.read()
"""


@pytest.mark.crash
def test_children_of_a_killed_owner_do_not_keep_its_locks(path: Path) -> None:
    with python(FORK_AND_DIE, path) as owner:
        assert {next_line(owner), next_line(owner)} == {"child", "program"}
        owner.kill()
        os.waitid(os.P_PID, owner.pid, os.WEXITED | os.WNOWAIT)

        assert output_of(OPEN_AND_CLOSE, path) == "closed"
        assert "outlast.db-wal" not in names_in(path.parent)
        owner.communicate()


async def test_our_readers_never_delete_the_log(path: Path) -> None:
    with python(WRITE_AND_WAIT, path) as owner:
        next_line(owner)
        kill(owner)
    before = beside(path, "-wal").read_bytes()

    reader = await SqliteStore.open(path, world=RealWorld(), read_only=True)
    await reader.close()

    assert beside(path, "-wal").read_bytes() == before
