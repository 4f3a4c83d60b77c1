"""The command line of a built executable, without building one."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from outlast._built import Built
from outlast.cli import group, loading, places
from outlast.cli.loading import BrokenProgram, find_workflow
from outlast.errors import UsageError

FLOW = "from outlast import workflow\n\n@workflow\nasync def flow() -> None: ...\n"


@pytest.fixture(autouse=True)
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    inside = Built(
        name="shop",
        app="inner/built_shop.py",
        module="built_shop",
        code="abc",
        built_at=1.0,
        versions={},
    )
    for module in (group, loading, places):
        monkeypatch.setattr(module, "BUILT", inside)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.delitem(sys.modules, "built_shop", raising=False)
    return tmp_path


def test_the_program_inside_needs_no_name(built: Path) -> None:
    (built / "built_shop.py").write_text(FLOW)

    for name in ("flow", "built_shop:flow", "inner/built_shop.py:flow"):
        assert find_workflow(name).name == "built_shop.flow"


def test_another_program_is_refused(built: Path) -> None:
    with pytest.raises(UsageError, match=r"contains inner/built_shop\.py"):
        find_workflow("other.py:flow")


def test_a_program_that_breaks_is_told_of(built: Path) -> None:
    (built / "built_shop.py").write_text("1 / 0\n")

    with pytest.raises(BrokenProgram, match="ZeroDivisionError"):
        find_workflow("flow")


def test_commands_for_making_programs_are_left_at_home() -> None:
    left = set(group.COMMANDS) - set(group.commands_here())

    assert left == {"init", "demo", "dev", "bench", "build"}
    assert places.command_line("why", "id") == "shop why id"
