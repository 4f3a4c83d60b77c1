"""The indexer crew: whatever is stopped or killed, its index is that of an undisturbed run."""

from __future__ import annotations

import ast
import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import sysconfig
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest

from outlast import Engine, OutlastError
from outlast.client import Client
from tests.e2e.commands import SOURCE, Done, end, until

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "01_indexer_crew.py"
LIMIT = 40
READER = "indexer.Reader/stdlib"
MEMBERS = [  # one of each kind
    "indexer.Keeper/03",
    "indexer.Tokenizer/1",
    "outlast.Supervisor/indexer/tokenizers",
    READER,
    "indexer.Desk/desk",
    "outlast.Supervisor/indexer/keepers",
]
Index = dict[str, dict[str, int]]


@dataclass
class Shelf:
    postings: Index
    words: int


@dataclass
class Totals:
    documents: int
    words: int


@dataclass
class Desktop:
    handed_out: int = 0
    busy: dict[str, int] = field(default_factory=dict[str, int])


@dataclass
class Found:
    """What a database holds."""

    index: Index
    words: int
    totals: Totals


@pytest.fixture(scope="module")
def reference() -> Found:
    """The index as it must be: of the same files, by other code."""
    index: Index = {}
    totals = Totals(0, 0)
    for name, text in documentation(LIMIT):
        totals.documents += 1
        for word in re.findall(r"[a-z][a-z0-9_][a-z0-9_]+", text.lower()):
            documents = index.setdefault(word, {})
            documents[name] = documents.get(name, 0) + 1
            totals.words += 1
    return Found(index, totals.words, totals)


def documentation(limit: int) -> Iterator[tuple[str, str]]:
    root = Path(sysconfig.get_path("stdlib"))
    paths = [p.relative_to(root) for p in root.rglob("*.py")]
    for path in sorted(p.as_posix() for p in paths if "site-packages" not in p.parts)[:limit]:
        module = path[: -len(".py")].replace("/", ".").removesuffix(".__init__")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield from strings_in(ast.parse((root / path).read_bytes()), module, f"{module}:")


