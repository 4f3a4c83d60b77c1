"""What is imported when, and what is said where pydantic-ai is missing."""

from __future__ import annotations

import subprocess
import sys

import pytest

MISSING = """
import importlib.util, sys
found = importlib.util.find_spec
hidden = sys.argv[1]
importlib.util.find_spec = lambda name, *rest: None if name == hidden else found(name, *rest)
try:
    import outlast.agents
except Exception as error:
    print(type(error).__name__, error)
"""


def output_of(program: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout


def test_outlast_itself_does_not_import_pydantic() -> None:
    program = (
        "import sys, outlast; outlast.Engine, outlast.workflow; print('pydantic' in sys.modules)"
    )
    assert output_of(program) == "False\n"


@pytest.mark.parametrize(
    ("hidden", "said"),
    [
        ("pydantic_ai", "needs pydantic-ai: pip install 'outlast[agents]'"),
        ("pydantic_ai.external_events", "needs pydantic-ai 2.68 or later"),
    ],
)
def test_a_missing_extra_is_told(hidden: str, said: str) -> None:
    shown = output_of(MISSING, hidden)
    assert shown.startswith("UsageError outlast.agents ")
    assert said in shown
