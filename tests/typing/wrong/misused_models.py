"""Mistakes with models to test with, each of which both checkers must refuse."""

from __future__ import annotations

from outlast import Engine, workflow
from outlast.testing import Asked, Calls, Fails, Malformed, ScriptedModel, fork


def forgets(asked: Asked) -> int:
    return asked.turn


ScriptedModel([None])  # WRONG
ScriptedModel([forgets])  # WRONG
ScriptedModel(forgets)  # WRONG
Calls("refund", {"order": "A"})  # WRONG
Fails("429")  # WRONG
Malformed("refund", {"order": "A"})  # WRONG


@workflow
async def answer(question: str) -> str:
    return question


async def main(engine: Engine) -> None:
    run = await engine.start(answer("x"))
    await fork(run)  # WRONG
    await fork(run, at="support")  # WRONG
