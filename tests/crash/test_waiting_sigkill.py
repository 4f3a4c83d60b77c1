"""What only waits is not to blame for the deaths of its process, whatever it waits for."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

PROGRAM = """
import asyncio, sys
from dataclasses import dataclass
from outlast import Actor, Engine, Signal, Update, actor, handler, wf, workflow

go = Signal("go", int)
amend = Update("amend", int, int)

@dataclass
class Nothing:
    n: int = 0

@actor
class Slow(Actor[Nothing]):
    @handler
    async def work(self) -> int:
        await wf.sleep(3600)
        return 1

    @handler
    async def asks(self) -> int:
        return await wf.actor(Slow, "inner").ask(Slow.work)

@workflow
async def on_signal() -> int:
    return await go.receive()

@workflow
async def on_ask() -> int:
    return await wf.actor(Slow, "a").ask(Slow.work)

@workflow
async def on_nested_ask() -> int:
    return await wf.actor(Slow, "outer").ask(Slow.asks)

@workflow
async def on_stranger() -> object:
    return await wf.get("on_signal").result()

@workflow
async def amended() -> int:
    heard = []
    @amend.handler
    async def on_amend(n: int) -> int:
        await go.receive()
        heard.append(n)
        return n
    await wf.until(lambda: heard)
    return 1

@workflow
async def on_update() -> int:
    return await wf.get("amended").update(amend, 1)

@workflow
async def on_child() -> int:
    return await on_signal()

@workflow
async def on_approval() -> bool:
    return (await wf.approve("ok?")).approved

FLOWS = (on_signal, on_ask, on_nested_ask, on_stranger, amended, on_update, on_child, on_approval)

async def main() -> None:
    async with Engine.open(sys.argv[1]) as engine:
        for flow in FLOWS:
            await engine.start(flow(), id=flow.fn.__name__)
        async with asyncio.timeout(30):
            for flow in FLOWS:
                run = engine.get(flow.fn.__name__)
                while not (await run.why()).startswith("waiting for") or (
                    await run.info()
                ).status not in ("waiting", "running"):
                    await asyncio.sleep(0.01)
        statuses = {i.id: i.status async for i in engine.runs("status:parked")}
        print(statuses, flush=True)
        if sys.argv[2] == "kill":
            await asyncio.sleep(60)
        async with asyncio.timeout(30):
            while waiting := [
                i.id async for i in engine.runs() if i.id in names and i.status != "waiting"
            ]:
                await asyncio.sleep(0.05)
        print([await engine.get(n).why() for n in ("on_ask", "on_stranger", "on_update")])

names = [flow.fn.__name__ for flow in FLOWS]
asyncio.run(main())
"""


def test_runs_that_wait_are_waiting_and_never_parked_by_kills(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    arguments = [sys.executable, str(program), str(tmp_path / "o.db")]
    for _ in range(8):
        with subprocess.Popen([*arguments, "kill"], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            line = process.stdout.readline().strip()
            process.send_signal(signal.SIGKILL)
        assert line == "{}"

    done = subprocess.run(
        [*arguments, "look"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == str(
        [
            "waiting for the answer of actor program.Slow/a to 'work'",
            "waiting for the end of run on_signal",
            "waiting for update 'amend' of run amended",
        ]
    )
