"""Every attribute that a run can have is found by a query for it, in every store."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import example, given
from hypothesis import strategies as st

from outlast._engine.reading.queries import parse_query
from outlast._store.attributes import merged_attributes
from outlast._store.contract import RunFilter, Store
from outlast._store.decisions import matches
from outlast._store.memory.database import MemoryDatabase
from outlast._store.memory.store import MemoryStore
from outlast._store.rows import RunRow
from outlast._store.sqlite.store import SqliteStore
from outlast._store.transactions import CommitId, Effects, StartRun, Transaction
from outlast._world import RealWorld
from outlast.types import RunId

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
NAMES = TEXTS.map(lambda text: "".join(c for c in text if c.isprintable() and c != ":") or "n")
VALUES = st.one_of(
    TEXTS,
    st.booleans(),
    st.integers(-(2**63) + 1, 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
)
RESERVED = ("status", "workflow", "since", "until", "id", "parent")


def written(value: object) -> set[str]:
    """Return the ways in which a person writes a value."""
    if isinstance(value, bool):
        return {f"{value}".lower()}
    if isinstance(value, float):
        return {f"{value!r}", f"{value:.17e}", f"{value:.17E}"}
    return {f"{value}"}


async def found(store: Store, row: RunRow, queries: list[RunFilter]) -> list[bool]:
    start = StartRun(row, (), "never")
    await store.commit(CommitId("w", 1), [Transaction(None, row.id, [], Effects(starts=(start,)))])
    return [bool(await store.list_runs(which, None, 10)) for which in queries]


@given(st.dictionaries(NAMES.filter(lambda name: name not in RESERVED), VALUES, max_size=3))
@example({"note": "", "amount": 1e22, "small": 5e-324})
@example({"text": "1e22", 'odd "key"': 1.5, "a.b[0]": True})
def test_every_attribute_is_found(attributes: Mapping[str, object]) -> None:
    stored = merged_attributes("{}", attributes)
    row = RunRow(
        id=RunId("r"), shard=0, workflow="w", version="", status="pending", created_at=1,
        attributes=stored,
    )  # fmt: skip
    queries = [
        parse_query(shlex.quote(name) + ":" + shlex.quote(text), 0)
        for name, value in attributes.items()
        for text in written(value)
    ]
    assert all(matches(row, which) for which in queries)

    async def look() -> None:
        database = MemoryDatabase(clock=lambda: 1, shards_count=1)
        assert all(await found(MemoryStore(database, RealWorld()), row, queries))
        with TemporaryDirectory() as directory:
            path = Path(directory) / "outlast.db"
            real = await SqliteStore.open(path, world=RealWorld())
            try:
                assert all(await found(real, row, queries))
            finally:
                await real.close()

    asyncio.run(look())
