"""What workflow code may not reach for, what it draws from its run, and what is exempt.

The programs run in processes of their own: what a process has cached, loaded or imported by name
before outlast must make no difference.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from outlast import Engine, workflow
from outlast.errors import NotDeterministic

HEAD = """
import asyncio, os, random, secrets, sys, uuid
from asyncio import to_thread
from os import urandom as early_urandom
from random import Random, SystemRandom, choice, gauss, randint, sample, shuffle
from time import sleep
from uuid import uuid1, uuid4
from outlast import Engine, RunFailed, RunParked, Signal, step, wf, workflow
from outlast.errors import NotDeterministic

go = Signal("go", int)

@step
async def keep(text: str) -> str:
    return text

async def until(engine, run, text):
    async with asyncio.timeout(30):
        while text not in await engine.get(run).why():
            await asyncio.sleep(0.01)
"""


TAIL = """
async def main():
    async with Engine.open("o.db") as engine:
        await globals()[sys.argv[1]](engine)

asyncio.run(main())
"""


def ran(folder: Path, program: str, verb: str) -> list[str]:
    """Run one verb of a program in a fresh interpreter, and return the lines that it printed."""
    file = folder / "app.py"
    file.write_text(HEAD + program + TAIL)
    done = subprocess.run(
        [sys.executable, str(file), verb],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Exception ignored" not in done.stderr
    return done.stdout.splitlines()


# ----------------------------------------------------------------------- drawn from the run
DRAWS = """
def shuffled():
    cards = list(range(20))
    shuffle(cards)
    return cards

def seeded():
    random.seed(7)
    return random.random(), random.getstate()[1][:3]

DRAWS = [
    lambda: random.random(), lambda: randint(1, 10**9), lambda: choice(range(10**6)),
    lambda: gauss(0, 1), lambda: gauss(0, 1), lambda: sample(range(1000), 5), shuffled,
    lambda: random.getrandbits(99), lambda: random.randbytes(9), lambda: uuid4(),
    lambda: uuid1(), lambda: uuid.uuid1(node=5), lambda: uuid.uuid4(), lambda: os.urandom(8),
    lambda: Random().random(), lambda: wf.random().random(), lambda: wf.uuid(), seeded,
    lambda: os.getrandom(8) if hasattr(os, "getrandom") else 0, lambda: uuid.getnode(),
    lambda: random.uniform(0, 1), lambda: random.expovariate(1.0),
]

async def branch(extra):
    await asyncio.sleep(0)
    drawn = [str(draw()) for draw in DRAWS]
    if extra:
        random.random()
    return drawn

@workflow
async def draws() -> bool:
    groups = await asyncio.gather(branch(False), branch(True), branch(False))
    kept = [await keep(str(group)) for group in groups]
    await go.receive()
    late = str(await branch(False))
    return kept == [str(group) for group in groups] and await keep(late) == late

async def begin(engine):
    random.seed(1)
    before = random.getstate()
    await engine.start(draws(), id="r")
    await until(engine, "r", "signal")
    print(random.getstate() == before)

async def end(engine):
    await engine.get("r").signal(go, 1)
    print(await engine.get("r", draws).result(timeout=30))
    records = [r async for r in engine.get("r").journal() if r.name.endswith("keep")]
    texts = [r.value for r in records]
    print(len(set(texts)), len(texts))
"""


def test_chance_is_drawn_from_the_run_and_drawn_alike_on_replay(tmp_path: Path) -> None:
    assert ran(tmp_path, DRAWS, "begin") == ["True"], "the process's own state did not move"

    assert ran(tmp_path, DRAWS, "end") == ["True", "4 4"], "each task draws for itself"


OLD_RUN = """
from outlast._world import RealWorld
RealWorld.new_seed = lambda self: b""    # as a run that an older outlast began

@workflow
async def draws() -> float:
    return random.random()

