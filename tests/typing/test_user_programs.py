"""Programs of users under both type checkers: right ones pass, wrong ones fail where they should.

A wrong program marks each line that must be refused with `# WRONG`.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
RIGHT = sorted((HERE / "right").glob("*.py"))
WRONG = sorted((HERE / "wrong").glob("*.py"))


def mypy_lines(files: list[Path], tmp_path: Path) -> dict[str, set[int]]:
    """Return the lines that mypy strict refuses, by file name."""
    result = subprocess.run(
        [
            sys.executable,
            "-m",
            "mypy",
            "--strict",
            "--config-file=",
            "--no-error-summary",
            "--cache-dir",
            str(tmp_path / "mypy"),
            *map(str, files),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    found: dict[str, set[int]] = {}
    for line in result.stdout.splitlines():
        match = re.match(r"(.+\.py):(\d+): error:", line)
        if match:
            found.setdefault(Path(match[1]).name, set()).add(int(match[2]))
    return found


def pyright_lines(files: list[Path], tmp_path: Path) -> dict[str, set[int]]:
    """Return the lines that pyright strict refuses, by file name."""
    project = tmp_path / "pyrightconfig.json"
    project.write_text(json.dumps({"typeCheckingMode": "strict", "include": ["*.py"]}))
    for file in files:
        shutil.copy(file, tmp_path / file.name)
    result = subprocess.run(
        [
            sys.executable,
            "-m",
            "pyright",
            "--outputjson",
            "--pythonpath",
            sys.executable,
            "-p",
            str(project),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    found: dict[str, set[int]] = {}
    for diagnostic in json.loads(result.stdout)["generalDiagnostics"]:
        if diagnostic["severity"] == "error":
            line = diagnostic["range"]["start"]["line"] + 1
            found.setdefault(Path(diagnostic["file"]).name, set()).add(line)
    return found


@pytest.mark.parametrize("checker", [mypy_lines, pyright_lines], ids=["mypy", "pyright"])
def test_programs_fail_exactly_where_they_are_wrong(checker: object, tmp_path: Path) -> None:
    assert RIGHT
    assert WRONG
    if not callable(checker):
        raise TypeError("a checker is a function")

    found = checker([*RIGHT, *WRONG], tmp_path)

    expected = {
        file.name: {
            number
            for number, line in enumerate(file.read_text().splitlines(), start=1)
            if "# WRONG" in line
        }
        for file in WRONG
    }
    assert found == expected
