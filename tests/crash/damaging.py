"""A database of everything, what can be read of it, and what damage makes of that."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import apsw

from outlast import Actor, Engine, Signal, Stream, Value, actor, handler, step, wf, workflow
from outlast._store.auditing import Acting, acting_as
from outlast._store.sqlite.connection import connect
from outlast.errors import (
    AskTimeout,
    OutlastError,
    RunFailed,
    RunParked,
    StoreDamaged,
    StoreTooNew,
)
from outlast.types import DeadLetterInfo, RunId, RunInfo

T = TypeVar("T")

COPIES = 8

go = Signal("damage_go", int)
progress = Value("damage_progress", str)
lines = Stream("damage_lines", str)


@step
async def fetched(n: int) -> str:
    return f"page {n} of the report"


@step
async def refused(n: int) -> str:
    raise ValueError(f"page {n} is not there")


@step
async def large(n: int) -> str:
    return f"{n}" * 40_000


@workflow
async def reports(n: int) -> str:
    for page in range(3):
        await lines.write(await fetched(n + page))
        progress.set(f"{n}: page {page}")
    return f"report {n}"


@workflow
async def holds_blob(n: int) -> str:
    text = await large(n)
    return f"{len(text)} {await go.receive()}"


@workflow
async def waits(n: int) -> str:
    wf.set_attributes(customer=f"c{n}")
    await lines.write(await fetched(n))
    progress.set(f"waiting {n}")
    return f"{await fetched(n + 1)} {await go.receive()}"


@workflow
async def fails(n: int) -> str:
    return await refused(n)


@workflow
async def asks_to_pay(n: int) -> str:
    answer = await wf.approve(f"Pay {n}?", detail={"amount": n})
    return f"{answer.approved} by {answer.by}"


@actor(attempts=1)
class Ledger(Actor[list[str]]):
    @handler
    async def add(self, entry: str) -> int:
        if entry == "poison":
            raise ValueError("no such entry")
        self.state.append(entry)
        return len(self.state)

    @handler
    async def entries(self) -> list[str]:
        return self.state


async def build(path: Path, kept: Path) -> None:
    """Make a database at `path`, and copy it to `kept` while its engine runs: with a log's tail."""
    async with Engine.open(str(path)) as engine:
        for n in range(COPIES):
            assert await engine.run(reports(n), id=f"closed-{n}") == f"report {n}"
            await engine.start(waits(10 * n), id=f"open-{n}")
            await engine.start(asks_to_pay(n), id=f"asks-{n}")
            ledger = engine.actor(Ledger, f"account-{n}")
            assert await ledger.ask(Ledger.add, f"entry {n}") == 1
            assert await ledger.ask(Ledger.add, f"more {n}") == 2
        await engine.start(holds_blob(7), id="blob")
        try:
            await engine.run(fails(1), id="failed")
        except RunFailed:
            pass
        await engine.actor(Ledger, "account-1").tell(Ledger.add, "poison")
        first = await _eventually(lambda: _open_tokens(engine, "asks-0"))
        await engine.approve(first[0], by="ann", reason="it is due")
        await engine.get("asks-0").result()
        await engine.start(waits(50), id="paused")
        await engine.get("paused").pause()
        await engine.get("paused").signal(go, 6, dedup="six")
        async with Engine.open(str(path), share=True) as beside:
            with acting_as(_ann()):
                await beside.start(waits(60), id="shared")
        await _eventually(lambda: _letters(engine))
        await _eventually(lambda: _all_at_rest(engine))
        for suffix in ("", "-wal", ".mark"):
            shutil.copy(f"{path}{suffix}", f"{kept}{suffix}")


def _ann() -> Acting:
    return Acting(
        caller="ann",
        role="operator",
        via="http",
        verb="start",
        target="waits",
        run=RunId(""),
        is_traffic=True,
    )


async def _eventually(find: Callable[[], Awaitable[T]]) -> T:
    for _ in range(3_000):
        if found := await find():
            return found
        await asyncio.sleep(0.01)
    raise TimeoutError


async def _open_tokens(engine: Engine, run: str) -> list[str]:
    return [token.id async for token in engine.tokens() if token.run == run]


async def _none_moves(engine: Engine) -> bool:
    """Say whether no run is on its way, as far as can be read."""
    try:
        return not [info async for info in engine.runs("status:running")]
    except StoreDamaged:
        return True


async def _all_at_rest(engine: Engine) -> bool:
    """Say whether the rows of all runs that wait say so."""
    statuses = {info.id: info.status async for info in engine.runs("status:waiting")}
    return all(run in statuses for run in RUNS if run.startswith("open") or run == "blob")


def fold(path: Path) -> None:
    """Put what is in the log into the database file."""
    db = connect(str(path), apsw.SQLITE_OPEN_READWRITE)
    db.execute("SELECT 1 FROM runs").fetchall()  # without a look, it has no log to fold
    db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    db.close()


@dataclass(frozen=True, slots=True)
class Refused:
    """Damage was said to be damage."""

    text: str


@dataclass(frozen=True, slots=True)
class Shown:
    """The rows of a listing."""

    rows: dict[object, object]


