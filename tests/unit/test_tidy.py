"""The rules of the house that a program can check, on every Python file of ours.

A rule is a function from one parsed file to its faults. No file is excepted from a rule: where
a rule stands in the way of better code, the rule changes, for all of it.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

pytestmark = pytest.mark.once

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("src", "tests", "benchmarks", "examples")

FUNCTION_LINES_MAX = 70
MODULE_LINES_MAX = 500
CLASS_LINES_MAX = 300
PUBLIC_METHODS_MAX = 15
PACKAGE_MODULES_MAX = 15
LINE_COLUMNS_MAX = 100
REASON_CHARS_MIN = 8

# A module is named for what it holds; these hold anything.
DRAWERS = {"utils", "util", "helpers", "common", "base", "core", "manager", "managers", "misc"}

# Below the engine, time, chance, ids and tasks come from the `World` that is passed in.
BEHIND_THE_DOOR = ("_engine", "_execution", "_journal", "_store")
CHANCE = {
    "asyncio.sleep",
    "datetime.date.today",
    "datetime.datetime.now",
    "datetime.datetime.today",
    "datetime.datetime.utcnow",
    "os.getrandom",
    "os.urandom",
}
CHANCE_MODULES = {"time", "random", "uuid", "secrets"}
# Types to annotate with; neither reads the clock nor throws dice. A `Random` may be annotated
# but not made: whoever makes one chooses the seed.
HARMLESS = {"random.Random", "uuid.UUID"}
SEEDED = {"random.Random"}

UNTRUSTED = {"pickle", "marshal", "shelve", "dill", "cloudpickle"}

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class Source:
    path: Path
    text: str
    tree: ast.Module
    nodes: list[ast.AST]  # all of the tree, which is walked once for all rules

    @classmethod
    def of(cls, path: str, text: str) -> Source:
        tree = ast.parse(text)
        return cls(Path(path), text, tree, list(ast.walk(tree)))

    @property
    def is_product(self) -> bool:
        return self.path.parts[0] == "src"

    @property
    def is_behind_the_door(self) -> bool:
        return self.is_product and any(
            part.removesuffix(".py") in BEHIND_THE_DOOR for part in self.path.parts[2:3]
        )

    def at(self, node: ast.AST, fault: str) -> str:
        return f"{self.path}:{getattr(node, 'lineno', 1)}: {fault}"


Rule = Callable[[Source], Iterator[str]]


def sizes(source: Source) -> Iterator[str]:
    lines = source.text.splitlines()
    if len(lines) > MODULE_LINES_MAX:
        yield f"{source.path}: {len(lines)} lines; a module has at most {MODULE_LINES_MAX}"
    for number, line in enumerate(lines, start=1):
        if len(line) > LINE_COLUMNS_MAX:
            yield f"{source.path}:{number}: {len(line)} columns; at most {LINE_COLUMNS_MAX}"
    for node in source.nodes:
        if isinstance(node, Function) and length(node) > FUNCTION_LINES_MAX:
            yield source.at(
                node, f"{node.name} has {length(node)} lines; at most {FUNCTION_LINES_MAX}"
            )
        if isinstance(node, ast.ClassDef) and length(node) > CLASS_LINES_MAX:
            yield source.at(
                node, f"{node.name} has {length(node)} lines; at most {CLASS_LINES_MAX}"
            )


def public_methods(source: Source) -> Iterator[str]:
    for node in source.nodes:
        if isinstance(node, ast.ClassDef):
            # A set: overloads and a property's setter are one name each. An override is
            # counted where it was declared: an event loop has the methods of an event loop.
            names = {
                item.name
                for item in node.body
                if isinstance(item, Function)
                and not any("override" in names_in(mark) for mark in item.decorator_list)
            }
            count = sum(not name.startswith("_") for name in names)
            if count > PUBLIC_METHODS_MAX:
                fault = f"{node.name} has {count} public methods; at most {PUBLIC_METHODS_MAX}"
                yield source.at(node, fault)


def module_names(source: Source) -> Iterator[str]:
    for part in source.path.parts:
        if part.removesuffix(".py").strip("_") in DRAWERS:
            yield f"{source.path}: {part} is a drawer; name a module for what it holds"


def imports_in_functions(source: Source) -> Iterator[str]:
    for function in source.nodes:
        if isinstance(function, Function):
            for node in imports_of_ours(function):
                yield source.at(node, f"{function.name} imports our own module")


def type_checking_imports(source: Source) -> Iterator[str]:
    for node in source.nodes:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in names_in(node.test):
            for found in imports_of_ours(node):
                yield source.at(found, "a TYPE_CHECKING block hides an import of our own")


def the_one_door(source: Source) -> Iterator[str]:
    if not source.is_behind_the_door:
        return
    called = {id(node.func) for node in source.nodes if isinstance(node, ast.Call)}
    for node, path in used_paths(source.tree):
        is_chance = path in CHANCE or path.split(".")[0] in CHANCE_MODULES
        is_harmless = path in HARMLESS and not (path in SEEDED and id(node) in called)
        if is_chance and not is_harmless:
            yield source.at(node, f"{path}: ask the World that is passed in (_world.py)")


def tasks_with_an_owner(source: Source) -> Iterator[str]:
    if not source.is_behind_the_door:
        return
    for node, path in used_paths(source.tree):
        owner, _, verb = path.rpartition(".")
        is_loop = owner == "asyncio" or owner.split(".")[-1].endswith("loop")
        if verb == "ensure_future" or (verb == "create_task" and is_loop):
            yield source.at(node, f"{path}: a task is started by World.spawn, which keeps it")


def no_asserts(source: Source) -> Iterator[str]:
    if source.is_product:
        for node in source.nodes:
            if isinstance(node, ast.Assert):
                yield source.at(node, "assert vanishes under -O; write `if ...: raise`")


def nothing_that_runs_data(source: Source) -> Iterator[str]:
    if not source.is_product:
        return
    for node in source.nodes:
        if isinstance(node, ast.Import | ast.ImportFrom):
            for name in imported_modules(node):
                if name.split(".")[0] in UNTRUSTED:
                    yield source.at(node, f"{name}: data must not choose what runs")
        if isinstance(node, ast.Call) and resolved(node.func, {}) in {"eval", "exec"}:
            yield source.at(node, "eval and exec: data must not choose what runs")
    for node, path in used_paths(source.tree):
        if path == "yaml.load":
            yield source.at(node, "yaml.load: data must not choose what runs")


def nothing_left_for_later(source: Source) -> Iterator[str]:
    # Written with classes, since this file is checked too.
    marks = re.compile(r"\b(FIX[M]E|TO[D]O|XX[X])\b")
    for number, line in enumerate(source.text.splitlines(), start=1):
        if marks.search(line):
            yield f"{source.path}:{number}: do it now, or open an issue: {line.strip()}"


def ignores_with_reasons(source: Source) -> Iterator[str]:
    said = re.compile(r"#\s*(type|pyright):\s*ignore\[[\w, -]+\]\s*#\s*(?P<reason>.+)")
    if not re.search(r"(type|pyright):\s*ignore", source.text):
        return
    for token in tokenize.generate_tokens(io.StringIO(source.text).readline):
        if token.type != tokenize.COMMENT:
            continue
        if re.search(r"#\s*(type|pyright):\s*ignore", token.string):
            match = said.search(token.string)
            if match is None or len(match["reason"]) < REASON_CHARS_MIN:
                wanted = "# type: ignore[code]  # the reason"
                yield f"{source.path}:{token.start[0]}: write it as `{wanted}`"


RULES: tuple[Rule, ...] = (
    sizes,
    public_methods,
    module_names,
    imports_in_functions,
    type_checking_imports,
    the_one_door,
    tasks_with_an_owner,
    no_asserts,
    nothing_that_runs_data,
    nothing_left_for_later,
    ignores_with_reasons,
)


@pytest.fixture(scope="module")
def sources() -> list[Source]:
    paths = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]
    return [
        Source.of(str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")) for path in paths
    ]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_every_file_of_ours_keeps_the_rule(rule: Rule, sources: list[Source]) -> None:
    faults = [fault for source in sources for fault in rule(source)]

    assert not faults, "\n" + "\n".join(faults)


def test_a_room_has_few_modules(sources: list[Source]) -> None:
    modules = [s.path for s in sources if s.is_product and s.path.name != "__init__.py"]
    counts = Counter(path.parent for path in modules)

    full = {f"{room}": count for room, count in counts.items() if count > PACKAGE_MODULES_MAX}
    assert full == {}


ENGINE = "src/outlast/_engine/queues.py"


@pytest.mark.parametrize(
    ("rule", "path", "text"),
    [
        (sizes, "src/outlast/call.py", "\n" * 501),
        (sizes, "tests/test_call.py", f"x = '{'y' * 100}'"),
        (sizes, "benchmarks/bench_call.py", "def f():\n" + "    x = 1\n" * 70),
        (sizes, "src/outlast/call.py", "class C:\n" + "    x = 1\n" * 300),
        (
            public_methods,
            "src/outlast/call.py",
            "class C:\n" + "".join(f"    def m{n}(self): ...\n" for n in range(16)),
        ),
        (module_names, "src/outlast/_utils.py", ""),
        (module_names, "src/outlast/common/names.py", ""),
        (imports_in_functions, ENGINE, "def f():\n    from outlast import call"),
        (imports_in_functions, ENGINE, "async def f():\n    import outlast.call"),
        (imports_in_functions, ENGINE, "def f():\n    from . import leases"),
        (
            type_checking_imports,
            ENGINE,
            "if TYPE_CHECKING:\n    from outlast.call import Call",
        ),
        (
            type_checking_imports,
            ENGINE,
            "if typing.TYPE_CHECKING:\n    import outlast.call",
        ),
        (the_one_door, ENGINE, "import time\nnow = time.time()"),
        (the_one_door, ENGINE, "import time as t\nclock = t.monotonic"),
        (the_one_door, ENGINE, "from time import monotonic"),
        (the_one_door, ENGINE, "from random import Random\nr = Random(1)"),
        (the_one_door, ENGINE, "import random\nr = random.random()"),
        (the_one_door, ENGINE, "from uuid import uuid4"),
        (the_one_door, ENGINE, "import secrets\nsecrets.token_hex()"),
        (the_one_door, ENGINE, "import os\nos.urandom(8)"),
        (the_one_door, ENGINE, "from datetime import datetime\ndatetime.now()"),
        (the_one_door, ENGINE, "import datetime as d\nd.datetime.utcnow()"),
        (the_one_door, ENGINE, "import asyncio\nasync def f(): await asyncio.sleep(1)"),
        (tasks_with_an_owner, ENGINE, "import asyncio\nasyncio.create_task(f())"),
        (tasks_with_an_owner, ENGINE, "from asyncio import ensure_future"),
        (tasks_with_an_owner, ENGINE, "self._loop.create_task(f())"),
        (tasks_with_an_owner, ENGINE, "asyncio.get_running_loop().create_task(f())"),
        (no_asserts, ENGINE, "assert True"),
        (nothing_that_runs_data, ENGINE, "import pickle"),
        (nothing_that_runs_data, ENGINE, "from marshal import loads"),
        (nothing_that_runs_data, ENGINE, "eval('1')"),
        (nothing_that_runs_data, ENGINE, "exec('1')"),
        (nothing_that_runs_data, ENGINE, "import yaml\nyaml.load('1')"),
        (nothing_left_for_later, ENGINE, "# FIX" + "ME: later"),
        (ignores_with_reasons, ENGINE, "x = 1  # type: ignore"),
        (ignores_with_reasons, ENGINE, "x = 1  # type: ignore[misc]"),
        (ignores_with_reasons, ENGINE, "x = 1  # pyright: ignore  # the stubs are wrong"),
    ],
)
def test_a_fault_is_found(rule: Rule, path: str, text: str) -> None:
    assert list(rule(Source.of(path, text)))


@pytest.mark.parametrize(
    "text",
    [
        "from random import Random\ndef f(rng: Random) -> float: return rng.random()",
        "from uuid import UUID\nx = UUID(bytes=b'')",
        "from datetime import datetime, UTC\nx = datetime.fromtimestamp(0, UTC)",
        "def f(world): return world.now(), world.monotonic(), world.spawn(g())",
        "async def f(tg, world):\n    tg.create_task(g())\n    await world.sleep(1)",
        # The guard of workflow code replaces these by name, and calls none of them.
        "import time\nGUARDED = [(time, 'sleep')]",
        "def f():\n    import apsw",
        "x = 1  # type: ignore[misc]  # the stubs know no slots",
    ],
)
def test_what_is_allowed_is_not_a_fault(text: str) -> None:
    source = Source.of(ENGINE, text)

    assert [fault for rule in RULES for fault in rule(source)] == []


def length(node: Function | ast.ClassDef) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def names_in(node: ast.AST) -> set[str]:
    return {
        child.id if isinstance(child, ast.Name) else child.attr
        for child in ast.walk(node)
        if isinstance(child, ast.Name | ast.Attribute)
    }


def imported_modules(node: ast.Import | ast.ImportFrom) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return ["." * node.level + (node.module or "")]


def imports_of_ours(tree: ast.AST) -> Iterator[ast.stmt]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom) and any(
            re.match(r"\.|outlast(\.|$)", name) for name in imported_modules(node)
        ):
            yield node


def used_paths(tree: ast.Module) -> Iterator[tuple[ast.AST, str]]:
    """Every name that is read or imported from a module, as `module.name`, aliases resolved."""
    aliases: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                local = alias.asname or alias.name.split(".")[0]
                aliases[local] = alias.name if alias.asname else local
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                aliases[alias.asname or alias.name] = f"{node.module}.{alias.name}"
                yield node, f"{node.module}.{alias.name}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
            yield node, resolved(node, aliases)
        # A bare module is no use of what is in it; an imported function is.
        if isinstance(node, ast.Name) and "." in aliases.get(node.id, ""):
            yield node, aliases[node.id]


def resolved(node: ast.expr, aliases: dict[str, str]) -> str:
    if isinstance(node, ast.Name):
        return aliases.get(node.id, node.id)
    if isinstance(node, ast.Attribute):
        return f"{resolved(node.value, aliases)}.{node.attr}"
    if isinstance(node, ast.Call):
        return resolved(node.func, aliases)
    return "?"
