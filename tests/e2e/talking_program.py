"""The agent that browsers talk to in `test_dashboard_conversation.py`."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from pathlib import Path

from pydantic_ai import Agent
from typing_extensions import override

from outlast.agents import AgentActor, Durability, budget, effect
from outlast.testing import Asked, Calls, Says, ScriptedModel

COUNTED = Path(os.environ.get("OUTLAST_TEST_COUNTED", "counted"))


def script(asked: Asked) -> Says | Calls:
    """Look a parcel up first, then speak, `slowly` if that is wanted; each request is counted."""
    with COUNTED.open("a") as file:
        file.write(f"{asked.input_tokens}\n")
    if not asked.results and "parcel" in asked.prompt:
        return Calls(("track", {"parcel": "A-17", "carrier": "Nord"}))
    speed = 2 if "slowly" in asked.prompt else 200
    words = f"You said “{asked.prompt}”. Your parcel left Oslo this morning and is on its way."
    return Says(words, tokens_per_second=speed)


support = Agent(
    ScriptedModel(script, name="scripted-1"),
    name="support",
    deps_type=type(None),
    capabilities=[Durability(stream=True)],
)


@support.tool_plain
@effect("pure")
async def track(parcel: str, carrier: str) -> dict[str, str]:
    """Find a parcel."""
    return {"parcel": parcel, "carrier": carrier, "place": "Oslo"}


class Support(AgentActor[None, str], name="Support"):
    """Helps customers."""

    agent = support

    @override
    def budget(self) -> AbstractContextManager[object]:
        """Limit all of them together."""
        return budget(scope="tenant:acme", tokens=200_000)
