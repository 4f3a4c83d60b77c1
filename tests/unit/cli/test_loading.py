from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from outlast.cli.loading import BrokenProgram, ProgramMissing, find_workflow
from outlast.errors import UnknownWorkflow, UsageError

FLOW = "from outlast import workflow\n\n@workflow\nasync def flow() -> None: ...\n"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_a_file_is_loaded_under_its_stem(here: Path) -> None:
    (here / "sub").mkdir()
    (here / "sub" / "loading_beside.py").write_text("value = 1\n")
    (here / "sub" / "loading_app.py").write_text("import loading_beside\n" + FLOW)

    assert find_workflow("sub/loading_app.py:flow").name == "loading_app.flow"


def test_a_module_is_loaded_from_the_current_directory(here: Path) -> None:
    (here / "loading_shop").mkdir()
    (here / "loading_shop" / "orders.py").write_text(FLOW)

    assert find_workflow("loading_shop.orders:flow").name == "loading_shop.orders.flow"


def test_an_unknown_flow_lists_what_is_there(here: Path) -> None:
    (here / "loading_one.py").write_text(FLOW + "\nother = 1\n")

    with pytest.raises(UnknownWorkflow, match=r"'nothing' does not exist.*its workflows: flow"):
        find_workflow("loading_one.py:nothing")
    with pytest.raises(UnknownWorkflow, match="'other' is not a workflow"):
        find_workflow("loading_one.py:other")


@pytest.mark.parametrize("app", ["missing.py:x", "loading_missing.module:x", "a/b:x"])
def test_a_program_that_is_not_there(app: str) -> None:
    with pytest.raises(ProgramMissing, match="there is no"):
        find_workflow(app)


@pytest.mark.parametrize("app", ["", ":", "app.py", "app.py:", ":flow"])
def test_what_is_not_app_and_flow(app: str) -> None:
    with pytest.raises(UsageError, match="is not of the form APP:FLOW"):
        find_workflow(app)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x = 1\ndef (:\n", r"loading_bad\.py:2: SyntaxError"),
        ("\n\nraise KeyError('k')\n", r"loading_bad\.py:3: KeyError: 'k'"),
        ("import sys\nsys.exit(3)\n", r"loading_bad\.py:2: SystemExit: 3"),
        ("import not_installed_anywhere\n", r"loading_bad\.py:1: ModuleNotFoundError"),
        ("import json\njson.loads('{')\n", r"loading_bad\.py:2: JSONDecodeError"),
        (
            "from outlast import step\n@step(where='loop')\ndef f(): ...\n",
            r"loading_bad\.py:2: RegistrationError",
        ),
    ],
)
@pytest.mark.parametrize("app", ["loading_bad.py", "loading_bad"])
def test_a_broken_program_is_told_with_its_line(
    here: Path, text: str, words: str, app: str
) -> None:
    (here / "loading_bad.py").write_text(text)

    with pytest.raises(BrokenProgram, match=words):
        find_workflow(f"{app}:flow")


@pytest.mark.parametrize(
    ("name", "words"),
    [("json.py", "hide the module"), ("two-words.py", "not a valid Python identifier")],
)
def test_a_file_that_cannot_be_a_module(here: Path, name: str, words: str) -> None:
    (here / name).write_text(FLOW)

    with pytest.raises(UsageError, match=words):
        find_workflow(f"{name}:flow")


ENGINE_JOB = """
import asyncio
from outlast import Engine
async def main() -> None:
    async with Engine.open("memory://x") as engine:
        await engine.run(flow())
asyncio.run(main())
"""


@pytest.mark.parametrize("job", ["import outlast\noutlast.run(flow())\n", ENGINE_JOB])
def test_a_program_that_does_its_work_when_imported_is_refused(here: Path, job: str) -> None:
    (here / "loading_job.py").write_text(FLOW + job)

    with pytest.raises(BrokenProgram, match=r"loading_job\.py runs its main program.*this command"):
        find_workflow("loading_job.py:flow")

    (here / "loading_job.py").write_text(
        FLOW + 'if __name__ == "__main__":\n' + "".join(f"    {x}\n" for x in job.splitlines())
    )
    assert find_workflow("loading_job.py:flow").name == "loading_job.flow"
    assert not (here / "outlast.db").exists()
