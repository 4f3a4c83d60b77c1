from __future__ import annotations

import sys
import textwrap
from pathlib import Path

import pytest

from outlast._registry import default_registry, version_of
from outlast.building.program import describe, own_code, top_imports
from outlast.cli.loading import load_program
from outlast.errors import UnknownWorkflow, UsageError

APP = """
from outlast import workflow
import {beside}

@workflow
async def flow() -> int:
    import json
    return 1

@workflow(version="blue")
async def labelled() -> int:
    return 2
"""


def test_a_file_is_described_with_what_lies_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "described_shop.py").write_text(APP.format(beside="described_prices"))
    (tmp_path / "described_prices.py").write_text("print('loud')\n")

    program = describe("described_shop.py")

    assert program.module == "described_shop"
    assert program.root == str(tmp_path)
    assert program.package == ""
    assert {"described_shop", "described_prices"} <= set(program.modules)
    assert {"outlast", "json", "described_prices"} <= set(program.imports)
    assert set(program.versions) == {"described_shop.flow", "described_shop.labelled"}


def test_the_versions_are_those_of_the_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "described_twice.py").write_text(APP.format(beside="json"))

    carried = describe("described_twice.py").versions
    load_program("described_twice.py")
    flow = default_registry.workflows["described_twice.flow"]
    labelled = default_registry.workflows["described_twice.labelled"]

    assert version_of(flow) == carried["described_twice.flow"]
    assert version_of(labelled).partition("@")[2] == carried["described_twice.labelled"]


def test_a_package_goes_in_as_a_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    package = tmp_path / "described_pack"
    (package / "inner").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "orders.py").write_text(APP.format(beside="json"))
    (package / "inner" / "__init__.py").touch()
    (package / "inner" / "unseen.py").write_text("raise RuntimeError('never imported')\n")

    program = describe("described_pack.orders")

    assert program.package == "described_pack"
    assert program.root == str(tmp_path)
    assert {"described_pack.orders", "described_pack.inner.unseen"} <= set(program.modules)


def test_the_code_hash_changes_with_the_code_alone(tmp_path: Path) -> None:
    file = tmp_path / "a.py"
    library = tmp_path / "site-packages" / "b.py"
    library.parent.mkdir()
    library.write_text("")
    file.write_text("x = 1\n")
    loaded = {"a": file, "b": library, "builtin": None}
    first = own_code(loaded, tmp_path)

    library.write_text("import y\n")
    assert own_code(loaded, tmp_path) == first
    file.write_text("x = 2\n")
    assert own_code(loaded, tmp_path).hash != first.hash


def test_imports_in_functions_count_and_relative_ones_do_not() -> None:
    source = textwrap.dedent(
        """
        import a.b
        from . import c
        def f():
            from d.e import g
        """
    ).encode()

    assert top_imports(source) == {"a", "d"}
    assert top_imports(b"def") == set()


def test_what_cannot_be_imported_is_told_as_by_the_other_commands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "described_bad.py").write_text("1 / 0\n")
    (tmp_path / "described_rude.py").write_text("import os\nos._exit(3)\n")

    with pytest.raises(UnknownWorkflow, match=r"there is no file nothing\.py"):
        describe("nothing.py")
    with pytest.raises(UsageError, match=r"described_bad\.py:1: ZeroDivisionError"):
        describe("described_bad.py")
    with pytest.raises(UsageError, match="ended the process with 3"):
        describe("described_rude.py")
