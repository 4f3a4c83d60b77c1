"""What the killed servers of `test_conversations_sigkill.py` run: an agent that one can talk to.

The provider counts outside of the product: each request, and each effect of the tool, is a line of
a file beside the database.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from pydantic_ai import Agent

from outlast.agents import AgentActor, Durability, effect, idempotency_key
from outlast.testing import Asked, Calls, Says, ScriptedModel

WORDS = 12
COUNTED = Path(os.environ.get("OUTLAST_TEST_COUNTED", "counted"))


def _count(line: str) -> None:
    with COUNTED.open("a") as file:
        file.write(f"{line}\n")


def script(asked: Asked) -> Says | Calls:
    """Give a present first, then say some words about the last text."""
    _count(f"request {asked.prompt}")
    if not asked.results and asked.prompt.startswith("gift"):
        return Calls(("give", {"name": asked.prompt}))
    words = " ".join(f"{asked.prompt}.{number}" for number in range(WORDS))
    return Says(words, tokens_per_second=100)


host: Agent[None, str] = Agent(
    ScriptedModel(script), name="host", capabilities=[Durability(stream=True)]
)


def key_of(name: str) -> str:
    """Return the key under which a present is given once."""
    return f"gift:{name}"


@host.tool_plain
@effect(idempotent=key_of)
async def give(name: str) -> str:
    """Give a present, once under its key."""
    _count(f"gift {name} under {idempotency_key()}")
    await asyncio.sleep(0.02)
    return "given"


class Host(AgentActor[None, str], name="Host"):
    """Talks to its guests."""

    agent = host