async def main_(engine):
    run = await engine.start(draws(), id="r")
    try:
        await run.result(timeout=30)
    except RunParked as error:
        print("use wf.random()" in str(error))
"""


def test_a_run_without_a_chance_seed_is_refused_what_it_was_refused_before(tmp_path: Path) -> None:
    assert ran(tmp_path, OLD_RUN, "main_") == ["True"]


# ----------------------------------------------------------------------------- refused
REFUSED = """
import _thread, glob, pathlib, shutil, socket, sqlite3

CASES = [
    lambda: SystemRandom().random(), lambda: SystemRandom().getrandbits(8),
    lambda: secrets.token_hex(4), lambda: secrets.choice("abc"), lambda: secrets.randbelow(9),
    lambda: secrets.token_bytes(4), lambda: open("/etc/hostname"), lambda: to_thread(print),
    lambda: os.listdir(), lambda: list(os.walk("/")), lambda: glob.glob("*"), lambda: input(),
    lambda: os.mkdir("made"), lambda: os.rename("a", "b"), lambda: os.remove("a"),
    lambda: shutil.move("app.py", "moved.py"), lambda: pathlib.Path("a").touch(),
    lambda: sqlite3.connect(":memory:"), lambda: asyncio.new_event_loop(),
    lambda: socket.gethostbyname("localhost"), lambda: socket.getfqdn("localhost"),
    lambda: _thread.start_new_thread(print, ()), lambda: os.mkfifo("fifo"),
    lambda: os.mknod("node"), lambda: os.chdir("."), lambda: os.setxattr("app.py", "user.a", b""),
]

@workflow
async def reaches(case: int) -> str:
    try:
        result = CASES[case]()
        if asyncio.iscoroutine(result):
            await result
    except NotDeterministic as error:
        caught = str(error)
    else:
        caught = "not refused"
    kept = await keep(caught)
    await go.receive()
    return "same" if kept == caught != "not refused" else caught

async def begin(engine):
    for case in range(len(CASES)):
        await engine.start(reaches(case), id=f"r{case}")
        await until(engine, f"r{case}", "signal")

async def end(engine):
    for case in range(len(CASES)):
        await engine.get(f"r{case}").signal(go, 1)
        print(await engine.get(f"r{case}", reaches).result(timeout=30))
"""


def test_what_is_refused_is_refused_live_and_on_replay_alike(tmp_path: Path) -> None:
    ran(tmp_path, REFUSED, "begin")

    assert ran(tmp_path, REFUSED, "end") == ["same"] * 26


UNCAUGHT = """
@workflow
async def alone() -> str:
    await keep("before")
    {reach}
    return await keep("after")

@workflow
async def grouped() -> str:
    async def reach():
        {reach}
        return await keep("after")
    async with asyncio.TaskGroup() as group:
        task = group.create_task(reach())
    return task.result()

async def begin(engine):
    for flow in (alone, grouped):
        run = await engine.start(flow(), id=flow.name)
        try:
            await run.result(timeout=30)
        except RunParked as error:
            print("parked", "open()" in str(error))

async def end(engine):
    for flow in (alone, grouped):
        print(await engine.get(flow.name, flow).result(timeout=30))
"""


def test_a_refusal_that_is_not_caught_parks_the_run_until_the_code_has_changed(
    tmp_path: Path,
) -> None:
    bad, good = UNCAUGHT.replace("{reach}", "open('x')"), UNCAUGHT.replace("{reach}", "pass")

    assert ran(tmp_path, bad, "begin") == ["parked True", "parked True"]
    assert ran(tmp_path, good, "end") == ["after", "after"]


# ------------------------------------------------------------------------------ exempt
EXEMPT = """
import importlib, logging, logging.handlers, pathlib, socket, threading, traceback, warnings
import zoneinfo
from datetime import datetime, timezone
from zoneinfo import ZoneInfo

