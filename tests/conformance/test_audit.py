from __future__ import annotations

import pytest

from outlast._store.auditing import Acting, AuditRow, acting, acting_as, because
from outlast._store.contract import Store
from outlast._store.decisions import carry_audit
from outlast._store.transactions import Effects, Transaction
from outlast.types import RunId
from tests.conformance.driving import OTHER, RUN, Driver, signal


def somebody(verb: str, *, is_traffic: bool = False, caller: str = "ann") -> Acting:
    return Acting(
        caller=caller,
        role="operator",
        via="http",
        verb=verb,
        target="it",
        run=RunId(""),
        is_traffic=is_traffic,
    )


async def rows(
    store: Store, *, run: RunId | None = None, caller: str | None = None
) -> list[AuditRow]:
    return await store.read_audit(None, 100, run=run, caller=caller)


async def post(engine: Driver, who: Acting, run: RunId, *, at: int, dedup: str = "") -> None:
    transaction = Transaction(None, run, [], Effects(posts=(signal(run, dedup=dedup),)))
    with acting_as(who):
        because("it is due")
        await engine.receipt(carry_audit(transaction, at))


async def test_a_row_is_written_with_what_is_done(store: Store, engine: Driver) -> None:
    await engine.start(RUN)
    await post(engine, somebody("signal"), RUN, at=7)

    [row] = await rows(store)
    assert (row.caller, row.role, row.via, row.verb) == ("ann", "operator", "http", "signal")
    assert (row.run, row.target, row.reason, row.at) == (RUN, "it", "it is due", 7)
    assert row.outcome == "done"


async def test_a_row_says_what_the_store_refused(store: Store, engine: Driver) -> None:
    await post(engine, somebody("signal"), RUN, at=1)
    await engine.start(RUN)
    await post(engine, somebody("signal"), RUN, at=2, dedup="once")
    await post(engine, somebody("signal"), RUN, at=3, dedup="once")

    assert [row.outcome for row in await rows(store)] == ["duplicate", "done", "not-found"]


async def test_only_the_first_transaction_carries_the_row(store: Store, engine: Driver) -> None:
    await engine.start(RUN)
    who = somebody("signal")
    await post(engine, who, RUN, at=1)
    await post(engine, who, RUN, at=2)
    assert acting() is None

    assert len(await rows(store)) == 1


async def test_rows_are_found_by_run_and_by_caller(store: Store, engine: Driver) -> None:
    await engine.start(RUN, OTHER)
    await post(engine, somebody("signal"), RUN, at=1)
    await post(engine, somebody("signal", caller="bob"), OTHER, at=2)
    await post(engine, somebody("signal", caller="bob"), RUN, at=3)

    assert [row.at for row in await rows(store)] == [3, 2, 1]
    assert [row.at for row in await rows(store, run=RUN)] == [3, 1]
    assert [row.at for row in await rows(store, caller="bob")] == [3, 2]
    assert [row.at for row in await rows(store, run=RUN, caller="ann")] == [1]
    newest = (await rows(store))[0].number
    assert [r.at for r in await store.read_audit(newest, 1, run=None, caller=None)] == [2]


@pytest.mark.parametrize(("most", "left"), [(10, [9, 5, 4]), (1, [9, 5])])
async def test_traffic_is_kept_for_a_shorter_time(
    store: Store, engine: Driver, most: int, left: list[int]
) -> None:
    await engine.start(RUN)
    for at in (1, 2, 3):
        await post(engine, somebody("signal", is_traffic=True), RUN, at=at)
    await post(engine, somebody("signal", is_traffic=True), RUN, at=4)
    await post(engine, somebody("terminate"), RUN, at=5)
    await post(engine, somebody("terminate"), RUN, at=1)
    await post(engine, somebody("signal", is_traffic=True), RUN, at=9)
    gone = 7 - len(left)

    assert await store.prune_audit(5, 4, most, 100) == gone
    assert sorted((row.at for row in await rows(store)), reverse=True) == left


async def test_numbers_are_not_used_again(store: Store, engine: Driver) -> None:
    await engine.start(RUN)
    await post(engine, somebody("terminate"), RUN, at=1)
    [first] = await rows(store)
    assert await store.prune_audit(10, 10, 0, 100) == 1
    await post(engine, somebody("terminate"), RUN, at=20)

    [second] = await rows(store)
    assert second.number > first.number


async def test_of_one_caller_only_the_newest_rows_are_kept(store: Store, engine: Driver) -> None:
    await engine.start(RUN)
    for at in range(1, 6):
        await post(engine, somebody("terminate"), RUN, at=at)
    await post(engine, somebody("terminate", caller="bob"), RUN, at=1)

    assert await store.prune_audit(0, 0, 100, 2) == 3
    assert [(row.caller, row.at) for row in await rows(store)] == [
        ("bob", 1),
        ("ann", 5),
        ("ann", 4),
    ]
