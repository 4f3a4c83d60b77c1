"""Canaries through every door of an encrypted database: none lies in a file, nor in a copy.

And a rekey that is killed anywhere: what is there stays readable, and the next one goes on.
"""

from __future__ import annotations

import asyncio
import os
import signal as signals
import sqlite3
import subprocess
import sys
from base64 import b64encode
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import pytest

from outlast import (
    Actor,
    Engine,
    RunFailed,
    Signal,
    Stream,
    Update,
    Value,
    actor,
    handler,
    step,
    this_step,
    wf,
    workflow,
)
from outlast._codec.stored.keys import keys_from_file
from outlast._codec.stored.layers import BodyCodec, codec_of
from outlast._store.auditing import Acting, acting_as
from outlast._store.sqlite.backup import copy_database
from outlast._store.sqlite.rekey import Rekeyed, rekey
from outlast._store.sqlite.tables import columns as tables
from outlast.encryption import CodecLayer, compressed, encrypted
from outlast.errors import OutlastError, RunParked, StoreCodecError, StoreDamaged
from outlast.types import RunId
from tests.preloaded import run_program
from tests.unit.store.sqlite.databases import exchange, query

MARK = "c4n4ry"
SEED = iter(range(10_000))

go = Signal("canary_go", str)
progress = Value("canary_progress", str)
lines = Stream("canary_lines", str)
amend = Update("canary_amend", str, str)


def canary(door: str) -> str:
    return f"{MARK} {door} {MARK}"


@step
async def told(text: str) -> str:
    await lines.write(canary(f"stream of a step after {text[:9]}"))
    return canary("result of a step")


@step
async def fails(text: str) -> str:
    raise ValueError(canary(f"error of a step {this_step().attempt}"))


@step
async def large(text: str) -> str:
    return canary("large result") * 4_000


@workflow
async def everything(text: str) -> str:
    @amend.handler
    def amended(by: str) -> str:
        return canary("result of an update")

    await told(canary("input of a step"))
    progress.set(canary("value"))
    await lines.write(canary("stream of a run"))
    await large(canary("input of a large step"))
    answer = await wf.approve(canary("title"), detail={"amount": canary("detail")})
    return f"{await go.receive()} {answer.reason} {canary('result of a run')}"


@workflow
async def waits(text: str) -> str:
    return await go.receive()


@workflow
async def raises(text: str) -> str:
    return await fails(text)


@workflow
async def waits_with_a_child(text: str) -> str:
    return await wf.start(waits(canary("input of a child")), id="child").result()


@actor(attempts=1)
class Canaries(Actor[list[str]]):
    @handler
    async def add(self, text: str) -> str:
        if "poison" in text:
            raise ValueError(canary("error of a handler"))
        self.state.append(canary("state"))
        return canary("answer of an actor")


async def fill(path: Path, layers: Sequence[CodecLayer] | None) -> None:
    """Put a canary through each door, and leave some runs open."""
    async with Engine.open(path, codec=layers) as engine:
        run = await engine.start(everything(canary("input of a run")), id="every")
        await run.update(amend, canary("input of an update"))
        [token] = await eventually(lambda: open_tokens(engine))
        await engine.approve(token, by=canary("approver"), reason=canary("reason"))
        await run.signal(go, canary("signal that is read"))
        await run.result()
        with pytest.raises(RunFailed):
            await engine.run(raises(canary("input of a failed run")), id="failed")
        waiting = await engine.start(waits(canary("input of a waiting run")), id="waits")
        await waiting.pause()
        await waiting.signal(go, canary("signal that waits"))
        ended = await engine.start(waits(canary("input of a terminated run")), id="terminated")
        await ended.pause()
        await ended.signal(go, canary("signal that becomes a dead letter"))
        await ended.terminate(canary("reason of a termination"))
        await engine.start(waits_with_a_child(canary("input of a parent")), id="parent")
        ref = engine.actor(Canaries, "one")
        await ref.ask(Canaries.add, canary("message"))
        await ref.tell(Canaries.add, canary("poison"))
        await eventually(lambda: letters(engine, 2))
        async with Engine.open(path, codec=layers, share=True) as beside:
            with acting_as(ann()):
                await beside.start(waits(canary("input through the owner")), id="shared")
                with pytest.raises(OutlastError):
                    await beside.start(waits("another"), id="shared", on_conflict="fail")


