"""The public names as type checkers see them; `__init__.py` imports models when they are used."""

from __future__ import annotations

from outlast.testing.models import (
    Answer,
    Asked,
    Calls,
    ContextOverflow,
    Cut,
    Fails,
    Fault,
    Malformed,
    Refuses,
    Says,
    ScriptedModel,
    ToolCall,
    ToolResult,
    Turn,
    TurnFunction,
)
from outlast.testing.replaying import crash_everywhere, replay
from outlast.testing.sim import Sim
from outlast.testing.steps import StepRecord, step_context

__all__ = [
    "Answer",
    "Asked",
    "Calls",
    "ContextOverflow",
    "Cut",
    "Fails",
    "Fault",
    "Malformed",
    "Refuses",
    "Says",
    "ScriptedModel",
    "Sim",
    "StepRecord",
    "ToolCall",
    "ToolResult",
    "Turn",
    "TurnFunction",
    "crash_everywhere",
    "replay",
    "step_context",
]
