from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import apsw
import msgspec
import pytest

from outlast import limits
from outlast._records import detach
from outlast._store.rows import Message
from outlast._store.sqlite.connection import connect
from outlast._store.sqlite.files.write_ahead_log import CHECKPOINT_PAGES
from outlast._store.sqlite.opening import open_reader
from outlast._store.sqlite.store import SqliteStore
from outlast._store.transactions import CommitId
from outlast._world import RealWorld
from outlast.errors import (
    StoreDamaged,
    StoreError,
    StoreFull,
    StoreLocked,
    StoreReadOnly,
)
from outlast.types import RunId
from tests.conformance.driving import RUN, Driver, record, records, segment
from tests.unit.store.sqlite.processes import kill, next_line, output_of, python

READ = """
async def main(world):
    store = await SqliteStore.open(path, world=world, read_only=True)
    found = await store.read_journal("a")
    say(len(found), [r.seq for r in found] == list(range(1, len(found) + 1)))
    await store.close()
"""

READ_WHILE_WRITTEN = """
async def main(world):
    store = await SqliteStore.open(path, world=world, read_only=True)
    seen = 0
    while seen < 300:
        found = await store.read_journal("a")
        assert [r.seq for r in found] == list(range(1, len(found) + 1))
        assert len(found) >= seen
        seen = len(found)
    await store.close()
    say("read", seen)
"""

WRITE_AND_WAIT = """
async def main(world):
    store = await SqliteStore.open(path, world=world)
    lease = await begin(store)
    for n in range(2, 301):
        await store.commit(
            CommitId("engine-1", n), [Transaction(lease, "a", [record(n)])]
        )
    say("wrote")
    sys.stdin.read()
    await store.close()
"""

WRITE_FOR_EVER = """
async def main(world):
    store = await SqliteStore.open(path, world=world)
    lease = await begin(store)
    n = 1
    while True:
        n += 1
        await store.commit(CommitId("engine-1", n), [Transaction(lease, "a", [record(n)])])
        say(n)
"""

