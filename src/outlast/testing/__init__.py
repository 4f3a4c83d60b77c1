"""Testing workflows: simulated time, crashes at every record, replay of old journals."""

from __future__ import annotations

from outlast.testing.replaying import crash_everywhere, replay
from outlast.testing.sim import Sim
from outlast.testing.steps import StepRecord, step_context

__all__ = ["Sim", "StepRecord", "crash_everywhere", "replay", "step_context"]
