"""The demo's job: read every module of Python's standard library, one durable run per module.

`survey` is the parent: it starts a `study` for each module and adds up what they report. A study
has five steps, each in the place that suits it: a thread, a process, the event loop. What a step
returned is recorded, so the process that runs all this may die at any moment: the next one goes on
behind the last record. Nothing in this file is about crashes.
"""

from __future__ import annotations

import ast
import asyncio
import json
import random
import sysconfig
import tokenize
from dataclasses import asdict, dataclass
from pathlib import Path

from outlast import Err, Ok, Retry, Run, Signal, step, this_step, wf, workflow
from outlast.demo.effects import note_execution

SURVEY = "survey"  # the parent's run id; a study's is the name of its module
PUBLISH_FAILS = 0.15


@dataclass(frozen=True, slots=True)
class Module:
    """A file of the standard library."""

    name: str
    path: Path


@dataclass(frozen=True, slots=True)
class Parsed:
    """What a module defines."""

    functions: int
    classes: int
    imports: int


@dataclass(frozen=True, slots=True)
class Size:
    """How much text it is."""

    lines: int
    characters: int


@dataclass(frozen=True, slots=True)
class Report:
    """All that is found of one module."""

    module: str
    size: Size
    parsed: Parsed


@dataclass(slots=True)
class Totals:
    """The sums over all modules."""

    modules: int = 0
    lines: int = 0
    functions: int = 0
    classes: int = 0

    def add(self, report: Report) -> None:
        """Count one more module."""
        self.modules += 1
        self.lines += report.size.lines
        self.functions += report.parsed.functions
        self.classes += report.parsed.classes


class Unreachable(Exception):
    """The catalogue did not answer."""


reports: Signal[Report] = Signal("reports", Report)


# ---------------------------------------------------------------------------------- workflows
@workflow
async def survey(catalogue: Path, limit: int | None) -> Totals:
    """Study all modules at once, and add up what is found."""
    modules = await find_modules(limit)
    async with asyncio.TaskGroup() as group:
        adding = group.create_task(add_up(len(modules)))
        for module in modules:
            child = wf.start(study(module, catalogue), id=module.name)
            group.create_task(child.result())  # a study that fails ends the survey
    return adding.result()


async def add_up(count: int) -> Totals:
    """Part of the survey: take the studies' reports as they come."""
    totals = Totals()
    for _ in range(count):
        totals.add(await reports.receive())
    return totals


@workflow
async def study(module: Module, catalogue: Path) -> Report:
    """Read one module, and report what is in it."""
    text = await read(module.path)
    parsed = await parse_if_possible(text)
    report = Report(module.name, await measure(text), parsed)
    await publish(report, catalogue)
    parent: Run[object] = wf.get(SURVEY)
    await parent.signal(reports, report)
    return report


async def parse_if_possible(text: str) -> Parsed:
    """Part of a study: some files are templates, not modules."""
    match await parse(text).catch(SyntaxError):
        case Ok(parsed):
            return parsed
        case Err():
            return Parsed(0, 0, 0)


# -------------------------------------------------------------------------------------- steps
@step
def find_modules(limit: int | None) -> list[Module]:
    """List what there is to read."""
    note_execution()
    return standard_library(limit)


@step  # a plain function: it runs on a thread, since files block
def read(path: Path) -> str:
    """Return the text of a file, in whatever encoding it says it has."""
    note_execution()
    with tokenize.open(path) as file:
        return file.read()


@step(where="process")  # burns CPU: it runs beside the engine, not in its way
def parse(text: str) -> Parsed:
    """Count what the module defines."""
    note_execution()
    nodes = list(ast.walk(ast.parse(text)))
    return Parsed(
        functions=sum(isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef) for n in nodes),
        classes=sum(isinstance(n, ast.ClassDef) for n in nodes),
        imports=sum(isinstance(n, ast.Import | ast.ImportFrom) for n in nodes),
    )


@step  # a coroutine: it runs on the event loop
async def measure(text: str) -> Size:
    """Count lines and characters."""
    note_execution()
    return Size(lines=text.count("\n"), characters=len(text))


@step(retry=Retry(attempts=20, first="50ms", cap="1s"))
def publish(report: Report, catalogue: Path) -> None:
    """Put a report into the catalogue, which is out of reach now and then.

    Executing it twice does no harm: the second time writes the same file again.
    """
    note_execution()
    luck = random.Random(f"{report.module} {this_step().attempt}")
    if luck.random() < PUBLISH_FAILS:
        raise Unreachable(f"the catalogue did not take {report.module}")
    text = json.dumps(asdict(report))
    (catalogue / f"{report.module}.json").write_text(text, encoding="utf-8")


def standard_library(limit: int | None) -> list[Module]:
    """Return the running Python's own source files; the tests of its packages are left out."""
    root = Path(sysconfig.get_paths()["stdlib"])
    strangers = {"site-packages", "dist-packages", "test", "tests", "idle_test", "__pycache__"}
    paths = [p.relative_to(root) for p in sorted(root.rglob("*.py"))]
    inside = [p for p in paths if strangers.isdisjoint(p.parts[:-1])]
    modules = [Module(".".join(p.with_suffix("").parts), root / p) for p in inside]
    return modules[:limit]
