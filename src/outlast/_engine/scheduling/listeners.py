"""Who hears of what the scheduler does: one listener for each fact, set while the engine is built.

Some are asked rather than told (`on_letter`, `start_of_actor`). Until somebody listens, nothing
happens.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from outlast._execution.actors.actor_run import LiveActor
from outlast._execution.runs.run import LiveRun
from outlast._records import Record
from outlast._store.contract import Message, RunRow, StartRun
from outlast.errors import StoreDamaged
from outlast.types import RunId


def ignore(_: object) -> None:
    """Until somebody listens."""


def idle() -> None:
    """Until somebody listens."""


def _ignore_end(_: RunId, __: RunRow | None) -> None:
    """Until somebody listens."""


def _ignore_start(_: RunRow, __: list[Record]) -> None:
    """Until somebody listens."""


def _ignore_answer(_: Message, __: bytes) -> None:
    """Until somebody listens."""


def _ignore_damage(_: RunId, __: StoreDamaged) -> None:
    """Until somebody listens."""


def _declines(_: Message) -> bool:
    return False


def _no_start(_: RunId) -> None:
    return None


@dataclass(slots=True)
class Listeners:
    """What the parts of one engine have asked the scheduler to be told of."""

    on_changed: Callable[[LiveRun], None] = ignore
    on_closed: Callable[[RunId, RunRow | None], None] = _ignore_end  # the row, if it is known
    on_parked: Callable[[RunId], None] = ignore
    on_stays_parked: Callable[[RunId], None] = ignore  # it has mail, and does not go on for that
    on_stream: Callable[[RunId], None] = ignore
    on_passivated: Callable[[RunRow], None] = ignore
    on_gone: Callable[[RunId], None] = ignore
    on_mail: Callable[[RunId], None] = ignore
    on_lease_lost: Callable[[int], None] = ignore
    on_dormant: Callable[[RunRow, list[Record]], None] = _ignore_start
    on_answered: Callable[[Message, bytes], None] = _ignore_answer
    on_updated: Callable[[Message, bytes], None] = _ignore_answer
    on_adopted: Callable[[RunId], None] = ignore
    on_rested: Callable[[LiveActor], None] = ignore
    on_stopped: Callable[[RunRow], None] = ignore
    on_damaged: Callable[[RunId, StoreDamaged], None] = _ignore_damage
    on_letter: Callable[[Message], bool] = _declines
    on_created: Callable[[RunRow], None] = ignore
    start_of_actor: Callable[[RunId], StartRun | None] = _no_start
