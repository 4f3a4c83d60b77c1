from __future__ import annotations

import os
from pathlib import Path

import pytest

from outlast._store.sqlite.files.write_ahead_log import make_directory
from outlast._store.sqlite.store import SqliteStore
from outlast._world import RealWorld
from outlast.errors import StoreError
from tests.conformance.driving import RUN, Driver, record, records


class Syncs:
    """Records what is synced, by path, and whether the path's own entry was there by then."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.paths: list[Path] = []
        self._fsync = os.fsync
        monkeypatch.setattr(os, "fsync", self._note)

    def _note(self, descriptor: int) -> None:
        self._fsync(descriptor)
        self.paths.append(Path(f"/proc/self/fd/{descriptor}").readlink())


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="paths of descriptors")
@pytest.mark.parametrize("deep", [".", "a", "a/b", "a/b/c/d"])
async def test_every_new_directory_is_synced_into_the_one_above(
    tmp_path: Path, deep: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / deep / "outlast.db"
    syncs = Syncs(monkeypatch)

    await (await SqliteStore.open(path, world=RealWorld())).close()

    made = [tmp_path / deep, *(tmp_path / deep).parents]
    wanted = [place.parent for place in made if place != tmp_path and tmp_path in place.parents]
    assert set(wanted) <= set(syncs.paths)
    assert tmp_path.parent not in syncs.paths
    assert path.parent in syncs.paths


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(StoreError, match=r"cannot make the directory .*file/sub"):
        make_directory(tmp_path / "file" / "sub")


async def test_a_log_whose_size_cannot_be_told_is_not_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "outlast.db"
    store = await SqliteStore.open(path, world=RealWorld())
    engine = await Driver.begin(store)
    await engine.start(RUN)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fstat", _fail)
        for seq in range(2, 60):
            await engine.commit(engine.on(RUN, record(seq)))

    assert await store.read_journal(RUN) == [record(1, kind="run_started"), *records(2, 59)]
    await store.close()


def _fail(_: int) -> os.stat_result:
    raise OSError(5, "Input/output error")
