"""The steps of one run: asked for, started, tried again, recorded, handed over.

The way of a step's value: `issue` gives the code a future · `start_due` has the host run the body
· `ended` encodes what came back and appends its record · `deliver_done` sets the future, once the
record is durable. On replay the record is there already, and the body is never started.

Invariants:
  * a value is encoded and decoded again before it is recorded, so what the code sees live is
    what it would see on replay;
  * a failed attempt is recorded, with the absolute time of the next one, before that wait begins;
  * an at-most-once step starts only after its intent is durable.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextvars import Context
from random import Random

from outlast import limits
from outlast._execution.calls.host import RunHost
from outlast._execution.calls.operations import (
    AttemptBody,
    KnownErrors,
    StepOperation,
    WrittenBody,
    decode_body,
    failure_body,
    failure_in,
    is_error_of,
    known_for,
    recorded_error,
    seen_error,
)
from outlast._execution.calls.streams import RunStreams
from outlast._execution.calls.unreadable import ERROR_WAYS, Unreadable
from outlast._execution.journal.step_inputs import StepInputs
from outlast._execution.journal.view import RunJournal
from outlast._execution.loop.event_loop import RunLoop
from outlast._records import VALUE, Record, outcome_of
from outlast._registry import StepDefinition
from outlast._wording.plurals import counted
from outlast.errors import (
    DecodingError,
    EncodingError,
    OutcomeUnknown,
    Shutdown,
    StepTimeout,
    UsageError,
)

HEARTBEAT = "\x00heartbeat:"  # values: what steps said of themselves, by key


class StepCalls:
    """The steps that the code of one run has asked for and not yet seen the end of."""

    __slots__ = (
        "_host",
        "_journal",
        "_loop",
        "heartbeats",
        "inputs",
        "is_first_life",
        "keys_of",
        "parked",
        "pending",
        "retrying",
        "starts",
        "streams",
    )

    def __init__(self, host: RunHost, journal: RunJournal, loop: RunLoop) -> None:
        self._host = host
        self._journal = journal
        self._loop = loop
        self.inputs: StepInputs = StepInputs()
        self.starts: list[StepOperation] = []  # asked for, and not started
        self.parked: str | None = None
        # Names of the values that steps have set in this life; no set, which would take 216 bytes.
        self.heartbeats: dict[str, None] = {}
        self.retrying: dict[str, StepOperation] = {}  # those that wait for their next attempt
        self.pending: dict[str, StepOperation] = {}
        self.streams: RunStreams = RunStreams(journal)  # what it and the run's code write
        self.keys_of: str = ""  # see `StartedBody`
        self.is_first_life: bool = False  # then nothing of an earlier attempt can be stored

    # ------------------------------------------------------------------ the code asks
    def issue(
        self,
        definition: StepDefinition,
        args: tuple[object, ...],
        kwargs: Mapping[str, object],
        *,
        place: str,
        catches: tuple[type[BaseException], ...] = (),
        key: str | None = None,
        context: Context | None = None,
    ) -> asyncio.Future[object]:
        """Return the future of a step's outcome; its body starts when the drain is over.

        `key` is one that the code has given, in its stored form. The body of a closure finds a
        copy of `context` around it.
        """
        if len(self.pending) >= limits.OPERATIONS_PENDING_MAX:
            raise UsageError(
                f"the run waits for {limits.OPERATIONS_PENDING_MAX:,} steps at once, the limit: "
                f"bound the width of gather with a semaphore, or use child workflows"
            )
        if key is None:
            key = self._loop.next_key(definition.name)
        journal = self._journal
        given = b""
        if journal.is_replaying:
            journal.issued(key, place)
        if not journal.is_replaying or journal.recorded("step_done", key) is None:
            (args, kwargs), wire = definition.signature.isolate(args, kwargs)
            given = self.inputs.recorded(definition.name, wire)
        future: asyncio.Future[object] = asyncio.Future(loop=self._loop)
        operation = self.pending[key] = StepOperation(
            key, definition.name, place, future, definition, args, kwargs, catches
        )
        operation.keys_of, operation.given, operation.context = self.keys_of, given, context
        if not journal.is_replaying:
            self.starts.append(operation)
        return future

    def forget_cancelled(self, *, all_of_them: bool = False) -> None:
        """Stop the bodies of steps whose wait the code has cancelled, or of all there are."""
        cancelled = [op for op in self.pending.values() if all_of_them or op.future.cancelled()]
        for operation in cancelled:
            del self.pending[operation.key]
            self.retrying.pop(operation.key, None)
            if operation.writers:
                self._close_writers(operation)
            if operation.is_started:
                self._host.stop_body(self._journal.run, operation.key)

    # ------------------------------------------------------------------- bodies start
    def start_asked(self) -> None:
        """Start what was asked for since the last call."""
        starts, self.starts = self.starts, []
        for operation in starts:
            if operation.key in self.pending:
                self.start(operation)

    def resume(self) -> None:
        """After replay: go on with what earlier lives began and did not finish."""
        for operation in list(self.pending.values()):
            self._retract(operation)
            if operation.has_intent:
                unknown = OutcomeUnknown(operation.name, operation.key)
                self._record_failure(operation, failure_body(unknown), self._host.world.now())
            elif operation.key not in self.retrying:
                operation.is_resumed = not self.is_first_life
                self.starts.append(operation)

    def start(self, operation: StepOperation) -> None:
        """Start the body, or first write down that it is about to start."""
        now = self._host.world.now()
        if operation.is_parked:
            return
        if operation.definition.once == "at_most" and not operation.has_intent:
            if not operation.is_started:
                operation.is_started = True
                key, name, place = operation.key, operation.name, operation.place
                self._journal.append("step_intent", at=now, key=key, name=name, place=place)
            return
        operation.first_at = operation.first_at or now
        operation.queued_at = now
        operation.is_started = True
        self._host.start_body(self._journal.run, operation, fence=self._journal.lease.epoch)

    def next_retry_at(self) -> int | None:
        """Return when the earliest retry is due."""
        if not self.retrying:
            return None
        return min((op.next_at for op in self.retrying.values()), default=None)

    def start_due(self, now: int) -> None:
        """Start the attempts whose time has come."""
        for operation in [op for op in self.retrying.values() if op.next_at <= now]:
            del self.retrying[operation.key]
            if operation.key in self.pending:
                self.start(operation)

    @property
    def are_running(self) -> bool:
        """Whether a body is at work, or must be: then the run cannot leave memory.

        One that a shutdown has ended must be: a run that left would wait for ever.
        """
        retrying = self.retrying
        return any(not (op.is_parked or op.key in retrying) for op in self.pending.values())

    def unpark(self) -> None:
        """A person let the run go on: steps that spent their attempts are tried once more."""
        self.parked = None
        for operation in self.pending.values():
            operation.is_parked = False

    # --------------------------------------------------------------------- bodies end
    def succeeded(self, key: str, value: object, now: int) -> None:
        """Record what a body has returned by now."""
        operation = self.pending.get(key)
        if operation is None:
            return
        try:
            data, operation.value = operation.definition.signature.returns.roundtrip(value)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001  # a user's class may raise anything
            self.failed(key, _unreadable(error), now)
            return
        self._record(operation, VALUE + data, now)

    def _record(self, operation: StepOperation, body: bytes, now: int) -> None:
        record = self._journal.append(
            "step_done",
            at=now,
            key=operation.key,
            name=operation.name,
            body=operation.done(body) if operation.given else body,
            attempt=operation.attempt + 1,
            place=operation.place,
            times=operation.times(now),
        )
        if len(body) > limits.STEP_ARGUMENT_BYTES_MAX:
            self.inputs.known(record.seq, body)

    def failed(self, key: str, error: BaseException, now: int) -> None:
        """Record that an attempt has failed by now: the next one is planned, or the step failed."""
        operation = self.pending.get(key)
        if operation is None:
            return
        if isinstance(error, Shutdown):
            operation.is_started = False
            return
        body = failure_body(error)
        self._host.attempt_failed(self._journal.run, operation, body)
        self._retract(operation)
        attempt = operation.attempt + 1
        next_at = _next_attempt_at(operation, error, attempt, now, self._host.world.rng)
        parks = operation.definition.retry.parks and next_at is None
        if next_at is None and not parks:
            self._record_failure(operation, body, now)
            return
        self._journal.append(
            "attempt_failed",
            at=now,
            key=key,
            name=operation.name,
            body=operation.attempt_failed(body, next_at),
            attempt=attempt,
            place=operation.place,
            times=operation.times(now),
        )

    def _record_failure(self, operation: StepOperation, body: bytes, now: int) -> None:
        failure = failure_in(body)
        if failure is not None:
            operation.error, body = seen_error(failure, self._known(operation))
        operation.is_started = True
        self._record(operation, body, now)

    # ---------------------------------------------------------------- records arrive
    def deliver_done(self, record: Record) -> None:
        """Hand a recorded outcome to the code, unless it has stopped waiting."""
        operation = self.pending.pop(record.key, None)
        if self.retrying:
            self.retrying.pop(record.key, None)
        if operation is None or operation.future.done():
            return
        if self._journal.is_replaying:
            self.inputs.known(record.seq, outcome_of(record.body))
            self._decode(operation, outcome_of(record.body))
        if operation.error is not None:
            operation.future.set_exception(operation.error)
        else:
            operation.future.set_result(operation.value)

    def deliver_attempt(self, record: Record) -> None:
        """Take note of a failed attempt and of when the next one is due."""
        operation = self.pending.get(record.key)
        if operation is None:
            return
        body = decode_body(record.body, AttemptBody)
        operation.failed(record.attempt, body)
        if body.next_at:
            self.retrying[operation.key] = operation
        else:
            operation.is_parked = True
            self.parked = (
                f"step {operation.name!r} failed after {counted(record.attempt, 'attempt')}; "
                f"the last error was {operation.last_error}"
            )

    def deliver_intent(self, record: Record) -> None:
        """An at-most-once step may start now; after a crash it may have happened."""
        operation = self.pending.get(record.key)
        if operation is None:
            return
        operation.has_intent = True
        if not self._journal.is_replaying:
            self.start(operation)

    def _decode(self, operation: StepOperation, body: bytes) -> None:
        failure = failure_in(body)
        try:
            if failure is not None:
                operation.error = recorded_error(failure, self._known(operation))
            else:
                operation.value = operation.definition.signature.returns.decode(body[1:])
        except DecodingError as error:
            raise _unreadable_outcome(operation.name, error, is_error=failure is not None) from None

    def _known(self, operation: StepOperation) -> KnownErrors:
        return known_for(operation, self._host.known_errors)

    # ------------------------------------------------------------------------ streams
    def deliver_written(self, record: Record) -> None:
        """Keep count of a stream's offsets, and of who wrote."""
        body = decode_body(record.body, WrittenBody)
        self.streams.delivered(record, body)
        operation = self.pending.get(record.key)
        if operation is None:
            return
        if record.kind == "stream_written":
            operation.writers[record.name] = body.writer
        elif operation.writers.get(record.name) == body.writer:
            del operation.writers[record.name]  # not of the next attempt, which writes already

    def _retract(self, operation: StepOperation) -> None:
        """Take back what a dead attempt wrote to streams."""
        for stream, writer in operation.writers.items():
            now = self._host.world.now()
            self.streams.retract(stream, key=operation.key, writer=writer, now=now)
        operation.writers = {}

    def _close_writers(self, operation: StepOperation) -> None:
        """Say how far a step has come with its streams for which the code waits no longer."""
        if self._journal.is_replaying or self._journal.has_closed:
            return
        for stream, writer in operation.writers.items():
            now = self._host.world.now()
            self.streams.close_writer(stream, key=operation.key, writer=writer, now=now)


