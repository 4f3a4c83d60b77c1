from __future__ import annotations

import os
from pathlib import Path

import pytest

from outlast._store.sqlite.files.write_ahead_log import make_directory
from outlast._store.sqlite.store import SqliteStore
from outlast._world import RealWorld
from outlast.errors import StoreError


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

    with pytest.raises(StoreError, match=r"cannot create the directory .*file/sub"):
        make_directory(tmp_path / "file" / "sub")
