"""`agent.override(...)` around the start of a run: the run would not see it, so it is refused.

A run has a context of its own, in this process or in another one. Inside of the workflow, around
`agent.run(...)`, an override works, and is repeated on replay.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TypeGuard
from weakref import WeakValueDictionary

from outlast._handles.call import start_checks
from outlast.errors import UsageError

_PREFIX = "_override_"
_agents: WeakValueDictionary[int, object] = WeakValueDictionary()  # an agent has no hash


def refuse_overrides_of(agent: object) -> None:
    """From now on refuse to start a run where this agent is overridden."""
    _agents[id(agent)] = agent
    if check not in start_checks:
        start_checks.append(check)


def check() -> None:
    """Refuse a start where an agent is overridden.

    pydantic-ai does not tell; it keeps what is overridden in variables of the context.

    Raises:
        UsageError: one is.
    """
    for agent in list(_agents.values()):
        found = [
            name.removeprefix(_PREFIX)
            for name, variable in vars(agent).items()
            if name.startswith(_PREFIX) and _is_variable(variable) and variable.get(None)
        ]
        if found:
            name = getattr(agent, "name", None)
            raise UsageError(
                f"agent {name!r} is overridden here ({', '.join(sorted(found))}), but the run that "
                f"starts has a context of its own and would use the agent as it is defined: use "
                f"agent.override(...) inside of the workflow, with a model of Durability(models=)"
            )


def _is_variable(value: object) -> TypeGuard[ContextVar[object]]:
    return isinstance(value, ContextVar)
