"""An agent of a shop: what `test_dashboard_agents.py` and the pictures of the docs show."""

from __future__ import annotations

import asyncio
from contextlib import AbstractContextManager

from pydantic_ai import Agent, RunContext
from typing_extensions import override

from outlast import handler
from outlast._actors.actor import running_actor
from outlast.agents import (
    AgentActor,
    Durability,
    Price,
    TurnUsage,
    budget,
    effect,
    requires_approval,
    set_prices,
)
from outlast.agents.conversations.entries import Log
from outlast.testing import Asked, Calls, Says, ScriptedModel

set_prices({"atlas-large": Price(input=30, output=150), "atlas-mini": Price(input=1, output=6)})

RULES = "You help the customers of a shop. Look up what you say, and ask before you pay. " * 30

FOUND = """\
I found it. **Order 1042** has two parcels:

| parcel | carrier | where it is |
|---|---|---|
| A-17 | Nord | out for delivery in Oslo |
| A-18 | Nord | lost between Hamar and Oslo |

A-17 comes today before 18:00. For A-18 I can

- send the lamp again, which takes three days, or
- pay back the **$49.00** that it cost.
"""
PAID = """\
Done: $49.00 are on their way to the card that ends in `4242`. It takes two to three days."""
LONG_ORDER = ", ".join(f"P-{number}" for number in range(100, 140))
SENT = "The lamp is sent again: parcel A-21 arrives on Friday."


def script(asked: Asked) -> Says | Calls:
    """Look the order up, pay back what is lost, and otherwise repeat what was said."""
    done = [result.name for result in asked.results]
    if "order 1042" in asked.prompt:
        return Says(FOUND) if "track" in done else Calls(("track", {"order": "1042"}))
    if "pay" in asked.prompt:
        order = LONG_ORDER if "all" in asked.prompt else "1042"
        refund = ("refund", {"order": order, "cents": 4_900})
        return Says(PAID) if "refund" in done else Calls(refund)
    if "again" in asked.prompt:
        return Says(SENT) if "send" in done else Calls(("send", {"order": "1042"}))
    if "slowly" in asked.prompt:
        words = "I look it up, and tell you word by word what I find about it."
        slow = Says(words, tokens_per_second=2)
        return slow if "track" in done else Calls(("track", {"order": "7"}))
    return Says(f"You said “{asked.prompt}”.")


support = Agent(
    ScriptedModel(script, name="atlas-large"),
    name="support",
    deps_type=type(None),
    instructions=RULES,
    model_settings={"max_tokens": 300},
    capabilities=[
        Durability(stream=True, models={"mini": ScriptedModel(script, name="atlas-mini")})
    ],
)


@support.tool_plain
@effect("pure")
async def track(order: str) -> list[dict[str, str]]:
    """Find the parcels of an order."""
    await asyncio.sleep(0.4)
    return [
        {"parcel": "A-17", "carrier": "Nord", "status": "out for delivery", "place": "Oslo"},
        {"parcel": "A-18", "carrier": "Nord", "status": "lost", "place": "Hamar"},
    ]


@support.tool_plain
@effect("pure")
async def send(order: str) -> str:
    """Send what was lost again."""
    return "A-21"


@support.tool
@effect("pure")
@requires_approval()
async def refund(ctx: RunContext[None], order: str, cents: int) -> dict[str, object]:
    """Pay money back."""
    return {"receipt": "R-1042", "cents": cents}


class Support(AgentActor[None, str], name="Support"):
    """Helps the customers of a shop."""

    agent = support

    @override
    def budget(self) -> AbstractContextManager[object]:
        return budget(scope=f"customer:{self.key}", usd="0.50")

    @handler
    async def fill(self, turns: int) -> None:
        """Add turns that were said long ago."""
        log = Log(running_actor())
        for number in range(self.state.turns + 1, self.state.turns + turns + 1):
            log.add("user", number, text=f"Question {number}?\n" + "Why? " * (number % 40))
            log.add("ended", number, outcome="completed", usage=TurnUsage(1, 10, 5))
        self.state.turns += turns
        self.state.entries, self.state.events = log.ends()
