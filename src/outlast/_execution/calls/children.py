"""The child runs of one run: started in its own commits, awaited, cancelled with it.

Invariants:
  * a child's start and the record of it are one transaction, so parent and child cannot disagree;
  * how a child ended reaches the parent as a message, and the code as a record;
  * whether a child of an earlier life of the parent stays or gives way is for the store to decide,
    when this life starts its own (`gives_way`): the start is refused when the earlier one stays;
  * one that does not stay, and still cleans up, is waited for: its end arrives as a message of
    that life, and the child is started in the commit that consumes the message;
  * a start may be refused and its process die before that is recorded: a retried run that is
    loaded again makes the starts of its open children again.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from contextvars import ContextVar
from functools import partial

import msgspec

from outlast import limits
from outlast._codec import Bound
from outlast._execution.calls.host import RunHost
from outlast._execution.calls.operations import (
    ChildBody,
    ChildOperation,
    NewRun,
    decode_body,
    encode_body,
    failure_body,
    failure_in,
)
from outlast._execution.calls.starting import new_run
from outlast._execution.calls.unreadable import Unreadable
from outlast._execution.journal.view import RunJournal
from outlast._execution.loop.event_loop import RunLoop
from outlast._records import Record
from outlast._registry import WorkflowDefinition
from outlast._store.attributes import inherited_attributes
from outlast._store.decisions import is_another_life, stays
from outlast._store.rows import Message, RunRow
from outlast._wording.names import check_name
from outlast.errors import (
    ChildFailed,
    DecodingError,
    OutlastError,
    RunCancelled,
    RunExists,
    RunFailed,
    RunTerminated,
    RunTimedOut,
)
from outlast.types import CLOSED_STATUSES, OnParentClose, RunId

handed_down: ContextVar[str] = ContextVar("outlast_handed_down", default="")
"""What children that are started here are handed down, instead of what their parent was."""


class Lineage(msgspec.Struct):
    """What the children of a run have of it.

    `life` is the parent's present one; `keys_of` the run whose keys it has, and `handed_down` what
    it was handed down itself (`StartedBody`).
    """

    attributes: str
    life: str
    keys_of: str = ""
    handed_down: str = ""


class ChildCalls:
    """The child runs that one run has started."""

    __slots__ = (
        "_by_id",
        "_early",
        "_host",
        "_journal",
        "_life",
        "_lineage",
        "_loaded",
        "_loop",
        "by_key",
    )

    def __init__(self, host: RunHost, journal: RunJournal, loop: RunLoop, lineage: Lineage) -> None:
        self._host = host
        self._life = lineage.life
        self._lineage = lineage
        self._journal = journal
        self._loop = loop
        self.by_key: dict[str, ChildOperation] = {}
        self._by_id: dict[RunId, ChildOperation] = {}
        self._early: list[RunRow] = []  # conflicts that were reported during the replay
        self._loaded: list[ChildOperation] = []  # open children whose start is in the journal

    def start(
        self,
        definition: WorkflowDefinition,
        bound: Bound,
        *,
        id: str | None,
        on_parent_close: OnParentClose,
        timeout: float | None,
        place: str,
    ) -> ChildOperation:
        """Start a child with the parent's next commit, or find the one that is recorded."""
        if id is not None:
            check_name("a run id", id, limits.ID_CHARS_MAX)
        key, journal = self._loop.next_key(definition.name), self._journal
        journal.issued(key, place)
        child = RunId(id if id is not None else child_id(journal.run, key))
        operation = ChildOperation(key, definition.name, place, child, definition, on_parent_close)
        self.by_key[key] = operation
        self._by_id[child] = operation
        operation.handed_down = handed_down.get() or self._lineage.handed_down
        new = partial(self._new_child, operation, bound, is_named=id is not None, timeout=timeout)
        if journal.recorded("child_started", key) is None:
            made = new()
            operation.start_again = lambda: made
            journal.append(
                "child_started",
                at=self._host.world.now(),
                key=operation.key,
                name=operation.child,
                place=operation.place,
            )
            self._commit_start(made)
        elif journal.recorded("child_done", key) is None:
            operation.start_again = new  # only the end of the child tells whether it was started
            self._loaded.append(operation)
        return operation

    def _commit_start(self, made: NewRun) -> None:
        start, blobs = made
        transaction = self._journal.transaction()
        transaction.also.starts += (start,)
        self._journal.keep_blobs(*blobs)

    def _new_child(
        self, operation: ChildOperation, bound: Bound, *, is_named: bool, timeout: float | None
    ) -> NewRun:
        journal, keys_of = self._journal, self._lineage.keys_of
        return new_run(
            self._host.world,
            operation.definition,
            bound,
            run=operation.child,
            shard=self._host.shard_of(operation.child),
            # An id of our own making belongs to this parent: what an earlier parent of the same
            # id left behind gives way. A name that the user chose may be somebody else's.
            reuse="never" if is_named else "always",
            timeout=timeout,
            attributes=inherited_attributes(self._lineage.attributes),
            parent=journal.run,
            parent_key=operation.key,
            on_parent_close=operation.on_parent_close,
            place=operation.place,
            request=self._life or self._host.world.new_id(),
            # A child that a fork starts anew has the keys of the one that its origin started.
            keys_of=child_id(keys_of, operation.key) if keys_of and not is_named else "",
            handed_down=operation.handed_down,
        )

    def begin_anew(self) -> None:
        """Forget the children: an actor's message is over, and they go on by themselves."""
        self.by_key.clear()
        self._by_id.clear()

    def find(self, child: RunId) -> ChildOperation | None:
        """Return the child of this id, if it is one of this run's."""
        return self._by_id.get(child)

    def conflicts(self, existing: Sequence[RunRow]) -> None:
        """Take note that the ids of some children are in use.

        A child of an earlier life of this run that stays is this life's too. One that was told to
        stop ends soon, and is waited for. Of any other run it is recorded that it has the id.
        """
        if self._journal.is_replaying:
            self._early += existing
            return
        for row in existing:
            operation = self._by_id.get(row.id)
            if operation is None or operation.done is not None or self._journal.has_closed:
                continue
            own = (self._journal.run, operation.key)
            is_own = bool(self._life) and (row.parent, row.parent_key) == own
            if is_own and row.request == self._life:
                continue  # made again, see `_start_again`
            if is_own and self._stays(row, operation):
                self._attach(operation, row)
            elif is_own and row.on_parent_close != "abandon":
                operation.is_start_refused = True
            else:
                error = RunExists(row.id, row.status)
                reason = self._taken_by(row)
                self.ended(operation.key, ChildBody("taken", failure_body(error), reason))

    def _stays(self, row: RunRow, operation: ChildOperation) -> bool:
        return operation.start_again is not None and stays(row, operation.start_again()[0].row)

    def _attach(self, operation: ChildOperation, row: RunRow) -> None:
        """Take a child of an earlier life as this life's: its end is what this one waits for."""
        operation.is_attached, operation.is_start_refused = True, False
        if row.status in CLOSED_STATUSES:
            body = ChildBody(row.status, row.output or b"", row.error or "")
            self.ended(operation.key, body)

    def _taken_by(self, row: RunRow) -> str:
        run = self._journal.run
        if row.parent != run:
            return "it belongs to another parent"
        if is_another_life(self._life):
            return f"{row.status}; an earlier execution of {run!r} started it with another input"
        return (
            f"{row.status}; an earlier run {run!r} started it, and it continues after that run: "
            f"`retry` {run!r} when it has ended"
        )

    def resume(self) -> None:
        """After replay: do again what may not have been committed, and has no record of its own.

        Children are asked to stop that the code has cancelled while it replayed, in its first turn
        for one. Starts that may have been refused are made again, those of a retried run: the
        children of its earlier life may have their ids.
        """
        early, self._early = self._early, []
        self.conflicts(early)
        loaded, self._loaded = self._loaded, []
        if is_another_life(self._life):
            for operation in loaded:
                if operation.done is None and not operation.is_cancelled:
                    self._start_again(operation)
        for operation in reversed(self.open_children()):
            if operation.is_cancelled:
                self._post([operation], "cancel", operation.cancel_reason)

    def ended(self, key: str, body: ChildBody) -> bool:
        """Append how a child ended; False when no child waits under this key."""
        operation = self.by_key.get(key)
        if operation is None or operation.done is not None:
            return False
        is_stale = bool(self._life and body.life) and body.life != self._life
        is_another = (is_stale or operation.is_start_refused) and not operation.is_attached
        if is_another and not operation.is_cancelled:
            self._start_again(operation)
            return False
        body = ChildBody(body.status, body.outcome, body.reason)
        self._journal.append(
            "child_done",
            at=self._host.world.now(),
            key=key,
            name=operation.child,
            body=encode_body(body),
            place=operation.place,
        )
        operation.done = body
        return True

    def _start_again(self, operation: ChildOperation) -> None:
        """Start the child of this life, unless it exists or one of an earlier life stays.

        The store does not start it twice (`gives_way`), so this may be done without knowing.
        """
        if operation.start_again is None:
            return
        operation.is_start_refused = False
        starts = self._journal.transaction().also.starts
        # Of two in one transaction the second would be refused, and the run not be executed.
        if all(start.row.id != operation.child for start in starts):
            self._commit_start(operation.start_again())

    def deliver(self, record: Record) -> None:
        """Take note that a child has started; hand its end to the code that waits for it."""
        operation = self.by_key.get(record.key)
        if operation is None:
            return
        if record.kind == "child_done":
            self._deliver_end(operation, record)
        elif not self._journal.is_replaying and not operation.is_start_refused:
            operation.start_again = None  # the child exists

    def _deliver_end(self, operation: ChildOperation, record: Record) -> None:
        operation.done = body = decode_body(record.body, ChildBody)
        try:
            operation.value = _value_of(operation, body)
        except DecodingError as error:
            what = f"the result of child run {operation.child!r}"
            raise Unreadable(what, error) from None
        except OutlastError as error:
            operation.error = error
        operation.is_delivered = True
        operation.start_again = None
        waiters, operation.waiters = operation.waiters, []
        for future in waiters:
            if not future.done():
                future.set_result(None)

    async def wait(self, operation: ChildOperation) -> object:
        """Return the child's result.

        Raises:
            ChildFailed: it ended in another way; `cause` says how.
        """
        operation.is_awaited = True
        if not operation.is_delivered:
            future: asyncio.Future[object] = self._loop.create_future()
            operation.waiters.append(future)
            await future
        if operation.error is not None:
            raise operation.error
        return operation.value

    async def wait_or_cancel(self, operation: ChildOperation) -> object:
        """The same for a call that is awaited itself: whoever stops waiting wants it stopped."""
        try:
            return await self.wait(operation)
        except asyncio.CancelledError:
            self.cancel([operation], "its parent stopped waiting for it")
            raise

    def open_children(self) -> list[ChildOperation]:
        """Return the children that have not ended, in order of their start."""
        return [op for op in self.by_key.values() if op.done is None]

    def unseen_failures(self) -> list[RunId]:
        """Return the children that did not complete, and whose end no code has awaited."""
        return [
            op.child
            for op in self.by_key.values()
            if op.done is not None and op.done.status == "failed" and not op.is_awaited
        ]

    def attached(self) -> list[ChildOperation]:
        """Return the open children that are cancelled with the run."""
        return [op for op in self.open_children() if op.on_parent_close == "cancel"]

    def cancel(self, operations: Sequence[ChildOperation], reason: str) -> None:
        """Ask children to stop, with the parent's next commit."""
        for operation in operations:
            operation.is_cancelled, operation.cancel_reason = True, reason
        self._post([op for op in operations if op.done is None], "cancel", reason)

    def cancel_attached(self, reason: str) -> None:
        """Ask the open children that go with the run to stop, in reverse order of their start."""
        self.cancel(list(reversed(self.attached())), reason)

    def close_with_parent(self) -> None:
        """Apply each open child's policy, as part of the parent's last commit."""
        for operation in reversed(self.open_children()):
            if operation.on_parent_close == "cancel":
                self._post([operation], "cancel", "its parent closed")
            elif operation.on_parent_close == "terminate":
                self._post([operation], "terminate", "its parent closed")

    def _post(self, operations: Sequence[ChildOperation], kind: str, reason: str) -> None:
        if not operations or (self._journal.is_replaying):
            return
        messages = [
            Message(
                run=operation.child,
                kind="cancel" if kind == "cancel" else "terminate",
                name=reason,
                at=self._host.world.now(),
            )
            for operation in operations
        ]
        transaction = self._journal.transaction()
        transaction.also.posts += tuple(messages)


def _value_of(operation: ChildOperation, body: ChildBody) -> object:
    failure = failure_in(body.outcome)
    if body.status == "completed":
        return operation.definition.signature.returns.decode(body.outcome[1:])
    if body.status == "taken" and failure is not None:
        raise RunExists(operation.child, body.reason or "of another parent")
    child = operation.child
    cause: OutlastError
    if body.status == "cancelled":
        cause = RunCancelled(child, body.reason)
    elif body.status == "terminated":
        cause = RunTerminated(child, body.reason)
    elif body.status == "timed_out":
        cause = RunTimedOut(child, body.reason)
    elif failure is not None:
        cause = RunFailed(child, failure.qualname, failure.message, failure.traceback)
    else:
        cause = RunFailed(child, body.status, body.reason)
    raise ChildFailed(child, cause)


def child_id(parent: str, key: str) -> str:
    """Return the id of a child: its parent's id and its place in the parent's code."""
    name = f"{parent}.{key.partition(':')[0].replace('#', '-')}"
    if len(name) <= limits.ID_CHARS_MAX:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:16]
    return f"{name[: limits.ID_CHARS_MAX - 17]}-{digest}"
