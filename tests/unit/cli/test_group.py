from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from outlast import errors
from outlast.cli import main
from outlast.cli.group import COMMANDS, exit_code_of, run_command


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.RunFailed("r", "ValueError", "x"), 1),
        (errors.RunParked("r", "x"), 1),
        (errors.RunClosed("r", "completed"), 1),
        (errors.IdempotencyMismatch("r", "x"), 1),
        (errors.UsageError("x"), 2),
        (errors.NotSupported("x"), 2),
        (errors.QueryError("x"), 2),
        (errors.DecodingError("$", "x"), 2),
        (errors.RunNotFound("r"), 3),
        (errors.UnknownWorkflow("x"), 3),
        (errors.StoreMissing("x"), 4),
        (errors.StoreLocked("x", 1), 4),
        (errors.EngineClosed("x"), 4),
        (errors.WaitTimeout("x"), 5),
    ],
)
def test_exit_codes(error: errors.OutlastError, code: int) -> None:
    assert exit_code_of(error) == code


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_its_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    code = run_command(main, [name, "--help"])
    printed = capsys.readouterr()

    # These two come with their own packages, which may not be there.
    is_away = name in ("demo", "bench") and "not supported" in printed.err
    assert is_away or (code == 0 and f"Usage: outlast {name}" in printed.out)


def test_the_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(main, ["--help"]) == 0

    out = capsys.readouterr().out
    assert [name for name in COMMANDS if f"\n  {name} " not in out] == []


@pytest.mark.parametrize("args", [["nothing"], ["--nothing"], ["ls", "--nothing"], ["show"]])
def test_usage_errors_exit_with_2(args: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(main, args) == 2
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_closed_stream_costs_only_what_would_have_gone_there(tmp_path: Path, closed: str) -> None:
    (tmp_path / "app.py").write_text(
        "from outlast import step, workflow\n"
        "@step\n"
        "async def noted() -> int:\n"
        "    open('noted', 'a').write('x')\n"
        "    return 1\n"
        "@workflow\n"
        "async def flow() -> int:\n"
        "    return await noted()\n"
    )
    command = f"exec {sys.executable} -m outlast run app.py:flow {closed}"
    done = subprocess.run(["sh", "-c", command], cwd=tmp_path, capture_output=True, check=False)

    assert done.returncode == 0, done.stderr
    assert (tmp_path / "noted").read_text() == "x"
    assert done.stdout == (b"1\n" if closed in ("<&-", "2>&-") else b"")


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a program and a database that has a run of it, named r."""
    place = tmp_path_factory.mktemp("recorded")
    (place / "app.py").write_text(
        "from outlast import workflow\n@workflow\nasync def flow() -> int:\n    return 1\n"
    )
    first = [sys.executable, "-m", "outlast", "run", "app.py:flow", "--id", "r"]
    subprocess.run(first, cwd=place, capture_output=True, check=True)
    return place


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(
    "command", ["ls --json", "ls", "version", "--help", "ls --help", "run app.py:flow", "show r"]
)
def test_output_that_cannot_be_written_is_one_line_and_no_success(
    recorded: Path, command: str, unbuffered: str
) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "outlast", *command.split()],
            cwd=recorded,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
        )

    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "error: cannot write the output: No space left on device"
    )
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "command", ["diff a\udcff b", "ls id:a\udcff", "approve a\udcff", "show x --url http://\udcff"]
)
def test_bytes_that_are_not_utf_8_are_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], command: str
) -> None:
    monkeypatch.chdir(tmp_path)
    program = f"program_{tmp_path.name}.py"  # a module of this name is imported once
    (tmp_path / program).write_text(
        "from outlast import workflow\n@workflow\nasync def flow() -> int:\n    return 1\n"
    )
    assert run_command(main, ["run", f"{program}:flow"]) == 0
    capfd.readouterr()

    assert run_command(main, command.split()) == 2

    assert capfd.readouterr().err.startswith("error: ")
