"""Testing workflows: simulated time, crashes at every record, replay of old journals."""

from __future__ import annotations

from outlast.testing.replaying import crash_everywhere, replay
from outlast.testing.sim import Sim

__all__ = ["Sim", "crash_everywhere", "replay"]
