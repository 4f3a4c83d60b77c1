from __future__ import annotations

import msgspec
import pytest

from outlast._records import Blob, detach
from outlast._store.contract import RunFilter, Store
from outlast._store.decisions import another_life
from outlast._store.rows import StreamRow
from outlast._store.transactions import Receipt
from outlast.types import OnParentClose, Reuse, Status
from tests.conformance.driving import (
    CLOSED,
    OPEN,
    OTHER,
    RUN,
    Driver,
    record,
    segment,
    signal,
    the,
)

REUSES: tuple[Reuse, ...] = ("always", "if_failed", "never")


async def test_a_started_run_is_there_with_its_records(store: Store, engine: Driver) -> None:
    first = (record(1, kind="run_started"), record(2, kind="signal"))
    row = msgspec.structs.replace(
        engine.row(RUN), parent=OTHER, parent_key="0:x", on_parent_close="abandon", request="r",
        timeout_at=9,
    )  # fmt: skip

    receipt = await engine.receipt(engine.starting(row, first=first))

    assert receipt == Receipt()
    assert await store.read_run(RUN) == msgspec.structs.replace(row, started_position=1)
    assert await store.read_journal(RUN) == list(first)


@pytest.mark.parametrize("reuse", REUSES)
@pytest.mark.parametrize("status", OPEN)
async def test_an_open_run_keeps_its_id_whatever_the_policy(
    store: Store, engine: Driver, status: Status, reuse: Reuse
) -> None:
    await engine.start(RUN)
    await engine.summarise(msgspec.structs.replace(await engine.current(RUN), status=status))
    before = await engine.current(RUN)

    receipt = await engine.receipt(engine.starting(engine.row(RUN, created_at=9), reuse=reuse))

    assert receipt.existing == {RUN: before}
    assert await store.read_run(RUN) == before
    assert len(await store.read_journal(RUN)) == 1


@pytest.mark.parametrize("reuse", REUSES)
@pytest.mark.parametrize("status", CLOSED)
async def test_a_closed_run_gives_way_as_the_policy_says(
    store: Store, engine: Driver, status: Status, reuse: Reuse
) -> None:
    await engine.start(RUN)
    await engine.close_run(RUN, status)
    gives_way = reuse == "always" or (reuse == "if_failed" and status != "completed")

    receipt = await engine.receipt(engine.starting(engine.row(RUN, created_at=9), reuse=reuse))

    assert (RUN in receipt.existing) is not gives_way
    assert ((await engine.current(RUN)).created_at == 9) is gives_way


CHILD = {"parent": OTHER, "parent_key": "0#1:x", "digest": b"d"}


@pytest.mark.parametrize("reuse", ["always", "never"])
@pytest.mark.parametrize("policy", ["abandon", "cancel"])
@pytest.mark.parametrize("status", CLOSED)
async def test_a_retry_of_its_parent_replaces_a_child_unless_it_completed_or_was_abandoned(
    engine: Driver, status: Status, policy: OnParentClose, reuse: Reuse
) -> None:
    row = msgspec.structs.replace(engine.row(RUN), **CHILD, on_parent_close=policy, request="r")
    await engine.receipt(engine.starting(row))
    await engine.close_run(RUN, status)
    retried = another_life("r", "2")
    start = msgspec.structs.replace(row, request=retried, created_at=9)

    receipt = await engine.receipt(engine.starting(start, reuse=reuse))

    assert (RUN in receipt.existing) is (status == "completed" or policy == "abandon")


@pytest.mark.parametrize(
    "change", [{"request": "s"}, {"digest": b"e"}, {"workflow": "other"}, {"parent_key": "0#2:x"}]
)
async def test_an_abandoned_child_gives_way_to_other_work_and_to_another_parent(
    engine: Driver, change: dict[str, object]
) -> None:
    row = msgspec.structs.replace(engine.row(RUN), **CHILD, on_parent_close="abandon", request="r")
    await engine.receipt(engine.starting(row))
    await engine.close_run(RUN, "completed")
    start = msgspec.structs.replace(row, request=another_life("r", "2"))
    other = msgspec.structs.replace(start, **change)

    assert RUN in (await engine.receipt(engine.starting(start, reuse="always"))).existing
    assert (await engine.receipt(engine.starting(other, reuse="always"))).existing == {}