for name, body in {
    "m_uuid": "import uuid\\nX = uuid.uuid4()",
    "m_random": "import random\\nX = random.random()",
    "m_thread": "import threading\\nthreading.Thread(target=print, args=('',)).start()",
    "m_open": "X = open(__file__).read()",
    "m_secrets": "import secrets\\nX = secrets.token_hex(4)",
    "m_sleep": "import time\\ntime.sleep(0.001)",
    "m_nested": "import m_nested_inner",
    "m_nested_inner": "import subprocess, sys\\nsubprocess.run([sys.executable, '-c', ''])",
}.items():
    pathlib.Path(name + ".py").write_text(body + "\\n")
server = socket.create_server(("127.0.0.1", 0))

class Lazy(logging.Handler):
    lines = []
    started = False
    def emit(self, record):
        if not self.started:
            threading.Thread(target=lambda: None).start()
            self.started = True
        self.lines.append((self.format(record), secrets.token_hex(2), asyncio.get_running_loop()))

HANDLERS = {
    "rotating": logging.handlers.RotatingFileHandler("r.log", maxBytes=150, backupCount=20),
    "timed": logging.handlers.TimedRotatingFileHandler("t.log", when="S", delay=True),
    "delayed": logging.FileHandler("d.log", delay=True),
    "socket": logging.handlers.SocketHandler("127.0.0.1", server.getsockname()[1]),
    "lazy": Lazy(),
}
for name, handler in HANDLERS.items():
    logger = logging.getLogger("app." + name)
    logger.setLevel("INFO"); logger.propagate = False; logger.handlers = [handler]

def logs():
    for name in HANDLERS:
        for n in range(6):
            logging.getLogger("app." + name).info("line %d %s", n, "x" * 40)

def formats():
    try:
        raise ValueError("x")
    except ValueError:
        return "raise ValueError" in traceback.format_exc()

CASES = {
    "imports": lambda: [__import__(m) for m in (
        "m_uuid", "m_random", "m_thread", "m_open", "m_secrets", "m_sleep", "m_nested")],
    "stdlib": lambda: [__import__(m) for m in ("multiprocessing.process", "ctypes.util", "pdb")],
    "logs": logs,
    "warns": lambda: warnings.warn("w", stacklevel=1),
    "formats": formats,
    "zone": lambda: str(datetime(2026, 7, 1, tzinfo=timezone.utc).astimezone(
        ZoneInfo("Europe/Berlin"))),
    "metadata": lambda: importlib.import_module("importlib.metadata").version("outlast"),
    "zones": lambda: zoneinfo.available_timezones() or 1 / 0,
    "uncached zone": lambda: ZoneInfo.no_cache("Asia/Tokyo").key,
    "idna": lambda: "bücher".encode("idna"),
}

@workflow
async def exempt(case: str) -> str:
    first = random.random()
    CASES[case]()
    return "same" if (first, random.random()) == await draws_of() else "moved"

async def draws_of():
    loop = asyncio.get_running_loop()
    from outlast._world import seeded
    source = seeded(loop.chance_seed + b"0")
    return source.random(), source.random()

async def main_(engine):
    for case in CASES:
        run = await engine.start(exempt(case))
        try:
            print(case, await run.result(timeout=30))
        except (RunFailed, RunParked) as error:
            print(case, error)
    for handler in HANDLERS.values():
        handler.close()
    for name in ("r.log", "t.log", "d.log"):
        files = pathlib.Path(".").glob(name + "*")
        print(name, sum(len(f.read_text().splitlines()) for f in files))
    loop = asyncio.get_running_loop()
    print(len(Lazy.lines), all(made is loop for _, _, made in Lazy.lines))
    connection, _ = server.accept()
    print(len(connection.recv(100_000)) > 1000)
