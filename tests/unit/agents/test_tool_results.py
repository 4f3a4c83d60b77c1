"""What tools take and return, as the journal keeps it and the model is told."""

from __future__ import annotations

import pytest
from pydantic_ai import Agent

from outlast import Engine, workflow
from outlast.agents import Durability, effect
from outlast.testing import Asked, Calls, ScriptedModel, Turn


def told(asked: Asked) -> str:
    return " ".join(result.content for result in asked.results)


@effect("pure")
async def doubled(data: bytes) -> list[bytes]:
    return [data, bytes(range(256))]


def agent_with_bytes(name: str, *, stream: bool) -> Agent[None, str]:
    script: list[Turn] = [Calls(("doubled", {"data": "aé"})), told]
    made = Agent(ScriptedModel(script), name=name, capabilities=[Durability(stream=stream)])
    made.tool_plain(doubled)
    return made


AGENTS = {
    False: agent_with_bytes("plain", stream=False),
    True: agent_with_bytes("streaming", stream=True),
}


@workflow
async def ask_for_bytes(stream: bool) -> str:
    return (await AGENTS[stream].run("Go.")).output


@pytest.mark.parametrize("stream", [False, True])
async def test_bytes_that_are_no_text_are_stored_without_a_warning(
    engine: Engine, stream: bool
) -> None:
    said = await (await engine.start(ask_for_bytes(stream))).result()  # a warning would fail it
    assert said.startswith('["YcOp","AAECAwQF')
