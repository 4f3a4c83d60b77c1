"""Models to test agents with, for pydantic-ai: the names are in `outlast.testing`."""

from __future__ import annotations

from importlib.util import find_spec

from outlast.errors import UsageError

if find_spec("pydantic_ai") is None:
    raise UsageError(
        "the models of outlast.testing need pydantic-ai: pip install 'outlast[agents]'"
    )

from outlast.agents.substitutes import replace_models
from outlast.testing.models.counting import assert_exactly_once
from outlast.testing.models.forks import AgentDiff, ForkedRun, fork
from outlast.testing.models.outcomes import AgentOutcome
from outlast.testing.models.recorded import replay_model
from outlast.testing.models.recordings import RecordedResponse, Recording, record
from outlast.testing.models.scripted import ScriptedModel
from outlast.testing.models.turns import (
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
    ToolCall,
    ToolResult,
    Turn,
    TurnFunction,
)

__all__ = [
    "AgentDiff",
    "AgentOutcome",
    "Answer",
    "Asked",
    "Calls",
    "ContextOverflow",
    "Cut",
    "Fails",
    "Fault",
    "ForkedRun",
    "Malformed",
    "RecordedResponse",
    "Recording",
    "Refuses",
    "Says",
    "ScriptedModel",
    "ToolCall",
    "ToolResult",
    "Turn",
    "TurnFunction",
    "assert_exactly_once",
    "fork",
    "record",
    "replace_models",
    "replay_model",
]
