"""Other models in the place of an agent's own: in one run (`testing.fork`), or in all for a while.

They are known to this process alone: in another one the agent's own model goes on with the run.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager

from pydantic_ai.models import Model

from outlast._execution.bodies.context import executing_step

_substitutes: dict[tuple[str, str], Callable[[Model], Model]] = {}
_replaced: dict[str, Model] = {}  # by the name of the agent


def substitute(run: str, agent: str, replace: Callable[[Model], Model]) -> None:
    """From now on have `replace` say which model serves the requests of an agent in a run."""
    _substitutes[run, agent] = replace


@contextmanager
def replace_models(models: Mapping[str, Model]) -> Generator[None]:
    """Have other models serve the requests of agents in all runs of this process meanwhile.

    For tests of workflows whose agents are defined elsewhere:
    `with replace_models({"support": ScriptedModel([...])}): ...`. Runs in other processes, and
    agents outside of runs, keep their models.

    Args:
        models: by the names of the agents, as in `Durability(name=)` or `Agent(name=)`.
    """
    before = dict(_replaced)
    _replaced.update(models)
    try:
        yield
    finally:
        _replaced.clear()
        _replaced.update(before)


def serving_model(agent: str, model: Model) -> Model | None:
    """Return the model that serves a request of an agent here instead of `model`, None without."""
    step = executing_step.get()
    if step is None:
        return None
    model = _replaced.get(agent, model)
    replace = _substitutes.get((step.context.run_id, agent))
    if replace is not None:
        return replace(model)
    return _replaced.get(agent)