"""


def test_logging_imports_warnings_and_time_zones_work_and_draw_nothing_from_the_run(
    tmp_path: Path,
) -> None:
    lines = [line for line in ran(tmp_path, EXEMPT, "main_") if line]

    cases: tuple[str, ...] = ("imports", "stdlib", "logs", "warns", "formats")
    cases += ("zone", "metadata", "zones", "uncached zone", "idna")
    assert lines[: len(cases)] == [f"{case} same" for case in cases]
    assert lines[len(cases) :] == ["r.log 6", "t.log 6", "d.log 6", "6 True", "True"]


# --------------------------------------------------------------------- sets of futures
SETS = """
def made(kind, coro):
    if kind == "gather":
        return asyncio.gather(coro)
    if kind == "shield":
        return asyncio.shield(asyncio.ensure_future(coro))
    if kind == "future":
        future = asyncio.get_running_loop().create_future()
        asyncio.ensure_future(coro).add_done_callback(lambda t: future.set_result(t.result()))
        return future
    return asyncio.ensure_future(coro)

@workflow
async def waits(kind: str) -> bool:
    gate = asyncio.Event()
    async def item(i: int) -> str:
        await gate.wait()
        return f"i{i}"
    group = [made(kind, item(i)) for i in range(9)]
    await keep("first")
    gate.set()
    done, _ = await asyncio.wait(group)
    order = str([d.result() for d in done])
    kept = await keep(order)
    await go.receive()
    return kept == order

KINDS = ("task", "gather", "shield", "future")

async def begin(engine):
    for kind in KINDS:
        await engine.start(waits(kind), id=kind)
        await until(engine, kind, "signal")

async def end(engine):
    junk = [object() for _ in range(50_000)]  # other addresses than in the first process
    for kind in KINDS:
        await engine.get(kind).signal(go, 1)
        print(await engine.get(kind, waits).result(timeout=30))
"""


@pytest.mark.parametrize("attempt", range(2))
def test_sets_of_futures_iterate_alike_on_replay(tmp_path: Path, attempt: int) -> None:
    ran(tmp_path, SETS, "begin")

    assert ran(tmp_path, SETS, "end") == ["True"] * 4


GUARDED: dict[str, str] = {
    "secrets": "import secrets; secrets.token_hex(4)",
    "system": "import random; random.SystemRandom().random()",
    "sleep": "import time; time.sleep(0)",
    "thread": "import threading; threading.Thread(target=print).start()",
    "open": "open('/etc/hostname')",
    "socket": "import socket; socket.socket()",
    "subprocess": "import subprocess; subprocess.Popen(['true'])",
    "executor": "import asyncio; asyncio.get_running_loop().run_in_executor(None, print)",
    "connection": "import asyncio; asyncio.get_running_loop().create_connection(print)",
}


@workflow
async def reaches_out(kind: str) -> str:
    """Do what workflow code must not do."""
    namespace: dict[str, object] = {}
    try:
        exec(GUARDED[kind], namespace)  # noqa: S102  # a table of ways to reach out
    except NotDeterministic as error:
        return error.advice
    return "nobody noticed"


@pytest.mark.parametrize("kind", GUARDED)
async def test_workflow_code_that_reaches_out_is_told(engine: Engine, kind: str) -> None:
    assert "step" in await engine.run(reaches_out(kind)) or kind == "sleep"
    assert await engine.run(reaches_out(kind)) != "nobody noticed"


def test_what_opens_a_file_when_the_interpreter_ends_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "early.py").write_text("""
import sys

class Late:
    def __del__(self, open=open):
        open("/dev/null").close()

late = Late()
""")
    (tmp_path / "program.py").write_text("""
import early, sys
import asyncio
from outlast import Engine
from outlast._execution.loop import guards
sys.alive = early, guards  # so modules are emptied one after the other, the later ones first

async def main():
    async with Engine.open("memory://ends"):
        pass

asyncio.run(main())
""")

    done = subprocess.run(
        [sys.executable, "program.py"], cwd=tmp_path, capture_output=True, text=True, check=True
    )

    assert done.stderr == ""
