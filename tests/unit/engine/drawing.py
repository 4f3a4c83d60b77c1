"""Programs whose runs are forked and retried, and counts of what they did."""

from __future__ import annotations

import asyncio

from outlast import (
    Engine,
    Retry,
    Run,
    Signal,
    Stream,
    TokenInfo,
    Value,
    step,
    wf,
    workflow,
)

calls: list[str] = []
broken: set[str] = set()
spoken = Stream("forks_spoken", str)
mark = Value("forks_mark", str)
word = Signal("forks_word", str)


@step
async def draw(name: str) -> str:
    """Note each call; fail while it is broken."""
    calls.append(name)
    await spoken.write(f"{name}!")
    if name in broken:
        raise ValueError(f"{name} is broken")
    return f"{name}{calls.count(name)}"


@step(once="at_most")
async def draw_once(name: str) -> str:
    """Fail while it is broken, at most once."""
    calls.append(name)
    if name in broken:
        raise ValueError(f"{name} is broken")
    return name


@step(retry=Retry(attempts=2, first="1ms", then="park"))
async def draw_or_park(name: str) -> str:
    """Fail while it is broken, then need a person."""
    calls.append(name)
    if name in broken:
        raise ValueError(f"{name} is broken")
    return name


@step
async def big(size: int) -> str:
    """Return something that is kept apart."""
    calls.append("big")
    return "x" * size


@workflow
async def three(first: str = "a", last: str = "c") -> list[str]:
    """Three steps, with a value and a stream between."""
    out = [await draw(first)]
    mark.set(f"after {first}")
    out.append(await draw("b"))
    mark.set("after b")
    out.append(await draw(last))
    return out


@workflow
async def catches_then_fails() -> str:
    """An error that is caught is not what the run fails of."""
    try:
        await draw("caught")
    except ValueError:
        await draw("between")
    return await draw("fatal")


@workflow
async def child_of_fork(name: str) -> str:
    """One step."""
    return await draw(name)


@workflow
async def parent_of_fork() -> list[str]:
    """A child before the point, and one behind it."""
    return [await child_of_fork("x"), await draw("mid"), await child_of_fork("y")]


@workflow
async def hears() -> list[str]:
    """Fail after something was heard, or before."""
    first = await draw("a")
    return [first, await draw("b"), await word.receive()]


@workflow
async def asks_first() -> list[object]:
    """An approval, then a step."""
    said = await wf.approve("May I?")
    return [said.by, await draw("done")]


@workflow
async def raises() -> str:
    """Raise in the workflow's own code."""
    name = await draw("a")
    if "code" in broken:
        raise RuntimeError("a mistake")
    return name


async def keys_of(run: Run[list[str]]) -> list[str]:
    """Return the keys of its steps, in order."""
    return [r.key async for r in run.journal() if r.kind == "step_done"]


async def asked(engine: Engine, count: int = 1) -> list[TokenInfo]:
    """Return what waits for an answer, when there is so much."""
    async with asyncio.timeout(30):
        while True:
            infos = [info async for info in engine.tokens()]
            if len(infos) == count:
                return infos
            await asyncio.sleep(0.005)


async def result_of(run: Run[list[str]]) -> list[str]:
    return await run.result("30s")
