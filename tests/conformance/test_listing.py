from __future__ import annotations

import json

import msgspec
import pytest

from outlast._store.contract import Cursor, RunFilter, Store
from outlast._store.decisions import matches
from outlast._store.rows import RunRow
from outlast.types import RunId, Status
from tests.conformance.driving import OTHER, RUN, Driver

ATTRIBUTES: list[dict[str, object]] = [
    {},
    {"tier": "gold", "amount": 12, "is_new": True},
    {"tier": "silver", "amount": 12.5, "is_new": False},
    {"tier": "12", "amount": -3, "ratio": 0.1 + 0.2},
    {"tier": "true", "amount": 1e16, "ratio": 12.0},
    {"tier": None, 'odd "key"': "odd 'value'", "grün": "grün\n"},
    {"tier": "", "amount": 1e-9, "ratio": 2**60},
]
ASKED = [
    ("tier", "gold"), ("tier", "12"), ("tier", "true"), ("tier", ""), ("tier", "None"),
    ("tier", "null"), ("amount", "12"), ("amount", "12.0"), ("amount", "12.5"),
    ("amount", "12.50"), ("amount", "-3"), ("amount", "1e+16"), ("amount", "1e16"),
    ("amount", "1e-09"), ("ratio", "0.30000000000000004"), ("ratio", "0.3"), ("ratio", "12.0"),
    ("ratio", "12"), ("ratio", str(2**60)), ("ratio", "inf"), ("ratio", "nan"),
    ("is_new", "true"), ("is_new", "false"), ("is_new", "True"), ("is_new", "1"),
    ('odd "key"', "odd 'value'"), ("grün", "grün\n"), ("absent", ""), ("%", "_"),
]  # fmt: skip

WORKFLOWS = ["shop.orders.refund", "orders.refund", "refund", "shop.prefund", "shop_refund"]
STATUSES: list[Status] = ["running", "completed", "failed", "waiting"]

FILTERS = [
    RunFilter(),
    RunFilter(statuses=frozenset(("running",))),
    RunFilter(statuses=frozenset(("failed", "completed"))),
    RunFilter(statuses=frozenset()),
    *[
        RunFilter(workflow=name)
        for name in ("refund", "orders.refund", "shop.orders.refund", "fund", "", "%", "shop")
    ],
    *[
        RunFilter(words=words)
        for words in (("REFUND",), ("a-1",), ("shop", "a-"), ("ü-",), ("Ü-",), ("%",), ("no_one",))
    ],
    RunFilter(created_from=1_003),
    RunFilter(created_to=1_003),
    RunFilter(created_from=1_002, created_to=1_004),
    *[RunFilter(id_prefix=prefix) for prefix in ("", "a", "a-1", "a%", "A", "ü", "zz")],
    RunFilter(parent=RunId("a-1")),
    RunFilter(parent=RunId("nobody")),
    RunFilter(statuses=frozenset(("running",)), workflow="refund", created_from=1_001),
    *[
        RunFilter(attributes=(("is_new", "true"),), created_from=since, created_to=until)
        for since, until in ((1_003, None), (None, 1_003), (1_002, 1_005))
    ],
    RunFilter(attributes=(("tier", "gold"),), statuses=frozenset(("completed",)), id_prefix="ü"),
    RunFilter(attributes=(("tier", "gold"),), parent=RunId("a-1"), words=("shop",)),
]


