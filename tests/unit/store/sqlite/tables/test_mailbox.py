"""The mailboxes of a database: what it costs to know how full one is."""

from __future__ import annotations

from pathlib import Path

import apsw
import pytest

from outlast._store.sqlite.connection import connect, texts
from outlast._store.sqlite.store import SqliteStore
from outlast._store.sqlite.tables.facts import SIGNAL_BYTES
from outlast._world import RealWorld


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outlast.db"


async def test_the_bytes_of_signals_are_summed_without_reading_them(path: Path) -> None:
    await (await SqliteStore.open(path, world=RealWorld())).close()
    db = connect(str(path), apsw.SQLITE_OPEN_READONLY)
    plan = db.execute(f"EXPLAIN QUERY PLAN {SIGNAL_BYTES}", (texts(("r",)), 0)).fetchall()
    db.close()

    assert "COVERING INDEX mailbox_bytes (run=? AND kind=?)" in f"{plan}"