FILL = """
import resource

async def main(world):
    store = await SqliteStore.open(path, world=world)
    lease = await begin(store)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, hard))
    n = 1
    while True:
        n += 1
        batch = [Transaction(lease, "a", [record(n, b"\\x00" * 20_000)])]
        try:
            await store.commit(CommitId("engine-1", n), batch)
        except StoreFull as error:
            say("full", n > 3)
            break
    for _ in range(3):
        try:
            await store.commit(CommitId("engine-1", n), batch)
        except StoreFull:
            say("still full", len(await store.read_journal("a")) == n - 1)
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    await store.commit(CommitId("engine-1", n), batch)
    say("goes on", len(await store.read_journal("a")) == n)
    await store.close()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outlast.db"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SqliteStore]:
    store = await SqliteStore.open(path, world=RealWorld())
    yield store
    await store.close()


# ----------------------------------------------------------------------- other processes
@pytest.mark.parametrize("how", ["live", "killed", "closed"])
def test_another_process_reads_a_store_whatever_its_owner_does(path: Path, how: str) -> None:
    with python(WRITE_AND_WAIT, path) as owner:
        assert next_line(owner) == "wrote"
        if how == "killed":
            kill(owner)
        elif how == "closed":
            owner.communicate()

        assert output_of(READ, path) == "300 True"
        owner.communicate()

    assert output_of(READ, path) == "300 True"


def test_a_reader_beside_a_writer_sees_whole_commits_only(path: Path) -> None:
    output_of("async def main(world): await (await SqliteStore.open(path, world=world)).close()",
              path)  # fmt: skip
    with python(READ_WHILE_WRITTEN, path) as reader, python(WRITE_AND_WAIT, path) as owner:
        out, errors = reader.communicate(timeout=60)
        owner.communicate(timeout=60)

    assert out.strip() == "read 300", errors


@pytest.mark.crash
async def test_what_was_acknowledged_is_there_after_a_kill(path: Path) -> None:
    for lines in (1, 40, 333):
        for file in path.parent.iterdir():
            file.unlink()
        with python(WRITE_FOR_EVER, path) as owner:
            acknowledged = [int(next_line(owner)) for _ in range(lines)][-1]
            kill(owner)

        store = await SqliteStore.open(path, world=RealWorld())
        [lease] = await store.acquire_leases("engine-2", [0])
        found = await store.read_journal(RunId("a"))
        await store.close()

        assert (lease.epoch, lease.was_left) == (2, True)
        assert [r.seq for r in found] == list(range(1, len(found) + 1))
        assert len(found) >= acknowledged


# ----------------------------------------------------------------------------- no space
def test_a_file_size_limit_is_a_full_disk_and_passes(path: Path) -> None:
    assert output_of(FILL, path).splitlines() == [
        "full True", "still full True", "still full True", "still full True", "goes on True",
    ]  # fmt: skip


async def test_on_a_full_disk_reads_and_cancels_work_and_the_rest_waits(small_disk: Path) -> None:
    path = small_disk / "outlast.db"
    filler = small_disk / "filler"
    store = await SqliteStore.open(path, world=RealWorld())
    engine = await Driver.begin(store)
    await engine.start(RUN)
    with filler.open("wb", buffering=0) as file:
        try:
            while file.write(b"\x00" * 65_536) == 65_536:
                pass
        except OSError:
            pass
    seq = 1

    async def fill() -> None:
        nonlocal seq
        while True:
            await engine.commit(engine.on(RUN, record(seq + 1, body=bytes(30_000))))
            seq += 1

    with pytest.raises(StoreFull, match="no space is left"):
        await fill()

    assert len(await store.read_journal(RUN)) == seq
    receipt = await engine.post(Message(run=RUN, kind="cancel"))
    assert receipt.posts == ("accepted",)
    await engine.receipt(engine.on(RUN, record(seq + 1, kind="cancel_requested")))
    assert len(await store.read_mailbox(RUN, 10)) == 1

    filler.unlink()
    await engine.receipt(engine.on(RUN, record(seq + 2, body=bytes(30_000))))
    assert len(await store.read_journal(RUN)) == seq + 2
    await store.close()


async def test_space_is_kept_in_reserve(store: SqliteStore, path: Path) -> None:
    reserve = path.with_name("outlast.db.reserve").stat()

    assert reserve.st_size == limits.RESERVE_BYTES
    assert reserve.st_blocks * 512 >= limits.RESERVE_BYTES


# -------------------------------------------------------------------------- damaged data
def flip(path: Path, sql: str) -> None:
    db = connect(str(path), apsw.SQLITE_OPEN_READWRITE)
    db.execute(sql)
    db.close()


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        (
            "UPDATE journal SET body = x'0079' WHERE seq = 2",
            "journal with position 2,.* run 'order-1'",
        ),
        ("UPDATE journal SET key = '0:x' WHERE seq = 2", "the row of journal with position 2,"),
        ("DELETE FROM journal WHERE seq = 2", "record 2 is missing"),
        ("UPDATE journal SET run = 'order-2' WHERE seq = 3", "position 3,.* run 'order-1'"),
        ("UPDATE histories SET body = x'00ff'", "the row of histories"),
        ("UPDATE blobs SET body = x'00'", "blob [0-9a-f]{64} is not what"),
        ("DELETE FROM blobs", "the blob [0-9a-f]{64} is damaged or missing"),
    ],
)
async def test_damage_that_sqlite_does_not_see_is_named(path: Path, sql: str, message: str) -> None:
    store = await SqliteStore.open(path, world=RealWorld())
    engine = await Driver.begin(store)
    await engine.start(RUN)
    body, blob = detach(b"\x00" * 40_000)
    assert blob is not None
    full = engine.on(RUN, record(2), record(3), record(4, body=body))
    full.also.blobs = (blob,)
    full.also.segments = (segment(RUN, [record(1, kind="run_started")]),)
    full.also.summary = msgspec.structs.replace(await engine.current(RUN), packed_seq=1)
    await engine.receipt(full)
    await store.close()
    flip(path, sql)

    store = await SqliteStore.open(path, world=RealWorld())
    with pytest.raises(StoreDamaged, match=message):
        await store.read_journal(RUN)
    await store.close()


@pytest.mark.parametrize("column", ["status = 'odd'", "on_parent_close = ''", "parked_as = 'x'"])
async def test_a_row_that_no_outlast_writes_is_named(path: Path, column: str) -> None:
    store = await SqliteStore.open(path, world=RealWorld())
    await (await Driver.begin(store)).start(RUN)
    await store.close()
    flip(path, f"UPDATE runs SET {column}")

    store = await SqliteStore.open(path, world=RealWorld())
    with pytest.raises(StoreDamaged, match="the row of run 'order-1' is damaged"):
        await store.read_run(RUN)
    await store.close()


# ------------------------------------------------------------------------------- housekeeping
async def test_the_write_ahead_log_stays_bounded(store: SqliteStore, path: Path) -> None:
    engine = await Driver.begin(store)
    await engine.start(RUN)
    body = bytes(30_000)
    for seq in range(2, 122):
        await engine.commit(*[engine.on(RUN, record(seq, body=body)) for _ in range(10)])

    written = 120 * 10 * len(body)
    size = path.with_name("outlast.db-wal").stat().st_size
    assert size < 1.5 * CHECKPOINT_PAGES * 4_096 < written


async def test_segments_are_stored_compressed(store: SqliteStore, path: Path) -> None:
    engine = await Driver.begin(store)
    await engine.start(RUN)
    packed = [record(1, kind="run_started"), *records(2, 300)]
    transaction = engine.on(RUN, *packed[1:])
    transaction.also.segments = (segment(RUN, packed),)
    transaction.also.summary = msgspec.structs.replace(await engine.current(RUN), packed_seq=300)
    await engine.receipt(transaction)

    db = open_reader(path)
    [[size]] = db.execute("SELECT length(body) FROM histories").fetchall()
    db.close()
    assert isinstance(size, int)
    assert size < len(transaction.also.segments[0].body) / 3
    assert await store.read_journal(RUN) == packed


async def test_pruned_runs_take_their_blobs_with_them(store: SqliteStore, path: Path) -> None:
    engine = await Driver.begin(store)
    await engine.start(RUN)
    body, blob = detach(b"\x00" * 40_000)
    assert blob is not None
    full = engine.on(RUN, record(2, body=body))
    full.also.blobs = (blob,)
    await engine.receipt(full)
    await engine.close_run(RUN)

    await store.prune(9_999, 10)

    db = open_reader(path)
    counts = db.execute(
        "SELECT (SELECT count(*) FROM blobs), (SELECT count(*) FROM blob_refs)"
    ).fetchall()
    db.close()
    assert [tuple(row) for row in counts] == [(0, 0)]


async def test_a_closed_store_refuses_every_verb(store: SqliteStore) -> None:
    await store.close()

    with pytest.raises(StoreError, match="is closed"):
        await store.read_run(RUN)
    with pytest.raises(StoreError, match="is closed"):
        await store.commit(CommitId("x", 1), [])
    with pytest.raises(StoreError, match="is closed"):
        store.renew_leases([])


async def test_a_reader_writes_nothing_and_takes_no_lock(store: SqliteStore, path: Path) -> None:
    reader = await SqliteStore.open(path, world=RealWorld(), read_only=True)

    with pytest.raises(StoreReadOnly):
        await reader.commit(CommitId("x", 1), [])
    with pytest.raises(StoreReadOnly):
        await reader.acquire_leases("x", [0])
    assert reader.renew_leases([]) == []
    await reader.close()
    engine = await Driver.begin(store)  # closing a reader leaves the owner's locks alone
    await engine.start(RUN)
    assert await store.read_run(RUN) is not None


async def test_an_opening_that_nobody_waits_for_gives_the_lock_back(path: Path) -> None:
    opening = asyncio.ensure_future(SqliteStore.open(path, world=RealWorld()))
    await asyncio.sleep(0)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening

    for _ in range(3_000):
        try:
            store = await SqliteStore.open(path, world=RealWorld())
        except StoreLocked:
            await asyncio.sleep(0.01)
        else:
            await store.close()
            return
    pytest.fail("the lock was kept")


async def test_a_caller_that_stops_waiting_disturbs_nobody(store: SqliteStore) -> None:
    engine = await Driver.begin(store)
    await engine.start(RUN)
    reading = asyncio.ensure_future(store.read_journal(RUN))
    await asyncio.sleep(0)
    reading.cancel()

    assert len(await store.read_journal(RUN)) == 1
    with pytest.raises(asyncio.CancelledError):
        await reading