async def test_an_abandoned_child_that_is_retried_itself_gives_way_to_its_next_life(
    engine: Driver,
) -> None:
    row = msgspec.structs.replace(engine.row(RUN), **CHILD, on_parent_close="abandon", request="r")
    await engine.receipt(engine.starting(row))
    await engine.close_run(RUN, "failed")
    start = msgspec.structs.replace(row, request=another_life("r", "2"))

    assert (await engine.receipt(engine.starting(start, reuse="if_failed"))).existing == {}


async def test_of_two_starts_in_one_batch_the_first_wins(store: Store, engine: Driver) -> None:
    results = await engine.commit(
        engine.starting(engine.row(RUN, created_at=1)),
        engine.starting(engine.row(RUN, created_at=2), reuse="always"),
    )

    kept = await engine.current(RUN)
    assert kept.created_at == 1
    assert results == [Receipt(), Receipt(existing={RUN: kept})]


async def test_a_replaced_run_leaves_nothing_behind(store: Store, engine: Driver) -> None:
    await engine.start(RUN)
    body, blob = detach(b"\x00" + bytes(40_000))
    assert blob is not None
    full = engine.on(RUN, record(2, body=body), record(3))
    full.also.blobs = (blob,)
    full.also.values = (("total", b"1"),)
    full.also.streams = (
        StreamRow(run=RUN, name="out", offset=0, count=1, kind="data", writer="w"),
    )
    full.also.segments = (segment(RUN, [record(1, kind="run_started")]),)
    await engine.commit(full, engine.posting(signal(RUN, dedup="d")))
    await engine.close_run(RUN, "failed")

    await engine.commit(
        engine.starting(engine.row(RUN, created_at=9)),
        engine.posting(signal(RUN, dedup="d", body=b"other")),
    )

    assert await store.read_journal(RUN) == [record(1, kind="run_started")]
    assert await store.read_value(RUN, "total") is None
    assert await store.read_stream(RUN, "out", 0, 10) == []
    assert the(await store.read_mailbox(RUN, 10)).body == b"other"
    assert len(await store.list_runs(RunFilter(), None, 10)) == 1
    assert list((await store.read_tail(engine.shards))[RUN].records) == [
        record(1, kind="run_started")
    ]


async def test_a_run_closed_and_replaced_in_one_batch_is_the_new_one(
    store: Store, engine: Driver
) -> None:
    await engine.start(RUN)
    row = await engine.current(RUN)
    closing = engine.on(RUN, record(2, kind="run_closed"))
    closing.also.summary = msgspec.structs.replace(row, status="failed", closed_at=5)
    value = engine.on(RUN)
    value.also.values = (("total", b"new"),)

    await engine.commit(
        engine.posting(signal(RUN)),
        closing,
        engine.starting(engine.row(RUN, created_at=9)),
        value,
        engine.posting(signal(RUN, body=b"2")),
    )

    assert (await engine.current(RUN)).created_at == 9
    assert await store.read_journal(RUN) == [record(1, kind="run_started")]
    assert await store.read_value(RUN, "total") == b"new"
    assert [m.body for m in await store.read_mailbox(RUN, 10)] == [b"2"]


async def test_a_start_with_the_same_large_input_keeps_its_blob(
    store: Store, engine: Driver
) -> None:
    body, blob = detach(b"\x00" + bytes(40_000))
    assert isinstance(blob, Blob)
    first = (record(1, kind="run_started", body=body),)
    for _ in range(2):
        starting = engine.starting(engine.row(RUN), reuse="always", first=first)
        starting.also.blobs = (blob,)
        await engine.receipt(starting)
        await engine.close_run(RUN)

    assert the(await store.read_journal(RUN)).body == b"\x00" + bytes(40_000)


async def test_a_child_starts_in_its_parents_transaction(store: Store, engine: Driver) -> None:
    await engine.start(RUN)
    started = engine.starting(msgspec.structs.replace(engine.row(OTHER), parent=RUN)).also.starts
    transaction = engine.on(RUN, record(2, kind="child_started"))
    transaction.also.starts = started
    await engine.commit(transaction)

    assert (await engine.current(OTHER)).parent == RUN
