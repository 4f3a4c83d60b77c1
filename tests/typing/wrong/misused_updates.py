"""Mistakes with updates, each of which both checkers must refuse."""

from __future__ import annotations

from outlast import Engine, Update, wf, workflow
from outlast.client import Client

length = Update("wrong.length", str, int)


@workflow
async def counts() -> int:
    """Handle what comes."""
    seen: list[str] = []

    @length.handler  # WRONG
    async def count(text: int) -> int:
        return text

    @length.handler  # WRONG
    async def measure(text: str) -> str:
        return text

    @length.handler  # WRONG
    def measure_at_once(text: str) -> str:
        return text

    @length.handler(on_close="never")  # WRONG
    def late(text: str) -> int:
        return len(text)

    @length.validator  # WRONG
    async def look(text: str) -> None:
        seen.append(text)

    @length.validator  # WRONG
    def other(text: bytes) -> None:
        seen.append(str(text))

    await wf.until(lambda: seen)
    return len(seen)


async def main() -> None:
    """Use an engine, and a server."""
    async with Engine.open("memory://types") as engine:
        run = await engine.start(counts())
        await run.update(length, 7)  # WRONG
        wrong: str = await run.update(length, "seven")  # WRONG
        await run.update(length, "seven", id=7)  # WRONG
    async with Client(wrong) as client:
        await client.get("x").update(length, 7)  # WRONG
