"""What operators ask of a run that it is not in the state for is refused before it is stored.

Invariant:
  * what is refused here would have had no effect: a request that a run is about to be ready for,
    because it is being paused or parked just now, is taken, and stays in its mailbox until then.
"""

from __future__ import annotations

import msgspec

from outlast._engine.residency.discarding import discardable
from outlast._engine.residency.inactive_runs import mail_of
from outlast._engine.scheduling.scheduler import Scheduler
from outlast._execution.actors.membership import Membership
from outlast._execution.calls.operations import encode_body
from outlast._execution.runs.workflow_run import LiveWorkflow
from outlast._messages.actor_ids import SUPERVISORS
from outlast._messages.requests import DISCARD
from outlast._store.rows import Message, RunRow
from outlast.errors import RunNotFound, UsageError
from outlast.types import CLOSED_STATUSES, RunId

_STANDING = ("paused", "parked")


async def checked(scheduler: Scheduler, message: Message) -> Message:
    """Refuse to pause or to signal an actor, to resume what was not stopped, to discard nothing.

    Returns the request to store: to discard says what, or it would take the next one when it is
    asked twice.

    Raises:
        UsageError, RunNotFound
    """
    if message.kind == "signal":
        await _refuse_actor(scheduler, message.run)
    elif message.kind == "pause":
        row = await scheduler.store.read_run(message.run)
        if row is not None and row.kind == "actor":
            raise UsageError(
                f"{message.run} is an actor and cannot be paused: stop it, or pause its senders"
            )
    elif message.kind == "resume" and message.name == DISCARD:
        return msgspec.structs.replace(message, body=await _meant(scheduler, message.run))
    elif message.kind == "resume":
        await _check_resume(scheduler, message.run)
    return message


async def _refuse_actor(scheduler: Scheduler, run: RunId) -> None:
    live = scheduler.residents.get(run)
    if live is not None:
        is_actor = live.row.kind == "actor"
    else:
        # Asked by its id first: a signal to a run costs no look into the store.
        kind, _, key = run.partition("/")
        may_be = key and kind in scheduler.registry.actors
        row = await scheduler.store.read_run(run) if may_be else None
        is_actor = row is not None and row.kind == "actor"
    if is_actor:
        raise actor_takes_none(run)


def actor_takes_none(run: RunId) -> UsageError:
    """Return the error for a signal or an update that is sent to an actor."""
    return UsageError(f"{run} is an actor: send it a message with ask() or tell() instead")


async def _meant(scheduler: Scheduler, run: RunId) -> bytes:
    """Return which message is to be discarded; b"" while a run is brought in, and may be parked."""
    store = scheduler.store
    async with scheduler.run_locks.alone_with(run):
        row = await store.read_run(run)
        if row is None:
            raise RunNotFound(run)
        live = scheduler.residents.get(run)
        executes = live is not None and live.state in ("live", "ending")
        is_away = live is None and not row.resident  # it waits, and its code is not asked
        if row.parked_as or row.status in CLOSED_STATUSES or executes or is_away:
            return encode_body((await discardable(store, row)).culprit)
    return b""


async def _check_resume(scheduler: Scheduler, run: RunId) -> None:
    async with scheduler.run_locks.alone_with(run):
        row = await scheduler.store.read_run(run)
        if row is None or await _may_resume(scheduler, row):
            return  # an unknown or ended one is refused by the store
        # The request to pause leaves the mailbox in the commit that pauses: look once more.
        row = await scheduler.store.read_run(run) or row
        if row.status not in _STANDING:
            what = "actor" if row.kind == "actor" else "run"
            raise UsageError(
                f"{what} {run!r} is neither paused nor parked: there is nothing to resume"
            )


async def _may_resume(scheduler: Scheduler, row: RunRow) -> bool:
    if row.status in _STANDING or row.status in CLOSED_STATUSES:
        return True
    if row.kind == "actor":
        # In a team it is the supervisor that resumes, and all that are parked there.
        bonds = Membership.read(await scheduler.store.read_values(row.id, "\x00"))
        return row.workflow == SUPERVISORS or bonds.place is not None
    live = scheduler.residents.get(row.id)
    if live is not None and live.state == "left":
        return True  # it is being parked, and the row does not say so yet
    if isinstance(live, LiveWorkflow):
        if live.pausing is not None:
            return True
        if live.state == "live" and live.arrivals.read_to is None and not scheduler.store.is_shared:
            return False  # it has heard all that was sent, and what it took may still be stored
    return bool(await mail_of(scheduler.store, row.id, "pause"))
