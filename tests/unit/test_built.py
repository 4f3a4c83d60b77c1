from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from outlast import _built, _registry, workflow
from outlast._built import FILE, Built, read, worker_environment
from outlast._registry import source_hash, version_of

BUILT = Built(
    name="shop",
    app="shop.py",
    module="shop",
    code="abc",
    built_at=1.0,
    versions={"carried": "0123456789ab"},
)


@workflow(name="carried")
async def carried() -> None: ...


def test_an_executable_of_another_tool_has_nothing_inside(tmp_path: Path) -> None:
    assert read(tmp_path) is None

    (tmp_path / FILE).write_bytes(msgspec.json.encode(BUILT))
    assert read(tmp_path) == BUILT


def test_a_built_executable_knows_the_versions_of_the_source(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    definition = carried.definition
    assert version_of(definition) == source_hash(definition)

    monkeypatch.setattr(_registry, "BUILT", BUILT)

    assert version_of(definition) == "0123456789ab"
    assert version_of(replace(definition, label="v2")) == "v2@0123456789ab"
    assert version_of(replace(definition, name="later")) == source_hash(definition)


def test_a_worker_of_an_executable_finds_its_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    assert worker_environment({"A": "1"}) is None

    monkeypatch.setattr(_built, "HOME", Path("/tmp/_MEI1"))

    assert worker_environment({"A": "1"}) == {"A": "1", "LD_LIBRARY_PATH": "/tmp/_MEI1"}
    assert worker_environment({"LD_LIBRARY_PATH": "/opt"}) == {
        "LD_LIBRARY_PATH": "/tmp/_MEI1",
        "LD_LIBRARY_PATH_ORIG": "/opt",
    }