def ann() -> Acting:
    return Acting(
        caller="ann",
        role="operator",
        via="http",
        verb="start",
        target="waits",
        run=RunId(""),
        is_traffic=True,
        reason=canary("reason in the audit"),
    )


async def eventually(find: Callable[[], Awaitable[list[str]]]) -> list[str]:
    for _ in range(1_000):
        if found := await find():
            return found
        await asyncio.sleep(0.01)
    raise TimeoutError


async def open_tokens(engine: Engine) -> list[str]:
    return [token.id async for token in engine.tokens()]


async def letters(engine: Engine, count: int) -> list[str]:
    found = [letter.error async for letter in engine.dead_letters()]
    return found if len(found) >= count else []


async def all_of(path: Path, layers: Sequence[CodecLayer] | None) -> dict[str, object]:
    """Return all that can be read."""
    found: dict[str, object] = {}
    async with Engine.open(path, codec=layers, read_only=True) as engine:
        async for info in engine.runs():
            run = engine.get(info.id)
            found[info.id] = (info.status, info.error, [r async for r in run.journal()])
        every = engine.get("every")
        found["value"] = await engine.get("every", everything).read("canary_progress")
        found["stream"] = [e.value async for e in every.stream(lines) if e.kind == "data"]
        found["letters"] = [x.error async for x in engine.dead_letters()]
        found["audit"] = [row.reason async for row in engine.audit()]
    return found


def canaries_in(directory: Path) -> list[str]:
    """Return the files with a canary in them, also one that is split by escapes or in base64."""
    marks = [MARK.encode(), b64encode(MARK.encode())[:7]]
    return [
        file.name
        for file in sorted(directory.iterdir())
        if file.is_file() and any(mark in file.read_bytes() for mark in marks)
    ]


def new_seed() -> bytes:
    return next(SEED).to_bytes(32, "little")


def key_file(directory: Path, *ids: str) -> Path:
    """Make a key file outside of what is searched: each id has a key of its own."""
    path = directory.with_name(f"{directory.name}-{'-'.join(ids)}.keys")
    keys = (f"{key_id} {b64encode(key_id.ljust(32).encode()).decode()}\n" for key_id in ids)
    path.write_text("".join(keys), encoding="ascii")
    path.chmod(0o600)
    return path


def layers_of(directory: Path, *ids: str) -> list[CodecLayer]:
    return [compressed(), encrypted(keys_from_file(key_file(directory, *ids)))]


def rekeyed(path: Path, layers: list[CodecLayer] | None, *, decrypt: bool = False) -> Rekeyed:
    codec: BodyCodec | None = codec_of(layers)
    return rekey(path, codec, decrypt=decrypt, new_seed=new_seed, tell=lambda _done, _all: None)


async def test_no_canary_lies_in_a_file_while_it_is_open_or_in_a_backup(tmp_path: Path) -> None:
    path = tmp_path / "outlast.db"
    layers = layers_of(tmp_path, "k1")
    await fill(path, layers)

    async with Engine.open(path, codec=layers) as engine:
        await engine.start(waits(canary("in the log")), id="late")
        assert (tmp_path / "outlast.db-wal").stat().st_size > 0
        backup = tmp_path / "backup.db"
        backup.touch(0o600)
        copy_database(path, backup)
        assert canaries_in(tmp_path) == []

    assert canaries_in(tmp_path) == []
    seen = f"{await all_of(path, layers)}"
    doors = {text.strip() for text in seen.split(MARK)[1::2]}
    assert len(doors) >= 20, sorted(doors)
    plain = tmp_path / "plain"
    plain.mkdir()
    await fill(plain / "outlast.db", None)
    assert canaries_in(plain) != []  # else the search would find nothing anywhere