async def fill(engine: Driver) -> list[RunRow]:
    rows: list[RunRow] = []
    for n in range(24):
        row = engine.row(RunId(f"{'aÜüA'[n % 4]}-{n}"), created_at=1_000 + n // 3)
        rows.append(
            msgspec.structs.replace(
                row,
                workflow=WORKFLOWS[n % len(WORKFLOWS)],
                attributes=json.dumps(ATTRIBUTES[n % len(ATTRIBUTES)]),
                parent=RunId("a-1") if n % 5 == 0 else None,
            )
        )
    await engine.commit(*[engine.starting(row) for row in rows])
    kept: list[RunRow] = []
    for n, row in enumerate(rows):
        current = await engine.current(row.id)
        kept.append(msgspec.structs.replace(current, status=STATUSES[n % len(STATUSES)]))
        await engine.summarise(kept[-1])
    return kept


def wanted(rows: list[RunRow], which: RunFilter) -> list[RunId]:
    found = [row for row in rows if matches(row, which)]
    found.sort(key=lambda row: (row.created_at, row.id), reverse=True)
    return [row.id for row in found]


@pytest.mark.parametrize("which", FILTERS, ids=str)
async def test_a_filter_finds_what_it_means_newest_first(
    store: Store, engine: Driver, which: RunFilter
) -> None:
    rows = await fill(engine)

    found = await store.list_runs(which, None, 100)

    assert [row.id for row in found] == wanted(rows, which)


async def test_attributes_match_by_their_text(store: Store, engine: Driver) -> None:
    rows = await fill(engine)
    both = RunFilter(attributes=(("amount", "1e16"), ("amount", "1e+16"), ("tier", "true")))
    assert [row.id for row in await store.list_runs(both, None, 100)] == wanted(rows, both) != []
    hits = 0
    for pair in ASKED:
        which = RunFilter(attributes=(pair,))
        found = [row.id for row in await store.list_runs(which, None, 100)]
        assert found == wanted(rows, which), pair
        hits += bool(found)
    assert hits > 10


async def test_every_attribute_asked_for_must_match(store: Store, engine: Driver) -> None:
    rows = await fill(engine)
    which = RunFilter(attributes=(("tier", "gold"), ("amount", "12")))
    neither = RunFilter(attributes=(("tier", "gold"), ("amount", "13")))

    assert [row.id for row in await store.list_runs(which, None, 100)] == wanted(rows, which)
    assert await store.list_runs(neither, None, 100) == []


async def test_attributes_that_change_are_found_as_they_are_now(
    store: Store, engine: Driver
) -> None:
    await fill(engine)
    row = await engine.current(RunId("Ü-1"))
    changed = msgspec.structs.replace(row, attributes='{"amount": 12, "tier": "blue"}')
    await engine.summarise(changed)

    async def found(*pairs: tuple[str, str]) -> list[RunId]:
        return [row.id for row in await store.list_runs(RunFilter(attributes=pairs), None, 100)]

    assert await found(("tier", "blue")) == [row.id]
    assert await found(("amount", "12"), ("tier", "blue")) == [row.id]
    assert row.id in await found(("amount", "12"))
    assert row.id not in await found(("tier", "gold"))
    assert await found(("tier", "gold"))


async def test_attributes_of_a_run_that_is_pruned_find_nothing(
    store: Store, engine: Driver
) -> None:
    await fill(engine)
    row = await engine.current(RunId("Ü-1"))
    tagged = msgspec.structs.replace(row, attributes='{"only": "here"}')
    await engine.summarise(msgspec.structs.replace(tagged, status="completed", closed_at=2_000))
    which = RunFilter(attributes=(("only", "here"),))
    assert await store.count_runs(which, 10) == 1

    assert await store.prune(2_001, 100) > 0

    assert await store.list_runs(which, None, 100) == []
    assert await store.count_runs(which, 10) == 0


@pytest.mark.parametrize("size", [1, 2, 3, 5, 24, 30])
@pytest.mark.parametrize(
    "which",
    [RunFilter(), RunFilter(workflow="refund"), RunFilter(attributes=(("tier", "gold"),))],
    ids=str,
)
async def test_pages_follow_each_other_without_gap_or_repetition(
    store: Store, engine: Driver, which: RunFilter, size: int
) -> None:
    rows = await fill(engine)
    seen: list[RunId] = []
    after: Cursor | None = None
    while page := await store.list_runs(which, after, size):
        assert len(page) <= size
        seen += [row.id for row in page]
        after = Cursor(page[-1].created_at, page[-1].id)

    assert seen == wanted(rows, which)


async def test_a_run_that_comes_meanwhile_does_not_disturb_the_pages(
    store: Store, engine: Driver
) -> None:
    rows = await fill(engine)
    first = await store.list_runs(RunFilter(), None, 5)
    await engine.receipt(engine.starting(engine.row(RUN, created_at=9_999)))
    second = await store.list_runs(RunFilter(), Cursor(first[-1].created_at, first[-1].id), 5)

    assert [row.id for row in first + second] == wanted(rows, RunFilter())[:10]


async def test_a_listed_row_is_the_whole_row(store: Store, engine: Driver) -> None:
    await engine.start(RUN, OTHER)

    listed = await store.list_runs(RunFilter(), None, 10)

    assert listed == [await engine.current(OTHER), await engine.current(RUN)]
