"""Testing workflows: simulated time, crashes at every record, replay of old journals.

And agents: models of typed turns or of what was recorded, and what journals say of their tools.
Those names need pydantic-ai, so each is imported when it is first asked for; `__init__.pyi`
declares them for type checkers.
"""

from __future__ import annotations

from importlib import import_module

from outlast.testing.replaying import crash_everywhere as crash_everywhere
from outlast.testing.replaying import replay as replay
from outlast.testing.sim import Sim as Sim
from outlast.testing.steps import StepRecord as StepRecord
from outlast.testing.steps import step_context as step_context

_OF_MODELS = (
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
)

# What a star imports: not the models, since that would need pydantic-ai. Type checkers read the
# list of `__init__.pyi`.
globals().update(__all__=["Sim", "StepRecord", "crash_everywhere", "replay", "step_context"])


def __getattr__(name: str) -> object:
    if name not in _OF_MODELS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module("outlast.testing.models"), name)
    globals()[name] = value  # asked for once
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_OF_MODELS})
