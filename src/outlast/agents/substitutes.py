"""Other models in the place of an agent's own, in runs that a test has named (`testing.fork`).

They are known to this process alone: in another one the agent's own model goes on with the run.
"""

from __future__ import annotations

from collections.abc import Callable

from pydantic_ai.models import Model

from outlast._execution.bodies.context import executing_step

_substitutes: dict[tuple[str, str], Callable[[Model], Model]] = {}


def substitute(run: str, agent: str, replace: Callable[[Model], Model]) -> None:
    """From now on have `replace` say which model serves the requests of an agent in a run."""
    _substitutes[run, agent] = replace


def serving_model(agent: str, model: Model) -> Model | None:
    """Return the model that serves a request of an agent here instead of `model`, None without."""
    step = executing_step.get()
    if step is None:
        return None
    replace = _substitutes.get((step.context.run_id, agent))
    return None if replace is None else replace(model)