def _unreadable_outcome(step: str, error: DecodingError, *, is_error: bool) -> Unreadable:
    if is_error:
        return Unreadable(f"the recorded error of step {step!r}", error, ways=ERROR_WAYS)
    return Unreadable(f"the recorded result of step {step!r}", error)


def _unreadable(error: BaseException) -> EncodingError:
    if isinstance(error, EncodingError):
        return error
    return EncodingError("$", f"rebuilding the value raised {type(error).__name__}: {error}")


def _next_attempt_at(
    operation: StepOperation, error: BaseException, attempt: int, now: int, rng: Random
) -> int | None:
    """Return when the next attempt is due, None when this was the last."""
    plan = operation.definition.retry
    # A value that cannot be stored comes out the same on every attempt.
    is_final = isinstance(error, EncodingError) or is_error_of(error, plan.never_on)
    is_final = is_final or (isinstance(error, StepTimeout) and error.kind == "total")
    if attempt >= plan.attempts or is_final:
        return None
    grown = plan.first_seconds * min(plan.factor ** min(attempt - 1, 60), 1e12)
    pause = min(plan.cap_seconds, grown)
    if plan.jitter == "full":
        pause *= rng.random()
    next_at = now + int(pause * 1e6)
    for bound in (plan.within_seconds, operation.definition.timeout.total):
        if bound is not None and next_at > operation.first_at + int(bound * 1e6):
            return None
    return next_at