async def look(path: Path) -> dict[str, object]:
    """Return all that can be read, by what it is; open runs then go on to their ends."""
    seen: dict[str, object] = {}

    async def note(what: str, reading: Awaitable[object]) -> None:
        try:
            seen[what] = await reading
        except StoreDamaged as error:
            seen[what] = Refused(f"{error}")
        except OutlastError as error:
            # An ask with a timeout waits for a parked actor, and says at its end why it is parked.
            is_named = isinstance(error, RunParked | AskTimeout) and "damaged" in f"{error}"
            seen[what] = Refused(f"{error}") if is_named else repr(error)

    try:
        engine = Engine.open(str(path))
        await engine.__aenter__()
    except (StoreDamaged, StoreTooNew) as error:
        return {"open": Refused(f"{error}")}
    try:
        await _look(engine, note)
    finally:
        await engine.__aexit__(None, None, None)
    return seen


RUNS = [
    *(f"{kind}-{n}" for kind in ("closed", "open", "asks") for n in range(COPIES)),
    *("blob", "failed", "paused"),
]
Note = Callable[[str, Awaitable[object]], Awaitable[None]]


async def _look(engine: Engine, note: Note) -> None:
    async def listed(query: str) -> object:
        return Shown({r.id: _shown(r) async for r in engine.runs(query)})

    # A run that is brought in just now is missing among those that wait, and nothing is damaged.
    await _eventually(lambda: _none_moves(engine))
    for query in ("", "status:completed", "status:waiting", "customer:c10"):
        await note(f"list {query}", listed(query))
    for run in RUNS:
        await note(f"info {run}", _info(engine, run))
        await note(f"journal {run}", _journal(engine, run))
        await note(f"value {run}", _value(engine, run))
        await note(f"stream {run}", _stream(engine, run))
    await note("tokens", _tokens(engine))
    await note("letters", _all_letters(engine))
    for n in range(COPIES):
        ledger = engine.actor(Ledger, f"account-{n}")
        await note(f"entries {n}", ledger.options(timeout="5s").ask(Ledger.entries))
    for run in RUNS:
        await note(f"end {run}", _end(engine, run))
    # The id of a run is taken for good.
    await note("again", _again(engine))


def _shown(info: RunInfo) -> object:
    if info.error is not None and "damaged" in info.error:
        return Refused(info.error)
    return info.status, info.workflow, info.attributes, info.steps, info.created_at, info.error


async def _info(engine: Engine, run: str) -> object:
    return _shown(await engine.get(run).info())


async def _value(engine: Engine, run: str) -> object:
    return await engine.get(run).read(progress)


async def _journal(engine: Engine, run: str) -> object:
    return [
        (record.seq, record.key, record.kind, record.name, record.at, record.value, record.error)
        async for record in engine.get(run).journal()
    ]


async def _stream(engine: Engine, run: str) -> object:
    events: list[object] = []
    async with asyncio.timeout(5):
        if not run.startswith(("blob", "asks")):
            async for event in engine.get(run).stream(lines):
                events.append((event.offset, event.kind, event.value))
                if run.startswith(("open", "paused")):
                    break
    return events


async def _tokens(engine: Engine) -> object:
    found = [token async for token in engine.tokens(open_only=False)]
    return Shown(
        {token.id: Refused(token.reason) if "damaged" in token.reason else token for token in found}
    )


async def _letters(engine: Engine) -> list[DeadLetterInfo]:
    return [letter async for letter in engine.dead_letters()]


async def _all_letters(engine: Engine) -> object:
    found = await _letters(engine)
    return Shown({x.number: Refused(x.error) if x.reason == "damaged" else x for x in found})


async def _end(engine: Engine, run: str) -> object:
    handle = engine.get(run)
    if run.startswith("open") or run == "blob":
        await handle.signal(go, 5)
    elif run == "paused":
        await handle.resume()
    elif run.startswith("asks") and run != "asks-0":
        async for token in engine.tokens():
            if token.run == run:
                await engine.approve(token.id, by="bob")
    return await handle.result(timeout="5s")


async def _again(engine: Engine) -> object:
    found: list[object] = []
    for n in range(COPIES):
        found.append((await engine.start(reports(n), id=f"closed-{n}")).created)
        found.append((await engine.start(waits(10 * n), id=f"open-{n}")).created)
    return found


def differences(right: dict[str, object], seen: dict[str, object]) -> list[str]:
    """Return what is neither right nor said to be damaged."""
    if "open" in seen:
        return []
    wrong: list[str] = []
    for what, value in right.items():
        found = seen[what]
        if isinstance(value, Shown) and isinstance(found, Shown):
            wrong += _rows(what, value, found, seen)
        elif found != value and not isinstance(found, Refused):
            wrong.append(f"{what}: {found!r} instead of {value!r}")
    return wrong


def _rows(what: str, right: Shown, shown: Shown, seen: dict[str, object]) -> list[str]:
    value, found = right.rows, shown.rows
    wrong = [
        f"{what}: {run} is {seen_as!r} instead of {value.get(run)!r}"
        for run, seen_as in found.items()
        if not isinstance(seen_as, Refused) and value.get(run) != seen_as
    ]
    everything = seen["list "] if what.startswith("list") else None
    for run in value.keys() - found.keys():
        # It may be shown as parked, where parked runs are asked for; it may be parked meanwhile.
        at_all = everything.rows.get(run) if isinstance(everything, Shown) else None
        if not isinstance(at_all, Refused) and not isinstance(seen.get(f"info {run}"), Refused):
            wrong.append(f"{what}: {run} is missing")
    return wrong
