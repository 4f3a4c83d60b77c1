"""Whether a signal sent by its plain name is one that the run's code can receive.

Signals are declared for a whole program, not for one workflow. So a name is checked against what
this process has declared, and only where this process has the code of the run's workflow: an engine
that only stores verbs knows no names and refuses none.
"""

from __future__ import annotations

from difflib import get_close_matches

from outlast._engine.scheduling.scheduler import Scheduler
from outlast._messages.payloads import fitting_payload, json_payload
from outlast._registry import Registry
from outlast.errors import EncodingError, UnknownSignal
from outlast.types import CLOSED_STATUSES, RunId

_SHOWN_MAX = 10


async def check_signal_name(scheduler: Scheduler, run: RunId, name: str) -> None:
    """Refuse a signal under a name that the code of this run does not declare.

    A run that does not exist or has ended is left to the sending itself, which refuses it.

    Raises:
        UnknownSignal: nothing was sent.
    """
    registry = scheduler.registry
    if name in registry.signals:
        return
    live = scheduler.residents.get(run)
    row = live.row if live is not None else await scheduler.store.read_run(run)
    if row is None or row.status in CLOSED_STATUSES:
        return
    if row.workflow in registry.workflows or row.workflow in registry.actors:
        raise unknown_signal(registry, row.workflow, name)


def unknown_signal(registry: Registry, workflow: str, name: str) -> UnknownSignal:
    """Return the error for a signal's name that is not declared, with the nearest one that is."""
    known = sorted(registry.signals)
    nearest = next(iter(get_close_matches(name, known, 1)), "")
    return UnknownSignal(name, workflow, nearest=nearest, declared=tuple(known[:_SHOWN_MAX]))


def payload_by_name(registry: Registry, name: str, value: object) -> bytes:
    """Return the payload of a signal that is sent by its plain name.

    Raises:
        EncodingError, DecodingError: `value` does not fit.
    """
    definition = registry.signals.get(name)
    known = definition.adapter if definition is not None else None
    if known is None:
        try:
            return json_payload(value)
        except (TypeError, ValueError) as error:
            raise EncodingError("$", f"a signal sent by its plain name is JSON: {error}") from error
    return fitting_payload(known, value)
