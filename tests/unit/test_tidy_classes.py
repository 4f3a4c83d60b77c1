"""What a class may have, inherited names included, looked at over all of the product.

A class that cannot keep a rule is named here, with the reason; one that keeps it again is not.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

pytestmark = pytest.mark.once

PACKAGE = Path(__file__).resolve().parents[2] / "src" / "outlast"
METHODS_MAX = 15
DEPTH_MAX = 2
PARAMETERS_MAX = 6

_CONTRACT = "the contract of a store, and what keeps it: every verb of every store"
_VERBS = "the verbs that api.md binds; those that are for a kind of thing are in its facets"
_ASYNCIO = "what asyncio asks of an event loop"
_HOST = "all that a run in memory asks of the engine around it, in one object, as it holds it"

SURFACES = {
    "Store": _CONTRACT,
    "Lookups": _CONTRACT,
    "SqliteReads": _CONTRACT,
    "SqliteStore": _CONTRACT,
    "SharedSqliteStore": _CONTRACT,
    "MemoryStore": _CONTRACT,
    "_KilledAt": _CONTRACT,
    "Engine": _VERBS,
    "Client": _VERBS,
    "Run": _VERBS,
    "RemoteRun": _VERBS,
    "_Wf": _VERBS,
    "Sim": _VERBS,
    "RunLoop": _ASYNCIO,
    "SimLoop": _ASYNCIO,
    "ActorHost": _HOST,
    "Scheduler": _HOST,
    "_Host": _HOST,
    "SupervisorActor": "each method is a message that a supervisor takes",
    "LiveActor": "a run, and what brings an actor its mail",
    "SimWorld": "the door to time, chance and tasks, with what tests turn",
}
DEPTHS = {
    "ModelNode": "what pydantic adds to the fields of a class",
    "PydanticDataclassNode": "what pydantic adds to the fields of a class",
    "OpenDataclassNode": "what pydantic adds to the fields of a class",
}
PARAMETERS = {
    "RunTask": "asyncio.Task's own, and where the task stands",
    "Supervisor": "api.md binds them",
    "Yard": "a whole simulated site: what it has, and how it is to fail",
}


@dataclass(frozen=True, slots=True)
class Class:
    name: str
    bases: tuple[str, ...]
    methods: frozenset[str]
    parameters: int  # of its own `__init__`, without `self`


def base_name(node: ast.expr) -> str:
    if isinstance(node, ast.Subscript):
        return base_name(node.value)
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def class_of(node: ast.ClassDef) -> Class:
    functions = [n for n in node.body if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    parameters = 0
    for function in functions:
        if function.name == "__init__":
            parameters = len(function.args.args) + len(function.args.kwonlyargs) - 1
    methods = frozenset(f.name for f in functions if not f.name.startswith("_"))
    return Class(node.name, tuple(map(base_name, node.bases)), methods, parameters)


@cache
def classes() -> dict[str, Class]:
    """Return the classes of the product by name; no two rooms use one name for bases."""
    found: dict[str, Class] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                found.setdefault(node.name, class_of(node))
    return found


def around(one: Class, known: dict[str, Class]) -> Iterator[Class]:
    """Give the class and all that it inherits from."""
    yield one
    for base in one.bases:
        if base in known and base != one.name:
            yield from around(known[base], known)


def surface(one: Class, known: dict[str, Class]) -> int:
    return len({method for each in around(one, known) for method in each.methods})


def depth(one: Class, known: dict[str, Class]) -> int:
    """Return how many classes of ours are above it; protocols are no ancestors."""
    above = [
        1 + depth(known[base], known)
        for base in one.bases
        if base in known and base != one.name and "Protocol" not in known[base].bases
    ]
    return max(above, default=0)


def parameters(one: Class, _: dict[str, Class]) -> int:
    return one.parameters


def is_error(one: Class, known: dict[str, Class]) -> bool:
    """Errors are told apart by their bases: callers catch a kind of them."""
    names = {base for each in around(one, known) for base in each.bases}
    return bool(names & {"Exception", "BaseException"})


def offenders(measure: Callable[[Class, dict[str, Class]], int], most: int) -> set[str]:
    known = classes()
    return {
        name
        for name, one in known.items()
        if measure(one, known) > most and not is_error(one, known)
    }


@pytest.mark.parametrize(
    ("measure", "most", "excepted"),
    [
        (surface, METHODS_MAX, SURFACES),
        (depth, DEPTH_MAX, DEPTHS),
        (parameters, PARAMETERS_MAX, PARAMETERS),
    ],
    ids=["public methods, inherited included", "depth of inheritance", "constructor parameters"],
)
def test_classes_keep_the_rule(
    measure: Callable[[Class, dict[str, Class]], int], most: int, excepted: dict[str, str]
) -> None:
    assert offenders(measure, most) == set(excepted)


def test_what_is_inherited_counts() -> None:
    known = {
        "Low": Class("Low", ("Mid",), frozenset({"a"}), 0),
        "Mid": Class("Mid", ("Top",), frozenset({"b"}), 0),
        "Top": Class("Top", ("Protocol",), frozenset({"c"}), 0),
    }

    assert surface(known["Low"], known) == 3
    assert depth(known["Low"], known) == 1