async def test_a_plain_database_is_encrypted_and_nothing_of_it_is_left(tmp_path: Path) -> None:
    path = tmp_path / "outlast.db"
    await fill(path, None)
    before = await all_of(path, None)

    made = rekeyed(path, layers_of(tmp_path, "k1"))

    assert (made.key, made.retired, made.log_bytes) == ("k1", (), 0)
    assert canaries_in(tmp_path) == []
    assert await all_of(path, layers_of(tmp_path, "k1")) == before
    with pytest.raises(StoreCodecError, match=r"no codec was given"):
        await all_of(path, None)


async def test_a_database_is_moved_to_another_key_and_back_to_none(tmp_path: Path) -> None:
    path = tmp_path / "outlast.db"
    await fill(path, layers_of(tmp_path, "k1"))
    before = await all_of(path, layers_of(tmp_path, "k1"))

    moved = rekeyed(path, layers_of(tmp_path, "k2", "k1"))
    after = await all_of(path, layers_of(tmp_path, "k2"))
    with pytest.raises(StoreCodecError, match=r"under key 'k2'"):
        await all_of(path, layers_of(tmp_path, "k1"))
    again = rekeyed(path, layers_of(tmp_path, "k2"))
    plain = rekeyed(path, layers_of(tmp_path, "k2"), decrypt=True)

    assert after == before == await all_of(path, None)
    assert moved.retired == ("k1",)
    assert moved.rows > 50
    assert again.rows == 0
    assert plain.key is None


# Kills itself at the statement with this number: each of them is a point of its own.
KILLED = """
import os, signal, sys
from pathlib import Path
import apsw
from outlast._codec.stored.keys import keys_from_file
from outlast._codec.stored.layers import codec_of, compressed, encrypted
from outlast._store.sqlite import rekey

rekey._PAGE_ROWS = 5
left = int(sys.argv[3])

def counted(*_):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return True

def hook(connection):
    connection.exec_trace = counted

apsw.connection_hooks.append(hook)
codec = codec_of([compressed(), encrypted(keys_from_file(sys.argv[2]))])
seeds = lambda: os.urandom(32)
rekey.rekey(
    Path(sys.argv[1]), codec, decrypt=sys.argv[4] == "decrypt", new_seed=seeds,
    tell=lambda *_: None,
)
print(left)
"""


def killed_at(directory: Path, keys: Path, point: int, how: str) -> bool:
    """Rekey in a process that is killed at a statement; return whether it was."""
    program = directory.with_name(f"{directory.name}-killed.py")
    program.write_text(KILLED, encoding="utf-8")
    done = run_program(program, str(directory / "outlast.db"), str(keys), f"{point}", how)
    assert done.returncode in (0, -signals.SIGKILL), done.stderr
    return done.returncode != 0


@pytest.mark.parametrize("how", ["encrypt", "rotate", "decrypt"])
async def test_a_rekey_that_is_killed_is_gone_on_with(tmp_path: Path, how: str) -> None:
    home = tmp_path / "home"
    home.mkdir()
    path = home / "outlast.db"
    first = None if how == "encrypt" else layers_of(home, "k1")
    await fill(path, first)
    before = await all_of(path, first)
    last = None if how == "decrypt" else layers_of(home, "k2")
    given = ("k1",) if how == "decrypt" else ("k2", "k1")
    keys = key_file(home, *given)

    point, deaths = 40, 0
    while killed_at(home, keys, point, how):
        deaths += 1
        point += 61  # so that each try comes further, and the last one to its end

    assert deaths > 3
    assert await all_of(path, last) == before
    if how != "decrypt":
        assert canaries_in(home) == []


