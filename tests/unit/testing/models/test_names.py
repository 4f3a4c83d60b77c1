"""What `outlast.testing` imports when, and what it says where pydantic-ai is missing."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import outlast.testing
import outlast.testing.models

STUB = Path(outlast.testing.__file__).with_name("__init__.pyi")

MISSING = """
import importlib.util
found = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == "pydantic_ai" else found(name, *rest)
from outlast.testing import Sim
import outlast.testing
try:
    outlast.testing.ScriptedModel
except Exception as error:
    print(type(error).__name__, error)
"""


def output_of(program: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout


def test_testing_workflows_does_not_import_pydantic() -> None:
    program = "import sys; from outlast.testing import *; Sim; print('pydantic' in sys.modules)"

    assert output_of(program) == "False\n"


def test_a_missing_extra_is_told_when_a_model_is_asked_for() -> None:
    said = (
        "UsageError the models of outlast.testing need pydantic-ai: pip install 'outlast[agents]'\n"
    )

    assert output_of(MISSING) == said


def test_type_checkers_see_the_names_that_are_there() -> None:
    tree = ast.parse(STUB.read_text(encoding="utf-8"))
    listed = next(node.value for node in tree.body if isinstance(node, ast.Assign))
    names: list[str] = ast.literal_eval(listed)

    assert sorted(names) == sorted(
        {*outlast.testing.models.__all__, *vars(outlast.testing)["__all__"]}
    )
    assert all(getattr(outlast.testing, name) is not None for name in names)
    assert set(names) <= set(dir(outlast.testing))


def test_a_name_that_is_not_there_is_said() -> None:
    with pytest.raises(AttributeError, match=r"'outlast.testing' has no attribute 'nothing'"):
        outlast.testing.nothing  # type: ignore[attr-defined]  # noqa: B018  # that is the test
