"""The public names and their signatures are what `public_api.txt` says: a change there is seen.

After a change that is meant: `python -m tests.unit.test_public_api` writes the file anew.
"""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import pytest

import outlast

PINNED = Path(__file__).with_name("public_api.txt")
STUB = Path(outlast.__file__).with_name("__init__.pyi")


def lines_of_all() -> list[str]:
    return [line for name in sorted(outlast.__all__) for line in _lines(name)]


def _lines(name: str) -> list[str]:
    value: object = getattr(outlast, name)
    if not inspect.isclass(value):
        return [f"{name}{_signature(value)}"]
    found = [f"{name}{_signature(value)}"]
    for member, _ in inspect.getmembers(value):
        own = next((vars(cls)[member] for cls in value.__mro__ if member in vars(cls)), None)
        home = next((cls for cls in value.__mro__ if member in vars(cls)), object)
        if not member.startswith("_") and home.__module__.startswith("outlast"):
            found.append(f"{name}.{member}{_signature(own)}")
    return found


def _signature(value: object) -> str:
    function = getattr(value, "__func__", value)
    if not callable(function):
        return ""
    try:
        return str(inspect.signature(function))
    except (TypeError, ValueError):
        return "(...)"


def test_every_name_and_signature_is_pinned() -> None:
    assert lines_of_all() == PINNED.read_text(encoding="utf-8").splitlines()


def test_type_checkers_see_the_same_names_at_the_same_homes() -> None:
    tree = ast.parse(STUB.read_text(encoding="utf-8"))
    homes = {
        alias.name: node.module
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and node.module != "__future__"
        for alias in node.names
    }
    listed = next(node.value for node in tree.body if isinstance(node, ast.Assign))

    assert set(ast.literal_eval(listed)) == set(outlast.__all__) == {*homes, "__version__"}
    for name, home in homes.items():
        known = outlast._HOMES[name]  # type: ignore[attr-defined]  # not in the stub
        assert known == f"{home}".removeprefix("outlast.")


def test_a_name_that_is_not_there_is_said() -> None:
    with pytest.raises(AttributeError, match=r"module 'outlast' has no attribute 'nothing'"):
        outlast.nothing  # type: ignore[attr-defined]  # noqa: B018  # that is the test


if __name__ == "__main__":
    PINNED.write_text("\n".join(lines_of_all()) + "\n", encoding="utf-8")
