"""Starting runs: under which id, and what happens when the id is taken.

Invariants:
  * looking for a taken id and creating the run are one transaction: of two racing starts exactly
    one creates;
  * attaching means the same work: same workflow, same input, or `IdempotencyMismatch`;
  * a start that is made again under the same request id finds what it created.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from outlast import limits
from outlast._codec import Bound
from outlast._engine.residency.damage import read_any_run
from outlast._engine.residency.passivation import Residency
from outlast._engine.scheduling.results import Results
from outlast._engine.scheduling.scheduler import Scheduler
from outlast._engine.verbs.messages import Messages
from outlast._execution.calls.operations import StartedBody, decode_body
from outlast._execution.calls.starting import new_run
from outlast._records import attach
from outlast._registry import WorkflowDefinition
from outlast._store.auditing import on_the_way, once_more
from outlast._store.damaged import UNKNOWN
from outlast._store.decisions import life_of
from outlast._store.rows import Message, MessageKind, RunRow
from outlast._store.transactions import Effects, Receipt, Transaction
from outlast._wording.names import check_name
from outlast.errors import DecodingError, IdempotencyMismatch, RunExists, StoreDamaged, UsageError
from outlast.types import CLOSED_STATUSES, OnConflict, Reuse, RunId

_ROUNDS_MAX = 100  # others may keep starting the id that we want; give up rather than spin
_PARKED = "parked: it cannot clean up before it is resumed; on_conflict='terminate' ends it now"


class StartRequest(msgspec.Struct, frozen=True):
    """One call of `Engine.start`, checked and encoded."""

    definition: WorkflowDefinition
    bound: Bound
    id: str | None = None
    on_conflict: OnConflict = "attach"
    reuse: Reuse = "if_failed"
    attributes: str = "{}"
    signals: tuple[tuple[str, bytes], ...] = ()
    delay_seconds: float = 0.0
    timeout_seconds: float | None = None
    request: str = ""
    place: str = ""
    handed_down: str = ""  # the budget that the run has


class Started(msgspec.Struct, frozen=True):
    """Which run a start gave, and whether it made it."""

    run: RunId
    created: bool


class Starts:
    """Starts of one engine."""

    def __init__(
        self, scheduler: Scheduler, messages: Messages, results: Results, residency: Residency
    ) -> None:
        self._scheduler = scheduler
        self._messages = messages
        self._results = results
        self._residency = residency
        self.attributes_of: Callable[[str], str] | None = None  # what telemetry adds to them

    async def start(self, request: StartRequest) -> Started:
        """Start a run, or attach to the one that has its id.

        Raises:
            RunExists, IdempotencyMismatch: the id is taken and the policies refuse.
            StoreFull, StoreUnavailable: nothing was stored.
        """
        world = self._scheduler.world
        run = RunId(request.id if request.id is not None else world.new_id())
        check_name("a run id", run, limits.ID_CHARS_MAX)
        kind = run.partition("/")[0]
        if "/" in run and kind in self._scheduler.registry.actors:
            raise UsageError(f"{run!r} is the id of an actor: choose another id for the run")
        request_id = request.request or world.new_id()
        await self._residency.room()
        for _ in range(_ROUNDS_MAX):
            reuse = request.reuse
            if request.on_conflict in ("terminate", "replace"):
                reuse = await self._make_way(run, request, request_id)
            existing = await self._create(run, request, request_id, reuse)
            if existing is None:
                return Started(run, created=True)
            if existing.workflow == UNKNOWN:
                raise StoreDamaged(f"the id {run!r} is taken, {existing.waiting_for}")
            if existing.request == request_id:
                return Started(run, created=True)
            if existing.kind != "workflow":
                raise RunExists(run, existing.status, is_actor=True)
            if existing.status in CLOSED_STATUSES:
                await self._check_same(existing, request)
                return Started(run, created=False)
            if request.on_conflict == "fail":
                raise RunExists(run, existing.status)
            if request.on_conflict == "attach":
                await self._check_same(existing, request)
                return Started(run, created=False)
            once_more()  # another one was started meanwhile
        raise RunExists(run, "started again by others each time it was ended")

    async def _create(
        self, run: RunId, request: StartRequest, request_id: str, reuse: Reuse
    ) -> RunRow | None:
        """Create the run, or return the row that has its id."""
        scheduler = self._scheduler
        shard = scheduler.shard_of(run)
        start, blobs = new_run(
            scheduler.world,
            request.definition,
            request.bound,
            run=run,
            shard=shard,
            reuse=reuse,
            delay=request.delay_seconds,
            timeout=request.timeout_seconds,
            attributes=self._attributes(request),
            signals=request.signals,
            place=request.place,
            request=request_id,
            is_left_to_others=not scheduler.executes or scheduler.is_closing,
            handed_down=request.handed_down,
        )

        def made(receipt: Receipt) -> None:
            if run not in receipt.existing:
                scheduler.started(start.row, attach(start.records, blobs))

        transaction = Transaction(None, run, [], Effects(starts=(start,), blobs=tuple(blobs)))
        return (await scheduler.writer.commit(transaction, made)).existing.get(run)

    def _attributes(self, request: StartRequest) -> str:
        added = self.attributes_of
        return request.attributes if added is None else added(request.attributes)

    async def _make_way(self, run: RunId, request: StartRequest, request_id: str) -> Reuse:
        """End an open run that has the id; return what a closed one means then.

        Raises:
            RunExists: it is parked, or was while it was to clean up: it cannot, and stays.
        """
        row = await read_any_run(self._scheduler.store, run)
        if row is None or row.workflow == UNKNOWN or row.status in CLOSED_STATUSES:
            return request.reuse
        if row.kind != "workflow" or row.request == request_id:
            return request.reuse
        kind: MessageKind = "terminate" if request.on_conflict == "terminate" else "cancel"
        if kind == "cancel" and row.status == "parked":
            raise RunExists(run, _PARKED)
        why = "another run was started under its id"
        with on_the_way(kind, run, why):
            await self._messages.send(
                Message(run=run, kind=kind, name=why, at=self._scheduler.world.now())
            )
        life = life_of(row)
        row = await self._results.closed(run, parked_counts=kind == "cancel", life=life)
        if row.status == "parked":
            raise RunExists(run, _PARKED)
        return "always"

    async def _check_same(self, existing: RunRow, request: StartRequest) -> None:
        definition = request.definition
        if existing.workflow != definition.name:
            raise IdempotencyMismatch(
                existing.id, f"it runs workflow {existing.workflow!r}, not {definition.name!r}"
            )
        if existing.digest == definition.signature.digest(request.bound):
            return
        records = await self._scheduler.store.read_journal(existing.id)
        before = decode_body(records[0].body, StartedBody).input
        after = definition.signature.encode(request.bound)
        if definition.signature.is_same_call(before, after):
            return  # its digest is of an older version's stored form
        try:
            definition.signature.decode(before)
        except DecodingError as error:
            raise IdempotencyMismatch(existing.id, f"{error}", is_unreadable=True) from None
        difference = definition.signature.first_difference(before, after)
        raise IdempotencyMismatch(existing.id, difference)
