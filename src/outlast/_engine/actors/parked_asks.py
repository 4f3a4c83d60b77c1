"""Asks of parked actors: no answer can come until a person, or other code, lets them go on.

A program that asks without a timeout is told. What a supervisor wants of a parked member is done
when it is safe in the member's mailbox: the member does nothing, and obeys before all else when it
goes on. Workflows go on waiting: a parked actor parks no run.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from outlast._engine.scheduling.scheduler import Scheduler
from outlast._messages.actor_ids import SUPERVISORS
from outlast._messages.envelopes import Envelope
from outlast._records import VALUE
from outlast.errors import ActorParked, EncodingError, UsageError
from outlast.types import Applied, RunId


@dataclass(slots=True)
class _Asked:
    envelope: Envelope
    has_tried: bool = False  # to let the actor go on, for code that may fit it now


class ParkedAsks:
    """The pending answers that are settled when their actor is parked."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._asked: dict[RunId, dict[asyncio.Future[bytes], _Asked]] = {}

    def expect(self, answer: asyncio.Future[bytes], envelope: Envelope) -> None:
        """Settle this answer when its actor is found parked."""
        actor = envelope.actor
        self._asked.setdefault(actor, {})[answer] = _Asked(envelope)

        def forget(answer: asyncio.Future[bytes]) -> None:
            answers = self._asked[actor]
            del answers[answer]
            if not answers:
                del self._asked[actor]

        answer.add_done_callback(forget)

    def look(self, actor: RunId) -> None:
        """An actor was parked, or has mail while it is: settle the answers that are waited for."""
        if actor in self._asked:
            self._scheduler.world.spawn(self._settle(actor), name=f"parked {actor}")

    async def _settle(self, actor: RunId) -> None:
        row = await self._scheduler.store.read_run(actor)
        if row is None or row.status != "parked" or actor in self._scheduler.residents:
            return
        untried = [one for one in self._asked.get(actor, {}).values() if not one.has_tried]
        for one in untried:
            one.has_tried = True
        if untried and await self._scheduler.parts.inactive_runs.may_go_on(row):
            return  # if it is parked again, we hear of it
        for answer, asked in list(self._asked.get(actor, {}).items()):
            if answer.done():
                continue
            if is_from_supervisor(asked.envelope):
                answer.set_result(_done_at_once(asked.envelope))
            else:
                answer.set_exception(ActorParked(actor, row.waiting_for))

    async def because(self, actor: RunId) -> str:
        """Return what to add where an answer did not come in time: why the actor is parked."""
        row = await self._scheduler.store.read_run(actor)
        return "" if row is None or row.status != "parked" else f": it is parked, {row.waiting_for}"


def is_from_supervisor(envelope: Envelope) -> bool:
    """Whether a message is what a supervisor wants of a member."""
    return envelope.sender.startswith(f"{SUPERVISORS}/")


def _done_at_once(envelope: Envelope) -> bytes:
    returns = envelope.handler.signature.returns
    for nothing in (None, Applied()):
        try:
            return VALUE + returns.encode(nothing)
        except EncodingError:
            continue
    raise UsageError(f"{envelope.handler.name!r} of a supervisor has no empty answer")
