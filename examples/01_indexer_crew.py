"""A supervised crew that indexes the documentation strings of Python's standard library.

    python examples/01_indexer_crew.py index --limit 200
    python examples/01_indexer_crew.py query event loop
    python examples/01_indexer_crew.py status

    Reader ──documents──> Tokenizer (4) ──words──> Keeper (16) <──asks── Desk <── you

The reader hands out a few modules at a time, and more when a tokenizer has finished. Everybody
works by messages, and the end of a message is one commit: the new state, and all that was told to
others. So whoever is stopped or killed, each document is counted once.
"""

from __future__ import annotations

import argparse
import ast
import asyncio
import json
import math
import os
import re
import sys
import sysconfig
import warnings
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

import msgspec

from outlast import (
    Actor,
    Child,
    Engine,
    OutlastError,
    RunNotFound,
    StoreError,
    StoreMissing,
    Supervisor,
    TeamInfo,
    Topic,
    actor,
    handler,
    step,
    wf,
)

MODULES_PER_BATCH = 8
TOKENIZERS = [f"{n}" for n in range(4)]
# The index of all modules is 6 MB. Of one actor's state 2 MiB can be stored, and all of it is
# written with each message: the smaller its share, the faster a keeper.
KEEPERS = [f"{n:02}" for n in range(16)]

WORD = re.compile(r"[a-z][a-z0-9_]{2,}")
ROOT = Path(sysconfig.get_path("stdlib"))
LOOK_SECONDS = 0.5

Postings = dict[str, dict[str, int]]  # word -> document -> how often


# ------------------------------------------------------------------------------ what is sent
@dataclass(frozen=True, slots=True)
class Document:
    """One documentation string: `asyncio.queues:Queue.put` and its text."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Reading:
    """What some files hold; `faults` says why others could not be parsed, by path."""

    documents: list[Document]
    faults: dict[str, str]


@dataclass(frozen=True, slots=True)
class Indexed:
    """How much more is in the index."""

    documents: int
    words: int


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the reader is, in modules."""

    wanted: int
    done: int


@dataclass(frozen=True, slots=True)
class Hit:
    """A document that was found."""

    document: str
    score: float


indexed = Topic("indexer.indexed", Indexed)


# -------------------------------------------------------------------------- the outside world
@step
def list_modules() -> list[str]:
    """Return the files of the standard library, relative to its directory."""
    files = [file.relative_to(ROOT) for file in ROOT.rglob("*.py")]
    return sorted(file.as_posix() for file in files if "site-packages" not in file.parts)


@step(where="process")  # parsing burns CPU
def read_modules(paths: list[str]) -> Reading:
    """Return the documentation strings of some files; nothing is imported."""
    documents: list[Document] = []
    faults: dict[str, str] = {}
    for path in paths:
        try:
            with warnings.catch_warnings(action="ignore"):
                tree = ast.parse((ROOT / path).read_bytes())
        except (OSError, SyntaxError, ValueError) as error:
            faults[path] = f"{type(error).__name__}: {error}"
        else:
            documents += documents_in(tree, module_name(path))
    return Reading(documents, faults)


