from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from outlast.building.startup import MARK, hold, leftovers, prepare, restore_library_path

HOLDER = """
import sys
from pathlib import Path
from outlast.building.startup import hold
hold(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def test_what_is_in_use_is_not_left_over(tmp_path: Path) -> None:
    for name in ("_MEIused", "_MEIdead", "_MEIunmarked", "other"):
        (tmp_path / name).mkdir()
    (tmp_path / "_MEIdead" / MARK).touch()
    (tmp_path / "other" / MARK).touch()

    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path / "_MEIused")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdin is not None
        assert holder.stdout.readline() == b"held\n"
        assert leftovers(tmp_path) == [tmp_path / "_MEIdead"]
        holder.stdin.close()

    assert leftovers(tmp_path) == [tmp_path / "_MEIdead", tmp_path / "_MEIused"]


def test_somebody_elses_mark_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / MARK).touch()
    (tmp_path / "_MEIlink").mkdir()
    (tmp_path / "_MEIlink" / MARK).symlink_to(tmp_path / "theirs" / MARK)

    assert leftovers(tmp_path) == []


def test_a_directory_build_unpacks_nothing_and_holds_nothing(tmp_path: Path) -> None:
    home = tmp_path / "_internal"
    home.mkdir()

    prepare(home, tmp_path / "shop")

    assert list(home.iterdir()) == []


def test_a_directory_is_held_once(tmp_path: Path) -> None:
    hold(tmp_path)

    with pytest.raises(BlockingIOError):
        hold(tmp_path)
    assert list(tmp_path.iterdir()) == [tmp_path / MARK]


def test_programs_of_steps_find_the_systems_libraries() -> None:
    had = {"LD_LIBRARY_PATH": "/tmp/_MEI1", "LD_LIBRARY_PATH_ORIG": "/opt/lib"}
    restore_library_path(had)
    assert had == {"LD_LIBRARY_PATH": "/opt/lib"}

    had_none = {"LD_LIBRARY_PATH": "/tmp/_MEI1"}
    restore_library_path(had_none)
    assert had_none == {}