def strings_in(
    node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef, name: str, prefix: str
) -> Iterator[tuple[str, str]]:
    text = ast.get_docstring(node)
    if text:
        yield name, text
    for inner in node.body:
        if isinstance(inner, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            inner_name = prefix + inner.name
            yield from strings_in(inner, inner_name, f"{inner_name}.")


class Crew:
    """The example, in processes of its own."""

    def __init__(self, directory: Path) -> None:
        self.db = directory / "indexer.db"
        self.started: list[subprocess.Popen[str]] = []

    def __call__(self, *args: str) -> Done:
        process = self.start(*args)
        out, err = process.communicate(timeout=180)
        assert "Traceback" not in err, err
        return Done(process.returncode, out, err)

    def start(self, *args: str) -> subprocess.Popen[str]:
        return self.start_program(str(EXAMPLE), *args, "--db", str(self.db))

    def outlast(self, *args: str) -> None:
        process = self.start_program("-m", "outlast", *args, "--db", str(self.db))
        _, err = process.communicate(timeout=180)
        assert process.returncode == 0, err

    def start_program(self, *args: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, *args],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.db.parent,
            env={**os.environ, "PYTHONPATH": str(SOURCE)},
            # A shell's background job ignores Ctrl-C, and so would all that it starts.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        self.started.append(process)
        return process

    def index(self) -> subprocess.Popen[str]:
        return self.start("index", "--limit", str(LIMIT))

    def found(self) -> Found:
        return asyncio.run(self._found())

    async def _found(self) -> Found:
        index: Index = {}
        words = 0
        async with Engine.open(self.db, read_only=True) as engine:
            async for info in engine.actors("indexer.Keeper"):
                if info.state is not None:
                    shelf = msgspec.convert(info.state, Shelf)
                    index.update(shelf.postings)
                    words += shelf.words
            desk = (await engine.actor_info("indexer.Desk", "desk")).state
        return Found(index, words, msgspec.convert(desk, Totals))

    def modules_done(self) -> int:
        """How far the reader is, -1 before it has handed out anything."""
        try:
            desktop = asyncio.run(self._desktop())
        except OutlastError:
            return -1
        return desktop.handed_out - sum(desktop.busy.values()) if desktop.handed_out else -1

    async def _desktop(self) -> Desktop:
        async with Engine.open(self.db, read_only=True) as engine:
            state = (await engine.actor_info("indexer.Reader", "stdlib")).state
        return Desktop() if state is None else msgspec.convert(state, Desktop)


@pytest.fixture
def crew(tmp_path: Path) -> Iterator[Crew]:
    found = Crew(tmp_path)
    yield found
    for process in found.started:
        if process.poll() is None:
            end(process)
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()


def finished(process: subprocess.Popen[str]) -> Done:
    out, err = process.communicate(timeout=180)
    assert "Traceback" not in err, err
    return Done(process.returncode, out, err)


def test_an_undisturbed_run_is_what_the_files_say_and_answers_queries(
    crew: Crew, reference: Found
) -> None:
    done = finished(crew.index())

    assert done.code == 0, done.err
    assert crew.found() == reference
    assert f"{LIMIT} modules: {reference.totals.documents} documents" in done.err

    hits = crew("query", "Event", "loop?", "--json")
    best = json.loads(hits.out)[0]["document"]
    assert best in reference.index["event"]
    assert best in reference.index["loop"]
    assert best in crew("query", "event", "loop").out
    nothing = crew("query", "xyzzy")
    assert (nothing.code, nothing.out, nothing.err) == (0, "", "nothing found\n")

    again = finished(crew.index())
    assert again.code == 0
    assert crew.found() == reference  # nothing is read twice

    status = crew("status")
    assert "40 of 40 modules" in status.out
    assert f"{READER}: up, 0 restarts" in status.out


@pytest.mark.crash
def test_members_that_are_stopped_are_started_again_and_the_index_is_the_same(
    crew: Crew, reference: Found
) -> None:
    process = crew.index()
    until(lambda: crew.modules_done() >= 0)

    asyncio.run(stop_in_turn(crew.db))

    assert process.poll() is None, "it was done before all were stopped"
    done = finished(process)
    assert done.code == 0, done.err
    assert crew.found() == reference
    assert crew("status").out.count(", 0 restarts") < 16 + 4 + 2


async def stop_in_turn(db: Path) -> None:
    """What `outlast actor stop` does, without a process for each."""
    async with Client(f"{db}") as client:
        for member in MEMBERS:
            await client.get(member).terminate("for a test")


@pytest.mark.crash
def test_a_crew_that_is_killed_three_times_has_the_same_index(crew: Crew, reference: Found) -> None:
    for modules in (0, 8, 16):
        process = crew.index()
        until(lambda: crew.modules_done() >= modules)  # noqa: B023  # it is called in this round
        assert process.poll() is None, "it was done before it could be killed"
        end(process)
        crew.outlast("actor", "stop", "indexer.Keeper", "05")

    done = finished(crew.index())

    assert done.code == 0, done.err
    assert crew.found() == reference


def test_ctrl_c_stops_it_and_the_same_command_goes_on(crew: Crew, reference: Found) -> None:
    process = crew.index()
    until(lambda: crew.modules_done() >= 0)

    done = end(process, signal.SIGINT)

    assert done.code == 130, done.err
    assert "Traceback" not in done.err
    assert finished(crew.index()).code == 0
    assert crew.found() == reference


def test_what_cannot_be_done_is_said(crew: Crew) -> None:
    for given in (["dance"], ["query"], ["index", "--limit", "0"], []):
        done = crew(*given)
        assert done.code == 2
        assert "error:" in done.err

    for given in (["query", "word"], ["status"]):
        done = crew(*given)
        assert (done.code, done.out) == (3, "")
        assert "run `index` first" in done.err
    assert not crew.db.exists()

    crew.db.write_text("no database")
    done = crew("index")
    assert done.code == 4
    assert "error:" in done.err
