"""Who asks a provider: what a request's step knows of the run whose code has asked for it."""

from __future__ import annotations

import json
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal

from outlast._engine.providers.queue import Asking
from outlast._execution.run_context import current_context
from outlast._shapes import is_dict

RequestPriority = Literal["interactive", "batch"]


@dataclass(frozen=True, slots=True)
class Asker:
    """The run that asks: when, in its logical time, and the JSON of its attributes."""

    run: str
    at: float
    attributes: str
    is_actor: bool

    def asking(self, fair_by: str | None, priority: RequestPriority | None) -> Asking:
        """Return who asks, as queues take it."""
        is_interactive = self.is_actor if priority is None else priority == "interactive"
        return Asking(self._tenant(fair_by), self.at, is_interactive)

    def _tenant(self, fair_by: str | None) -> str:
        if fair_by is None:
            return ""
        attributes: object = json.loads(self.attributes)
        found = attributes.get(fair_by) if is_dict(attributes) else None
        if found is None:
            return f"actor {self.run}" if self.is_actor else ""
        return f"{fair_by} {found}"


asker: ContextVar[Asker | None] = ContextVar("outlast_asker", default=None)
"""The run that asks, in the step of a request to a model."""


def asker_here() -> Asker:
    """Return the run whose code asks for a request to a model."""
    context = current_context()
    return Asker(context.id, context.now, context.outputs.attributes, context.actor is not None)


def asker_of_step(run: str, now: float) -> Asker:
    """Return who asks in the body of a step that the run's code knows as something else."""
    return Asker(run, now, "{}", is_actor=False)
