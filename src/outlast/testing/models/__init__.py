"""Models to test agents with, for pydantic-ai: the names are in `outlast.testing`."""

from __future__ import annotations

from importlib.util import find_spec

from outlast.errors import UsageError

if find_spec("pydantic_ai") is None:
    raise UsageError(
        "the models of outlast.testing need pydantic-ai: pip install 'outlast[agents]'"
    )

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
    "ToolCall",
    "ToolResult",
    "Turn",
    "TurnFunction",
]
