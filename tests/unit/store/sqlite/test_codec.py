"""A database with a codec: what opens it, what is refused, and what a changed row is taken for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import apsw
import msgspec
import pytest

from outlast._codec.stored.layers import codec_of
from outlast._store.contract import RunFilter
from outlast._store.row_codec import RowCodec
from outlast._store.rows import StreamRow, TokenRow
from outlast._store.sqlite.codec_keys import codec_for
from outlast._store.sqlite.connection import Cell, connect
from outlast._store.sqlite.opening import open_reader
from outlast._store.sqlite.rekey import rekey, undecodable
from outlast._store.sqlite.store import SqliteStore
from outlast._store.sqlite.tables import columns as tables
from outlast._store.sqlite.tables.columns import Table, sealed
from outlast._store.sqlite.tables.verify import faults
from outlast._world import RealWorld
from outlast.encryption import CodecLayer, Keys, compressed, encrypted
from outlast.errors import StoreCodecError, StoreDamaged
from outlast.types import RunId
from tests.conformance.driving import OTHER, RUN, Driver, record, segment, signal
from tests.unit.store.sqlite.databases import exchange

OLD, NEW = bytes(range(32)), bytes(range(32, 64))
BLOB_RUN = RunId("large")


def keyed(**keys: bytes) -> list[CodecLayer]:
    return [encrypted(Keys(keys))]


async def opened(
    path: Path, layers: list[CodecLayer] | None, *, read_only: bool = False
) -> SqliteStore:
    return await SqliteStore.open(
        path, world=RealWorld(), codec=codec_of(layers), read_only=read_only
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outlast.db"


async def make(path: Path, layers: list[CodecLayer] | None) -> None:
    """Make a database with two rows of each kind, of two runs, whose index columns are alike."""
    store = await opened(path, layers)
    engine = await Driver.begin(store)
    await engine.start(RUN, OTHER)
    for run in (RUN, OTHER):
        token = TokenRow(
            id=f"token of {run}", run=run, workflow="f", key="k", kind="approval", created_at=1
        )
        writing = engine.on(run, record(2, body=f"\0one of {run}".encode()), record(3))
        writing.also.values = (("v", f"one of {run}".encode()), ("w", b"two"))
        writing.also.tokens = (token,)
        writing.also.streams = tuple(
            StreamRow(
                run=run, name="s", offset=n, count=1, kind="data", writer="", body=b"\x91\xc4\x01x"
            )
            for n in range(2)
        )
        await engine.receipt(writing)
        await engine.receipt(engine.posting(signal(run, body=b"first"), signal(run, body=b"next")))
    await store.close()


async def test_a_reader_and_a_writer_need_the_codec_that_it_was_written_with(path: Path) -> None:
    await make(path, keyed(k1=OLD))

    for read_only in (False, True):
        with pytest.raises(StoreCodecError, match=r"is encrypted under 'k1', and no codec"):
            await opened(path, None, read_only=read_only)
        with pytest.raises(StoreCodecError, match=r"have none of this id") as caught:
            await opened(path, keyed(k2=NEW), read_only=read_only)
        assert caught.value.key_id == "k1"
        with pytest.raises(StoreCodecError, match=r"the key 'k1' that was given is not the one"):
            await opened(path, keyed(k1=NEW), read_only=read_only)
        store = await opened(path, keyed(k1=OLD), read_only=read_only)
        assert await store.read_value(RUN, "v") == b"one of order-1"
        await store.close()


async def test_a_database_without_a_codec_is_not_opened_with_one(path: Path) -> None:
    await make(path, None)

    for read_only in (False, True):
        with pytest.raises(StoreCodecError, match=r"is not encrypted.* `outlast db rekey`"):
            await opened(path, keyed(k1=OLD), read_only=read_only)


async def test_a_compressed_database_is_no_secret_and_opens_as_it_is(path: Path) -> None:
    await make(path, [compressed()])

    store = await opened(path, None)
    assert await store.read_value(RUN, "v") == b"one of order-1"
    await store.close()
    with pytest.raises(StoreCodecError, match=r"compressed and not encrypted"):
        await opened(path, keyed(k1=OLD))


async def test_after_a_change_of_keys_both_are_needed(path: Path) -> None:
    await make(path, keyed(k1=OLD))
    store = await opened(path, keyed(k2=NEW, k1=OLD))
    engine = await Driver.begin(store, "engine-2")
    await engine.start(BLOB_RUN)
    assert await store.read_value(RUN, "v") == b"one of order-1"
    await store.close()

    for layers in (keyed(k1=OLD), keyed(k2=NEW)):
        with pytest.raises(StoreCodecError, match=r"have none of this id"):
            await opened(path, layers)


async def test_a_step_makes_no_call_for_a_codec_that_is_not_there(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("no row passes through a codec")

    monkeypatch.setattr(RowCodec, "encode", refuse)
    monkeypatch.setattr(RowCodec, "decode", refuse)
    monkeypatch.setattr(tables, "decoded", refuse)

    await make(path, None)
    store = await opened(path, None)

    assert [r.seq for r in await store.read_journal(RUN)] == [1, 2, 3]
    await store.close()


def test_the_core_does_not_import_the_library_of_the_extra() -> None:
    program = (
        "import sys, outlast, outlast.engine, outlast.encryption, outlast.cli\n"
        "print([name for name in sys.modules if name.startswith('cryptography')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() == "[]"


async def test_exchanged_records_are_damage(path: Path) -> None:
    await make(path, keyed(k1=OLD))
    for one, other in (
        ("run = 'order-1' AND seq = 2", "run = 'order-2' AND seq = 2"),
        ("run = 'order-1' AND seq = 2", "run = 'order-1' AND seq = 3"),
    ):
        exchange(path, tables.JOURNAL, "body", (one, other))
        store = await opened(path, keyed(k1=OLD))
        with pytest.raises(StoreDamaged, match=r"record 2 of run 'order-1'.*not what was written"):
            await store.read_journal(RUN)
        await store.close()
        exchange(path, tables.JOURNAL, "body", (one, other))
    store = await opened(path, keyed(k1=OLD))
    assert len(await store.read_journal(RUN)) == 3
    await store.close()


async def test_exchanged_values_streams_messages_and_tokens_are_damage(path: Path) -> None:
    await make(path, keyed(k1=OLD))
    both = ("run = 'order-1'", "run = 'order-2'")
    exchange(path, tables.VALUES, "body", [f"{w} AND name = 'v'" for w in both])
    exchange(path, tables.STREAMS, "body", [f'{both[0]} AND "offset" = {n}' for n in (0, 1)])
    exchange(path, tables.MAILBOX, "body", ("number = 1", "number = 2"))
    exchange(path, tables.TOKENS, "value", both)
    exchange(path, tables.RUNS_SUMMARY, "output", ("id = 'order-1'", "id = 'order-2'"))

    store = await opened(path, keyed(k1=OLD))

    for reading in (
        store.read_value(RUN, "v"),
        store.read_stream(RUN, "s", 0, 10),
        store.read_mailbox(RUN, 10),
        store.read_token("token of order-1"),
        store.read_run(RUN),
    ):
        with pytest.raises(StoreDamaged, match=r"is damaged: .*not what was written"):
            await reading
    listed = await store.list_runs(RunFilter(), None, 10)
    assert {row.parked_as for row in listed} == {"damaged"}
    await store.close()


@pytest.mark.parametrize(
    ("table", "change"),
    [
        (tables.JOURNAL, {"name": "other"}),
        (tables.JOURNAL, {"kind": "signal"}),
        (tables.JOURNAL, {"body": b"\x00forged"}),
        (tables.JOURNAL, {"attempt": 7}),
        (tables.JOURNAL, {"body": b"\xa1\x02k9" + bytes(60)}),
    ],
)
async def test_a_changed_or_plain_row_is_damage_though_its_checksum_fits(
    path: Path, table: Table, change: dict[str, Cell]
) -> None:
    await make(path, keyed(k1=OLD))
    db = connect(str(path), apsw.SQLITE_OPEN_READWRITE)
    where = "run = 'order-1' AND seq = 2"
    [row] = db.execute(f"SELECT {table.selected} FROM {table.name} WHERE {where}").fetchall()
    known = dict(zip(table.columns, row, strict=False)) | change
    cells = sealed(tuple(c for c in known.values() if isinstance(c, int | str | bytes | None)))
    names = ", ".join(f'"{name}" = ?' for name in (*table.columns, table.checksum))
    db.execute(f"UPDATE {table.name} SET {names} WHERE {where}", cells)
    db.close()

    store = await opened(path, keyed(k1=OLD))

    with pytest.raises(StoreDamaged, match=r"not what was written"):
        await store.read_journal(RUN)
    assert len(await store.read_journal(OTHER)) == 3
    await store.close()


async def test_a_database_that_lost_its_keys_is_not_encrypted_twice(path: Path) -> None:
    await make(path, keyed(k1=OLD))
    db = connect(str(path), apsw.SQLITE_OPEN_READWRITE)
    db.execute("DELETE FROM codec_keys")
    db.close()
    codec = codec_of(keyed(k1=OLD))

    with pytest.raises(StoreCodecError, match="somebody has changed or replaced it"):
        await opened(path, keyed(k1=OLD))
    with pytest.raises(StoreDamaged, match="says that it is not encrypted, and the row of"):
        rekey(path, codec, decrypt=False, new_seed=seed, tell=lambda _done, _all: None)


async def test_exchanged_rows_are_found_by_verify_and_refused_by_rekey(path: Path) -> None:
    await make(path, keyed(k1=OLD))
    both = ("run = 'order-1' AND seq = 2", "run = 'order-2' AND seq = 2")
    exchange(path, tables.JOURNAL, "body", both)
    reader = open_reader(path)
    codec = codec_of(keyed(k2=NEW, k1=OLD))
    assert codec is not None
    assert faults(reader) == []
    rows = codec_for(reader, path, codec, seed, is_writing=False)
    assert rows is not None

    found = list(undecodable(reader, rows))
    reader.close(True)

    assert [text.partition(", name")[0] for text in found] == [
        "the row of journal with run 'order-1', seq 2",
        "the row of journal with run 'order-2', seq 2",
    ]
    with pytest.raises(StoreDamaged, match=r"order-1.* not what was written. Nothing was changed"):
        rekey(path, codec, decrypt=False, new_seed=seed, tell=lambda _done, _all: None)
    exchange(path, tables.JOURNAL, "body", both)
    made = rekey(path, codec, decrypt=False, new_seed=seed, tell=lambda _done, _all: None)
    assert made.retired == ("k1",)


def seed() -> bytes:
    return bytes(range(64, 96))


async def test_a_replayed_message_is_damage(path: Path) -> None:
    await make(path, keyed(k1=OLD))
    db = connect(str(path), apsw.SQLITE_OPEN_READWRITE)
    [row] = db.execute(f"SELECT {tables.MAILBOX.selected} FROM mailbox WHERE number = 1").fetchall()
    known = dict(zip(tables.MAILBOX.columns, row, strict=False)) | {"number": 99}
    cells = sealed(tuple(c for c in known.values() if isinstance(c, int | str | bytes | None)))
    marks = ", ".join("?" * len(cells))
    db.execute(f"INSERT INTO mailbox ({tables.MAILBOX.selected}) VALUES ({marks})", cells)
    db.close()

    store = await opened(path, keyed(k1=OLD))

    with pytest.raises(StoreDamaged, match=r"message 99 of run 'order-1'"):
        await store.read_mailbox(RUN, 10)
    await store.close()


async def test_exchanged_blobs_and_segments_are_damage(path: Path) -> None:
    store = await opened(path, keyed(k1=OLD))
    engine = await Driver.begin(store)
    await engine.start(RUN, OTHER)
    for run in (RUN, OTHER):
        appended = [record(2, body=f"\0{run}".encode() * 10), record(3)]
        await engine.receipt(engine.on(run, *appended))
        packing = engine.on(run)
        packing.also.segments = (segment(run, [record(1, kind="run_started"), *appended]),)
        packing.also.summary = msgspec.structs.replace(engine.row(run), last_seq=3, packed_seq=3)
        await engine.receipt(packing)
    await store.close()
    exchange(path, tables.HISTORIES, "body", ("run = 'order-1'", "run = 'order-2'"))

    store = await opened(path, keyed(k1=OLD))

    with pytest.raises(StoreDamaged, match=r"the history of run 'order-1'.*not what was written"):
        await store.read_journal(RUN)
    await store.close()


async def test_a_message_that_is_sent_again_is_compared_with_what_was_written(path: Path) -> None:
    store = await opened(path, keyed(k1=OLD))
    engine = await Driver.begin(store)
    await engine.start(RUN)
    first = await engine.receipt(engine.posting(signal(RUN, body=b"1", dedup="d")))
    await store.close()
    store = await opened(path, keyed(k2=NEW, k1=OLD))
    engine = await Driver.begin(store, "engine-2")

    again = await engine.receipt(engine.posting(signal(RUN, body=b"1", dedup="d")))
    other = await engine.receipt(engine.posting(signal(RUN, body=b"2", dedup="d")))

    assert (first.posts, again.posts, other.posts) == (("accepted",), ("duplicate",), ("conflict",))
    await store.close()


def test_what_an_envelope_is_bound_to_never_changes() -> None:
    """Another list here means that no row that was encrypted before can be read."""
    bound = {
        table.layout.table: " ".join(table.columns[place] for place in table.layout.bound)
        for table in tables.ALL
        if table.layout is not None
    }

    assert bound == {
        "runs.fixed_checksum": "id shard workflow created_at parent parent_key on_parent_close "
        "started_position request kind",
        "runs.checksum": "id version status started_at closed_at wake_at timeout_at attributes "
        "steps crash_count is_alone parked_as resident last_seq packed_seq folded_seq",
        "journal.checksum": "position run seq kind key at epoch attempt place waited took "
        "commit_number",
        "histories.checksum": "run first_seq last_seq",
        "mailbox.checksum": "run kind name dedup at number bound",
        "dead_letters.checksum": "number run kind name dedup sent_at reason attempts at",
        "streams.checksum": "run name offset count kind writer",
        "run_values.checksum": "run name",
        "tokens.checksum": "id run workflow key kind created_at expires_at status answered_at",
        "sharers.checksum": "owner number at",
        "audit.checksum": "number at caller role via verb target run outcome is_traffic",
    }


async def test_words_are_not_looked_for_in_what_is_encrypted(path: Path) -> None:
    store = await opened(path, keyed(k1=OLD))
    engine = await Driver.begin(store)
    failed = msgspec.structs.replace(engine.row(RUN), status="failed", error="no such page")
    await engine.receipt(engine.starting(failed))

    assert await store.list_runs(RunFilter(words=("page",)), None, 10) == []
    [found] = await store.list_runs(RunFilter(words=("refund",)), None, 10)
    [glance] = await store.glance_at_runs(RunFilter(), 10)
    assert found.error == glance.error == "no such page"
    await store.close()
