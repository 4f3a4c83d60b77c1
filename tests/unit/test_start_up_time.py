"""Starting is quick because little is imported; `benchmarks/bench_import.py` has the times."""

from __future__ import annotations

import subprocess
import sys

import pytest

# Each takes milliseconds to import and is needed by few programs, or by none at their start.
# `importlib.metadata` is where email and zipfile usually come from.
HEAVY = {
    "asyncio.subprocess",
    "concurrent.futures.process",
    "email",
    "http",
    "importlib.metadata",
    "multiprocessing",
    "pydantic",
    "pytest",
    "ssl",
    "unittest",
    "urllib.request",
    "uvloop",
    "xml",
}


@pytest.fixture(scope="module")
def asyncio_modules() -> set[str]:
    # asyncio itself imports some of the heavy ones, and there is no outlast without asyncio.
    return modules_after("import asyncio")


def test_importing_outlast_imports_nothing_else() -> None:
    loaded = modules_after("import outlast")

    assert {name for name in loaded if name.startswith("outlast.")} == set()
    assert "asyncio" not in loaded


def test_asking_for_help_imports_no_engine() -> None:
    loaded = modules_after("import outlast.cli.group")

    assert [n for n in loaded if n.startswith(("outlast._engine", "outlast._codec"))] == []


def test_importing_every_name_imports_nothing_heavy(asyncio_modules: set[str]) -> None:
    loaded = modules_after("from outlast import *") - asyncio_modules

    assert loaded & (HEAVY | {"click"}) == set()


def test_asking_for_help_imports_nothing_heavy(asyncio_modules: set[str]) -> None:
    loaded = modules_after(
        "import sys; sys.argv = ['outlast', '--help']\n"
        "from outlast.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass"
    )

    # click is what prints the help, and `inspect` and others come with it.
    assert (loaded - asyncio_modules - modules_after("import click")) & HEAVY == set()
    assert "click" in loaded


def modules_after(program: str) -> set[str]:
    """The modules that a fresh interpreter has loaded when it ran `program`."""
    report = "\nimport sys\nfor name in sorted(sys.modules): print('module:' + name)"
    done = subprocess.run(
        [sys.executable, "-c", program + report], capture_output=True, text=True, check=True
    )
    lines = done.stdout.splitlines()
    return {line.removeprefix("module:") for line in lines if line.startswith("module:")}
