"""Agents of pydantic-ai that outlast the process: what `from outlast.agents import …` gives.

support = Agent("openai:gpt-5", name="support", capabilities=[Durability()])

@workflow
async def answer(question: str) -> str:
    return (await support.run(question)).output
"""

from __future__ import annotations

from importlib.util import find_spec

from outlast.errors import UsageError

if find_spec("pydantic_ai") is None:
    raise UsageError("outlast.agents needs pydantic-ai: pip install 'outlast[agents]'")
if find_spec("pydantic_ai.external_events") is None:
    raise UsageError(
        "outlast.agents needs pydantic-ai 2.68 or later: pip install -U 'outlast[agents]'"
    )

from outlast.agents.budgets.prices import Price, set_prices
from outlast.agents.budgets.reading import BudgetInfo, budget_info, budget_infos
from outlast.agents.budgets.spending import Budget, Remaining, Spent, budget
from outlast.agents.conversations.agent_actor import AgentActor, ConversationState
from outlast.agents.conversations.compaction import Conversation, Summarise
from outlast.agents.conversations.entries import (
    Attachment,
    Entry,
    Question,
    TurnUsage,
    conversation_entries,
)
from outlast.agents.conversations.forking import ForkedFrom
from outlast.agents.conversations.observing import Observed
from outlast.agents.durability import Durability
from outlast.agents.events import agent_events
from outlast.agents.steps import StepConfig, StepConfigs
from outlast.agents.tools.approvals import requires_approval
from outlast.agents.tools.background import background
from outlast.agents.tools.cut_off import ToolOutcome
from outlast.agents.tools.effects import Effect, effect, idempotency_key
from outlast.agents.web.protocols import register_protocols

__all__ = [
    "AgentActor",
    "Attachment",
    "Budget",
    "BudgetInfo",
    "Conversation",
    "ConversationState",
    "Durability",
    "Effect",
    "Entry",
    "ForkedFrom",
    "Observed",
    "Price",
    "Question",
    "Remaining",
    "Spent",
    "StepConfig",
    "StepConfigs",
    "Summarise",
    "ToolOutcome",
    "TurnUsage",
    "agent_events",
    "background",
    "budget",
    "budget_info",
    "budget_infos",
    "conversation_entries",
    "effect",
    "idempotency_key",
    "requires_approval",
    "set_prices",
]

register_protocols()
