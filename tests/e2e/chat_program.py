"""The agent that `test_cli_agents.py` chats with: its tool must be approved."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic_ai import Agent, RunContext

from outlast.agents import AgentActor, Durability, effect, requires_approval
from outlast.testing import Asked, Calls, Says, ScriptedModel


def script(asked: Asked) -> Says | Calls:
    """Call the tool for `refund A and B`, else repeat what was said, `slowly` if that is wanted."""
    if not asked.results and asked.prompt.startswith("refund"):
        orders = asked.prompt.removeprefix("refund ").split(" and ")
        return Calls(*(("refund", {"order": order}) for order in orders))
    speed = 5 if "slowly" in asked.prompt else 500
    results = " ".join(f"{result.content}" for result in asked.results)
    return Says(f"You said {asked.prompt} {results} and this is my answer", tokens_per_second=speed)


support = Agent(
    ScriptedModel(script),
    name="support",
    deps_type=type(None),
    capabilities=[Durability(stream=True)],
)


@support.tool
@effect("pure")
@requires_approval()
async def refund(ctx: RunContext[None], order: str) -> str:
    """Refund an order."""
    del ctx
    return f"refunded {order}"


class Support(AgentActor[None, str]):
    """Helps."""

    agent = support


@dataclass
class Verdict:
    """A structured answer."""

    text: str
    score: int


judge = Agent(
    ScriptedModel(lambda asked: Calls(("final_result", {"text": asked.prompt, "score": 7}))),
    name="judge",
    deps_type=type(None),
    output_type=Verdict,
    capabilities=[Durability()],
)


class Judge(AgentActor[None, Verdict]):
    """Answers with data."""

    agent = judge
