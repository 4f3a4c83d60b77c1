from __future__ import annotations

import os
from pathlib import Path

import click
import pytest

from outlast.cli.ownership import holder_of
from outlast.cli.places import existing_target, project_root, target_of
from outlast.errors import StoreMissing, UsageError


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = tmp_path / "project" / "inner"
    directory.mkdir(parents=True)
    monkeypatch.chdir(directory)
    monkeypatch.delenv("OUTLAST_DB", raising=False)
    return directory


@pytest.mark.parametrize("mark", ["pyproject.toml", ".outlast"])
def test_the_project_is_the_nearest_directory_that_has_a_mark(here: Path, mark: str) -> None:
    path = here.parent / mark
    path.touch() if mark.endswith("toml") else path.mkdir()

    assert project_root() == here.parent
    assert target_of(None, None).name == str(here.parent / ".outlast" / "outlast.db")


def test_without_a_project_it_is_the_current_directory(here: Path) -> None:
    assert target_of(None, None).name == str(here / ".outlast" / "outlast.db")


def test_an_option_comes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUTLAST_DB", "/from/environment.db")

    assert target_of(None, None).name == "/from/environment.db"
    assert target_of("sqlite:////from/option.db", None).name == "/from/option.db"


def test_what_is_no_database_is_refused() -> None:
    with pytest.raises(UsageError):
        target_of(None, "http://localhost:8787")
    with pytest.raises(UsageError, match="its own process"):
        target_of("memory://x", None)
    with pytest.raises(StoreMissing, match="--db or OUTLAST_DB"):
        existing_target("nowhere.db", None)


@pytest.mark.parametrize(
    ("text", "holder"),
    [
        (f"{os.getppid()}\n", os.getppid()),
        (f"{os.getpid()}\n", None),  # of a killed owner that had the number of this process
        ("", None),
        ("99999999\n", None),
        ("nonsense", None),
    ],
)
def test_the_holder_of_a_database_is_read_from_its_lock(
    here: Path, text: str, holder: int | None
) -> None:
    (here / "x.db.lock").write_text(text)

    assert holder_of(here / "x.db") == holder
    assert holder_of(here / "other.db") is None


@pytest.mark.parametrize("mark", ["pyproject.toml", ".outlast"])
def test_the_database_of_a_folder_above_is_said_once(
    here: Path, capsys: pytest.CaptureFixture[str], mark: str
) -> None:
    path = here.parent / mark
    path.touch() if mark.endswith("toml") else path.mkdir()

    with click.Context(click.Command("ls")):
        target_of(None, None)
        target_of(None, None)

    said = capsys.readouterr().err
    assert said.count(str(here.parent / ".outlast" / "outlast.db")) == 1
    assert f"because that has {mark}" in said


def test_a_database_that_was_asked_for_is_not_commented(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with click.Context(click.Command("ls")):
        target_of(None, None)
        (here.parent / ".outlast").mkdir()
        target_of("some.db", None)

    assert capsys.readouterr().err == ""
