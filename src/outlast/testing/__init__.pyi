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
    RecordedResponse,
    Recording,
    Refuses,
    Says,
    ScriptedModel,
    ToolCall,
    ToolResult,
    Turn,
    TurnFunction,
    assert_exactly_once,
    record,
    replay_model,
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
    "RecordedResponse",
    "Recording",
    "Refuses",
    "Says",
    "ScriptedModel",
    "Sim",
    "StepRecord",
    "ToolCall",
    "ToolResult",
    "Turn",
    "TurnFunction",
    "assert_exactly_once",
    "crash_everywhere",
    "record",
    "replay",
    "replay_model",
    "step_context",
]