def module_name(path: str) -> str:
    """Return `asyncio.queues` for `asyncio/queues.py`."""
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def documents_in(tree: ast.Module, module: str) -> Iterator[Document]:
    """Iterate over the documentation strings of a module, its classes and its functions."""
    nodes: list[tuple[ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef, str]]
    nodes = [(tree, module)]
    for node, name in nodes:  # the list grows
        text = ast.get_docstring(node)
        if text:
            yield Document(name, text)
        dot = ":" if isinstance(node, ast.Module) else "."
        for inner in node.body:
            if isinstance(inner, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                nodes.append((inner, f"{name}{dot}{inner.name}"))


# ------------------------------------------------------------------------------ the keepers
@dataclass
class Shelf:
    """One keeper's share of the index; `words` counts all that were ever added."""

    postings: Postings = field(default_factory=dict[str, dict[str, int]])
    words: int = 0


@actor(name="indexer.Keeper")
class Keeper(Actor[Shelf]):
    """Keeps the words that fall to it."""

    @handler
    async def add(self, postings: Postings) -> None:
        for word, documents in postings.items():
            kept = self.state.postings.setdefault(word, {})
            for document, count in documents.items():
                kept[document] = kept.get(document, 0) + count
                self.state.words += count

    @handler(read=True)
    async def find(self, words: list[str]) -> Postings:
        return {word: self.state.postings.get(word, {}) for word in words}

    @handler
    async def catch_up(self) -> int:
        """Return the number of words. No `read=True`: it takes its turn behind what waits."""
        return self.state.words


def keeper_of(word: str) -> str:
    """Return the key of the keeper of a word; `hash()` is another in each process."""
    return KEEPERS[zlib.crc32(word.encode()) % len(KEEPERS)]


# --------------------------------------------------------------------------- the tokenizers
async def add_to_index(documents: Sequence[Document]) -> None:
    """Tell the keepers of the words of some documents, with the commit of the message."""
    shares: defaultdict[str, Postings] = defaultdict(dict)
    words = 0
    for document in documents:
        for word, count in Counter(WORD.findall(document.text.lower())).items():
            found = shares[keeper_of(word)].setdefault(word, {})
            found[document.name] = found.get(document.name, 0) + count  # names may come twice
            words += count
    for key, postings in shares.items():
        await wf.actor(Keeper, key).tell(Keeper.add, postings)
    await indexed.publish(Indexed(len(documents), words))


@actor(name="indexer.Tokenizer")
class Tokenizer(Actor[None]):
    """Takes documents apart. It has nothing to remember."""

    @handler
    async def tokenize(self, documents: list[Document]) -> None:
        await add_to_index(documents)
        await wf.actor(Reader, "stdlib").tell(Reader.finished, self.key)


@actor(name="indexer.Straggler", attempts=1)
class Straggler(Actor[None]):
    """A module that could not be parsed has an actor to itself, in no team.

    It fails again, and its message is kept as a dead letter. When the file is mended, `outlast
    actor redrive NUMBER` brings it into the index.
    """

    @handler
    async def read(self, path: str) -> None:
        reading = await read_modules([path])
        if reading.faults:
            raise ValueError(f"{path} cannot be parsed: {reading.faults[path]}")
        await add_to_index(reading.documents)


# ------------------------------------------------------------------------------- the reader
@dataclass
class Desktop:
    """What the reader has before it: files in order, and who has how many of them."""

    paths: list[str] = field(default_factory=list[str])
    wanted: int = 0
    handed_out: int = 0
    busy: dict[str, int] = field(default_factory=dict[str, int])

    @property
    def progress(self) -> Progress:
        return Progress(self.wanted, self.handed_out - sum(self.busy.values()))


@actor(name="indexer.Reader")
class Reader(Actor[Desktop]):
    """Reads modules, and gives each tokenizer one batch at a time."""

    @handler
    async def started(self) -> None:
        """The crew was started: see what there is, once."""
        if not self.state.paths:
            self.state.paths = await list_modules()

    @handler
    async def read(self, limit: int | None) -> None:
        """Read the first `limit` modules, or all; what was read before counts."""
        total = len(self.state.paths)
        wanted = total if limit is None else min(limit, total)
        self.state.wanted = max(self.state.wanted, wanted)
        await self._hand_out()

    @handler
    async def finished(self, tokenizer: str) -> None:
        del self.state.busy[tokenizer]
        await self._hand_out()

    @handler(read=True)
    async def progress(self) -> Progress:
        return self.state.progress

    async def _hand_out(self) -> None:
        desk = self.state
        batches: dict[str, list[str]] = {}
        for tokenizer in TOKENIZERS:
            upto = min(desk.handed_out + MODULES_PER_BATCH, desk.wanted)
            if tokenizer not in desk.busy and upto > desk.handed_out:
                batches[tokenizer] = desk.paths[desk.handed_out : upto]
                desk.handed_out = upto
        readings = await asyncio.gather(*(read_modules(paths) for paths in batches.values()))
        for (tokenizer, paths), reading in zip(batches.items(), readings, strict=True):
            desk.busy[tokenizer] = len(paths)
            await wf.actor(Tokenizer, tokenizer).tell(Tokenizer.tokenize, reading.documents)
            for path in reading.faults:
                await wf.actor(Straggler, module_name(path)).tell(Straggler.read, path)


# --------------------------------------------------------------------------------- the desk
@dataclass
class Totals:
    """What the index holds."""

    documents: int = 0
    words: int = 0


@actor(name="indexer.Desk")
class Desk(Actor[Totals]):
    """Answers questions; counts documents, for a word that is in few of them says more."""

    @handler
    async def started(self) -> None:
        """Its first message: from here on it gets what is published."""

    @handler(topic=indexed)
    async def count(self, more: Indexed) -> None:
        self.state.documents += more.documents
        self.state.words += more.words

    @handler(read=True)
    async def totals(self) -> Totals:
        return self.state

    @handler
    async def search(self, words: list[str], top: int = 10) -> list[Hit]:
        """Return the documents that fit best."""
        asked: defaultdict[str, list[str]] = defaultdict(list)
        for word in dict.fromkeys(words):
            asked[keeper_of(word)].append(word)
        answers = await asyncio.gather(
            *(wf.actor(Keeper, key).ask(Keeper.find, share) for key, share in asked.items())
        )
        scores: defaultdict[str, float] = defaultdict(float)
        for postings in answers:
            for documents in postings.values():
                weight = math.log(1 + self.state.documents / max(1, len(documents)))
                for document, count in documents.items():
                    scores[document] += weight * (1 + math.log(count))
        best = sorted(scores.items(), key=lambda hit: (-hit[1], hit[0]))[:top]
        return [Hit(document, round(score, 3)) for document, score in best]


# --------------------------------------------------------------------------------- the crew
def crew() -> Supervisor:
    """Return the team. Each needs those before it, so they are held while one of those is down."""
    return Supervisor(
        "indexer",
        [
            Supervisor("keepers", [Child(Keeper, key=key) for key in KEEPERS]),
            Supervisor("tokenizers", [Child(Tokenizer, key=key) for key in TOKENIZERS]),
            Child(Desk, key="desk"),
            Child(Reader, key="stdlib"),
        ],
        strategy="rest_for_one",
    )


# ------------------------------------------------------------------------- the command line
class NothingIndexed(Exception):
    """There is no index to look at."""


async def index(db: Path, limit: int | None) -> None:
    """Index the first `limit` modules, or all; go on where an earlier process was."""
    async with Engine.open(db) as engine:
        applied = await engine.apply(crew())
        for member, why in applied.failed.items():
            say(f"{member} could not be started, and is tried again: {why}")
        reader = engine.actor(Reader, "stdlib")
        await reader.ask(Reader.read, limit)
        while (now := await reader.ask(Reader.progress)).done < now.wanted:
            say(f"{now.done:,} of {now.wanted:,} modules")
            await pause(engine)
        totals = await everything_arrived(engine)
        say(f"{now.done:,} modules: {totals.documents:,} documents, {totals.words:,} words")
        dead = [letter async for letter in engine.dead_letters()]
    if dead:
        say(f"{len(dead)} dead letters, see: outlast actor dead --db {db}")


async def everything_arrived(engine: Engine) -> Totals:
    """Wait until nothing is on its way any more; return what the index holds."""
    while any([straggler.waiting async for straggler in engine.actors(Straggler)]):
        await pause(engine)
    keepers = [engine.actor(Keeper, key) for key in KEEPERS]
    words = sum(await asyncio.gather(*(keeper.ask(Keeper.catch_up) for keeper in keepers)))
    desk = engine.actor(Desk, "desk")
    while (totals := await desk.ask(Desk.totals)).words < words:
        await pause(engine)
    return totals


async def pause(engine: Engine) -> None:
    """Wait a moment; refuse to when only a person can help."""
    async for team in engine.teams():
        parked = [member for member in team.members if member.status == "parked"]
        if parked:
            raise OutlastError(
                f"{parked[0].error}: see to it, then `outlast resume {parked[0].id}`"
            )
    await asyncio.sleep(LOOK_SECONDS)


async def query(db: Path, words: Sequence[str], *, as_json: bool) -> None:
    """Print the documents that fit best."""
    now = await progress_of(db)
    if now.done < now.wanted:
        say(f"so far {now.done:,} of {now.wanted:,} modules are indexed")
    wanted = [word for text in words for word in WORD.findall(text.lower())]
    async with Engine.open(db) as engine:
        hits = await engine.actor(Desk, "desk").ask(Desk.search, wanted)
    if as_json:
        print(json.dumps([asdict(hit) for hit in hits]))
        return
    for hit in hits:
        print(f"{hit.score:8.3f}  {hit.document}")
    if not hits:
        say("nothing found")


async def status(db: Path) -> None:
    """Print how far the crew is, and how each of its members stands."""
    now = await progress_of(db)
    print(f"{now.done:,} of {now.wanted:,} modules")
    async with Engine.open(db, read_only=True) as engine:
        async for team in engine.teams():
            print_team(team)
        dead = [letter async for letter in engine.dead_letters()]
    print(f"{len(dead)} dead letters")


def print_team(team: TeamInfo, indent: str = "") -> None:
    print(f"{indent}{team.id}: {team.status}, {team.strategy}")
    for member in team.members:
        if member.team is not None:
            print_team(member.team, indent + "  ")
        else:
            print(f"{indent}  {member.id}: {member.status}, {member.restarts} restarts")


async def progress_of(db: Path) -> Progress:
    """Return how far an index is; its file may be in use by another process."""
    try:
        async with Engine.open(db, read_only=True) as engine:
            reader = await engine.actor_info(Reader, "stdlib")
    except (StoreMissing, RunNotFound):
        raise NothingIndexed(f"there is no index in {db}: run `index` first") from None
    return msgspec.convert(reader.state, Desktop).progress


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


class Arguments(argparse.Namespace):
    """What was given on the command line."""

    command: Literal["index", "query", "status"]
    db: Path
    limit: int | None
    words: list[str]
    json: bool


def arguments(given: Sequence[str] | None) -> Arguments:
    parser = argparse.ArgumentParser(description="Index the documentation of the standard library.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    indexing = commands.add_parser("index", help="index, or go on with it")
    indexing.add_argument("--limit", type=at_least_one, metavar="N", help="only so many modules")
    asking = commands.add_parser("query", help="find documents")
    asking.add_argument("words", nargs="+", metavar="WORD")
    asking.add_argument("--json", action="store_true", help="print JSON")
    looking = commands.add_parser("status", help="show how far it is, and the crew")
    for command in (indexing, asking, looking):
        command.add_argument("--db", type=Path, default=Path("indexer.db"), metavar="PATH")
    return parser.parse_args(given, Arguments())


def at_least_one(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1")
    return int(text)


def main(given: Sequence[str] | None = None) -> int:
    """Return 0 when all is well, 1 when it is not, 2 for wrong usage, 3 when there is no index."""
    wanted = arguments(given)
    try:
        match wanted.command:
            case "index":
                asyncio.run(index(wanted.db, wanted.limit))
            case "query":
                asyncio.run(query(wanted.db, wanted.words, as_json=wanted.json))
            case "status":
                asyncio.run(status(wanted.db))
    except NothingIndexed as error:
        say(f"error: {error}")
        return 3
    except OutlastError as error:
        say(f"error: {error}")
        return 4 if isinstance(error, StoreError) else 1
    except KeyboardInterrupt:
        say("interrupted; the same command goes on")
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # whoever read has gone
    return 0


if __name__ == "__main__":
    sys.exit(main())