async def test_a_half_encrypted_database_is_not_opened(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    path = home / "outlast.db"
    await fill(path, None)
    keys = key_file(home, "k1")
    point = 40
    while not query(path, "SELECT 1 FROM codec_keys"):
        assert killed_at(home, keys, point, "encrypt")
        point += 20

    for layers in (layers_of(home, "k1"), None):
        with pytest.raises(StoreCodecError, match=r"rekey` was interrupted|no codec was given"):
            await all_of(path, layers)
    with pytest.raises(StoreCodecError, match=r"must be finished first, without --decrypt"):
        rekeyed(path, layers_of(home, "k1"), decrypt=True)


async def test_a_run_whose_record_was_exchanged_is_parked_and_others_go_on(
    tmp_path: Path,
) -> None:
    path = tmp_path / "outlast.db"
    layers = layers_of(tmp_path, "k1")
    async with Engine.open(path, codec=layers) as engine:
        for name in ("one", "two", "three"):
            await engine.start(waits(name), id=name)
    first = [f"run = '{run}' AND first_seq = 1" for run in ("one", "two")]
    exchange(path, tables.HISTORIES, "body", first)

    async with Engine.open(path, codec=layers) as engine:
        await engine.get("three").signal(go, "on")
        assert await engine.get("three").result() == "on"
        for run in ("one", "two"):
            await engine.get(run).signal(go, "on")
            with pytest.raises((StoreDamaged, RunParked), match="not what was written there"):
                await engine.get(run).result(timeout="10s")
            assert (await engine.get(run).info()).status in ("waiting", "parked")


def test_the_commands_take_a_key_file(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "app.py").write_text(
        "from outlast import workflow\n\n\n@workflow\nasync def hello(name: str) -> str:\n"
        "    return f'hello {name}'\n",
        encoding="utf-8",
    )
    environment = {k: v for k, v in os.environ.items() if not k.startswith("OUTLAST_")}

    def outlast(*words: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "outlast", *words],
            cwd=home,
            env=environment | more,
            capture_output=True,
            text=True,
            check=False,
        )

    (home / "kept").mkdir()
    (home / "k.keys").symlink_to("kept/k.keys")
    assert "--id has no valid id" in outlast("db", "new-key", "k.keys", "--id", "a b").stderr
    assert outlast("db", "new-key", "k.keys").stdout == "k1\n"
    assert (home / "k.keys").is_symlink()
    assert (home / "k.keys").stat().st_mode & 0o777 == 0o600
    started = outlast("run", "app.py:hello", f"name={MARK}", "--id=r", OUTLAST_KEY_FILE="k.keys")
    assert started.stdout == f"hello {MARK}\n", started.stderr
    assert canaries_in(home / ".outlast") == []
    shown = outlast("show", "r", "--key-file", "k.keys")
    assert MARK in shown.stdout
    refused = outlast("show", "r")
    assert refused.returncode != 0
    assert "is encrypted under 'k1'" in refused.stderr
    assert outlast("db", "new-key", "k.keys").stdout == "k2\n"
    reader = sqlite3.connect(f"file:{home / '.outlast' / 'outlast.db'}?mode=ro", uri=True)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM runs").fetchall()
    held = outlast("db", "rekey", "--json", "--key-file", "k.keys")
    reader.close()
    assert '"retired": ["k1"]' in held.stdout, held.stderr
    assert (held.returncode, "still hold old bytes" in held.stderr) == (1, True)
    moved = outlast("db", "rekey", "--json", "--key-file", "k.keys")
    assert (moved.returncode, moved.stderr) == (0, "")
    assert "all that is stored is correct" in outlast("db", "verify", "--key-file", "k.keys").stderr
    assert outlast("db", "backup", "copy.db").returncode == 0
    assert outlast("db", "restore", "copy.db").returncode == 0
    assert MARK in outlast("show", "r", "--key-file", "k.keys").stdout
    (home / "k.keys").chmod(0o644)
    assert "chmod 600 k.keys" in outlast("ls", "--key-file", "k.keys").stderr
