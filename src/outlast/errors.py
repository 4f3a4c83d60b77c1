"""Every exception of outlast.

    OutlastError
    ├── UsageError                  the program asks for something that cannot be
    │   ├── NotSupported            a feature that this version does not have
    │   ├── NotInRun                a workflow's verb, used outside a run
    │   ├── NotDeterministic        workflow code reached for chance, time or I/O
    │   ├── CallReused              a call object awaited or started twice
    │   ├── RegistrationError       a step or workflow that cannot be declared like this
    │   ├── UnknownWorkflow         no workflow of this name is registered
    │   ├── DurationError           not a length of time (also ValueError)
    │   └── QueryError              a filter that does not parse
    ├── EncodingError               a value that cannot be stored
    │   └── PayloadTooLarge
    ├── DecodingError               bytes or JSON that do not fit the declared type
    ├── WaitTimeout                 a wait ran out; what it waited for goes on (also TimeoutError)
    ├── StepError
    │   ├── StepFailed              a step's error whose class is not known here
    │   ├── StepTimeout             an attempt took too long (also TimeoutError)
    │   └── OutcomeUnknown          an at-most-once step may or may not have happened
    ├── RunError                    how a run stands or ended
    │   ├── RunFailed, RunCancelled, RunTerminated, RunTimedOut
    │   ├── RunParked               it needs a person
    │   └── ChildFailed             raised in the parent
    ├── RunNotFound, RunExists, RunClosed
    ├── IdempotencyMismatch, SignalConflict
    ├── MailboxFull
    ├── TokenError                  nothing came of an answer
    │   ├── TokenNotFound
    │   ├── TokenAnswered           somebody was first
    │   ├── TokenExpired            nobody has answered in time
    │   ├── TokenClosed             its run has ended
    │   └── DigestMismatch          the answer is for another question
    ├── ActorError                  what came of a message to an actor
    │   ├── HandlerFailed           its handler raised; nothing was changed
    │   ├── AskTimeout              no answer in time (also TimeoutError)
    │   ├── CallCycle               the one who is asked waits for the asker
    │   ├── ActorStopped            it takes no more messages
    │   └── UnknownActor            no class of actors goes by this name here
    ├── ReplayMismatch              the code and its journal disagree
    ├── ServerRefused               a server's answer that none of these stands for
    ├── EngineClosed                the engine is draining or closed
    │   └── Shutdown                a step was ended by our own shutdown
    └── StoreError
        ├── StoreLocked, StoreMissing, StoreDamaged, StoreTooNew, StoreReadOnly
        ├── StoreFull, StoreUnavailable
        ├── CommitUnknown           the reply to a commit was lost
        └── LeaseLost               another engine owns the run now

    Passivating (BaseException)     the run leaves memory; user code must not stop it

Each class is one decision a caller can make; its facts are attributes; its message says what
happened, why, and what to do.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal, TypeAlias


class OutlastError(Exception):
    """The root of every error that outlast raises on purpose."""


class UsageError(OutlastError):
    """The program asks for something that cannot be; mending it means changing code."""


class NotSupported(UsageError):
    """A feature that this version of outlast does not have (yet)."""

    def __init__(self, feature: str) -> None:
        super().__init__(f"{feature} is not supported by this version of outlast")
        self.feature = feature


class NotInRun(UsageError):
    """A verb of workflows was used where no run is executing."""


class NotDeterministic(UsageError):
    """Workflow code reached for chance, time or I/O, which replay could not repeat."""

    def __init__(self, what: str, advice: str) -> None:
        super().__init__(
            f"{what} inside workflow code gives another result when the run is replayed; {advice}"
        )
        self.what = what
        self.advice = advice


class CallReused(UsageError):
    """A call object was awaited or started a second time."""


class RegistrationError(UsageError):
    """A step, workflow or name cannot be declared like this."""


class UnknownWorkflow(UsageError):
    """No workflow (or more than one) goes by this name here."""


class DurationError(UsageError, ValueError):
    """Something is not a length of time; also a `ValueError`."""


class QueryError(UsageError):
    """A filter of runs does not parse."""


class EncodingError(OutlastError):
    """A value cannot be stored; `path` leads to the part that cannot, such as `$.items[2]`.

    `faults` has the path and reason of each fault, at most twenty.
    """

    faults: tuple[tuple[str, str], ...] = ()

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"cannot store the value at {path}: {reason}")
        self.path = path
        self.reason = reason


class PayloadTooLarge(EncodingError):
    """An encoded value is larger than the limit."""

    def __init__(self, what: str, size: int, limit: int) -> None:
        OutlastError.__init__(
            self,
            f"{what} is {size:,} bytes when encoded, the limit is {limit:,}: "
            f"store it elsewhere (a file, an object store) and pass its address",
        )
        self.path = what
        self.reason = "too large"
        self.size = size
        self.limit = limit


class DecodingError(OutlastError):
    """Stored or outside data does not fit the declared type; `path` leads to the fault.

    `faults` has the path and reason of each fault, at most twenty.
    """

    faults: tuple[tuple[str, str], ...] = ()

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


class WaitTimeout(OutlastError, TimeoutError):
    """A wait ran out. What it waited for is untouched and goes on."""


class StepError(OutlastError):
    """A step did not give a result."""


class StepFailed(StepError):
    """A step raised an error whose class is not known here; name it in `raises=` to get itself."""

    def __init__(self, type_name: str, message: str, traceback: str = "") -> None:
        super().__init__(f"{type_name}: {message}")
        self.type_name = type_name
        self.message = message
        self.traceback = traceback


class StepTimeout(StepError, TimeoutError):
    """A step took longer than its `Timeout` allows; `kind` says which of its times ran out."""

    def __init__(self, step: str, kind: str, seconds: float) -> None:
        super().__init__(
            f"step {step!r} exceeded its {kind} timeout of {seconds:g}s; "
            f"its effect may have happened"
        )
        self.step = step
        self.kind = kind
        self.seconds = seconds


class OutcomeUnknown(StepError):
    """The process died during an at-most-once step: its effect may or may not have happened."""

    def __init__(self, step: str, key: str) -> None:
        super().__init__(
            f"the process died while step {step!r} ({key}) was running, so its effect may or may "
            f"not have happened, and it runs at most once: check the outside world, then "
            f"compensate or go on"
        )
        self.step = step
        self.key = key


class RunError(OutlastError):
    """How a run stands or ended; `run_id` names it."""

    def __init__(self, run_id: str, message: str) -> None:
        super().__init__(message)
        self.run_id = run_id


class RunFailed(RunError):
    """The run's code raised; the original type, message and traceback text are kept."""

    def __init__(self, run_id: str, type_name: str, message: str, traceback: str = "") -> None:
        super().__init__(run_id, f"run {run_id!r} failed: {type_name}: {message}")
        self.type_name = type_name
        self.message = message
        self.traceback = traceback


class RunCancelled(RunError):
    """The run was cancelled and its code let the cancellation end it."""

    def __init__(self, run_id: str, reason: str) -> None:
        because = f": {reason}" if reason else ""
        super().__init__(run_id, f"run {run_id!r} was cancelled{because}")
        self.reason = reason


class RunTerminated(RunError):
    """The run was ended from outside without running any more of its code."""

    def __init__(self, run_id: str, reason: str) -> None:
        because = f": {reason}" if reason else ""
        super().__init__(run_id, f"run {run_id!r} was terminated{because}")
        self.reason = reason


class RunTimedOut(RunError):
    """The run's own timeout ran out."""

    def __init__(self, run_id: str, reason: str = "") -> None:
        because = f": {reason}" if reason else ""
        super().__init__(run_id, f"run {run_id!r} exceeded its timeout{because}")
        self.reason = reason


class RunParked(RunError):
    """The run is open but cannot go on without a person; `why` says what it needs."""

    def __init__(self, run_id: str, why: str) -> None:
        super().__init__(run_id, f"run {run_id!r} is parked: {why}")
        self.why = why


class ChildFailed(RunError):
    """A child run did not complete; `cause` says how it ended."""

    def __init__(self, run_id: str, cause: OutlastError | None = None) -> None:
        detail = f": {cause}" if cause is not None else ""
        super().__init__(run_id, f"child run {run_id!r} did not complete{detail}")
        self.cause = cause


_Kept: TypeAlias = Literal["run", "actor", "team", "dead letter"]
_ABSENT: dict[_Kept, tuple[str, str]] = {
    "run": ("it was never started in this store, or its retention is over", "outlast ls"),
    "actor": ("nobody has written to it yet", "outlast actor ls"),
    "team": ("it was never applied to this store", "outlast actor tree"),
    "dead letter": ("it was sent again, or never was", "outlast actor dead"),
}


class RunNotFound(OutlastError):
    """No run, actor, team or dead letter goes by this id (or its retention is over)."""

    def __init__(self, run_id: str, what: _Kept = "run") -> None:
        why, look = _ABSENT[what]
        super().__init__(f"no {what} has the id {run_id!r}: {why}; `{look}` lists what is there")
        self.run_id = run_id


class RunExists(OutlastError):
    """A run with this id exists and the call's policy does not allow to attach to it."""

    def __init__(self, run_id: str, status: str) -> None:
        super().__init__(
            f"run {run_id!r} exists already ({status}): choose another id, or another "
            f"on_conflict= (open runs) or reuse= (closed runs)"
        )
        self.run_id = run_id
        self.status = status


class RunClosed(OutlastError):
    """The run has ended and takes no more messages."""

    def __init__(self, run_id: str, status: str) -> None:
        super().__init__(f"run {run_id!r} has ended ({status}) and takes no more messages")
        self.run_id = run_id
        self.status = status


class IdempotencyMismatch(OutlastError):
    """The id is taken by a run of another workflow or with other arguments."""

    def __init__(self, run_id: str, difference: str) -> None:
        super().__init__(
            f"run {run_id!r} exists with other input ({difference}): the same id must mean the "
            f"same work; choose another id"
        )
        self.run_id = run_id
        self.difference = difference


class SignalConflict(OutlastError):
    """A dedup key was used before with another payload."""

    def __init__(self, run_id: str, name: str, dedup: str) -> None:
        super().__init__(
            f"signal {name!r} to run {run_id!r} was sent before under dedup key {dedup!r} with "
            f"another payload; nothing was sent"
        )
        self.run_id = run_id
        self.name = name
        self.dedup = dedup


class MailboxFull(OutlastError):
    """A run has too many unread messages; nothing was stored, so sending again later is safe."""

    def __init__(self, run_id: str, limit: int) -> None:
        super().__init__(
            f"run {run_id!r} has {limit:,} unread messages, the limit: nothing was stored, "
            f"send again when it has read some"
        )
        self.run_id = run_id
        self.limit = limit


class TokenError(OutlastError):
    """Nothing came of an answer to a token; `token_id` names it."""

    def __init__(self, token_id: str, message: str) -> None:
        super().__init__(message)
        self.token_id = token_id


class TokenNotFound(TokenError):
    """No token goes by this id (or the retention of its run is over)."""

    def __init__(self, token_id: str) -> None:
        super().__init__(token_id, f"no token has the id {token_id!r}; see `outlast inbox`")


class TokenAnswered(TokenError):
    """Somebody has answered already: `by` whom (may be empty) and when (`at`)."""

    def __init__(self, token_id: str, by: str, at: datetime | None) -> None:
        when = "" if at is None else f" at {at.isoformat(timespec='seconds')}"
        who = by or "somebody"
        super().__init__(token_id, f"{who} has answered token {token_id!r}{when}: the first counts")
        self.by = by
        self.at = at


class TokenExpired(TokenError):
    """Nobody has answered the token in time, and nobody can any more."""

    def __init__(self, token_id: str) -> None:
        super().__init__(token_id, f"it is too late: nobody answered token {token_id!r} in time")


class TokenClosed(TokenError):
    """The run that asked has ended without the answer."""

    def __init__(self, token_id: str) -> None:
        super().__init__(token_id, f"it is too late: the run that asked {token_id!r} has ended")


class DigestMismatch(TokenError):
    """The answer carries the digest of another question; `title` is what is asked now."""

    def __init__(self, token_id: str, title: str) -> None:
        super().__init__(token_id, f"token {token_id!r} asks something else, look again: {title!r}")
        self.title = title


class ActorError(OutlastError):
    """What came of a message to an actor, other than an answer."""


class HandlerFailed(ActorError):
    """A handler raised; the actor's state is what it was before the message."""

    def __init__(self, actor: str, type_name: str, message: str, traceback: str = "") -> None:
        super().__init__(f"{actor} failed to handle the message: {type_name}: {message}")
        self.actor = actor
        self.type_name = type_name
        self.message = message
        self.traceback = traceback


class AskTimeout(ActorError, TimeoutError):
    """No answer came in time. The message may still be handled, unless its turn comes later."""


class CallCycle(ActorError):
    """The actor that is asked waits, directly or not, for the one that asks."""

    def __init__(self, chain: tuple[str, ...], target: str) -> None:
        path = " -> ".join((*chain, target))
        super().__init__(
            f"{path}: {target} waits for this very answer, so it could never come; "
            f"use tell(), or ask from elsewhere"
        )
        self.chain = chain
        self.target = target


class ActorStopped(ActorError):
    """The actor has stopped and takes no more messages."""


class UnknownActor(ActorError):
    """No class of actors goes by this name here, or it has no such handler."""


class ReplayMismatch(OutlastError):
    """The code asked for another operation than its journal has: the code changed."""

    def __init__(self, run_id: str, *, expected: str, actual: str) -> None:
        super().__init__(
            f"run {run_id!r}: the journal has {expected}, but the code now asks for {actual}. "
            f"The code changed while the run was open. Put the old order back (the run then goes "
            f"on by itself), or start a new run"
        )
        self.run_id = run_id
        self.expected = expected
        self.actual = actual


class ServerRefused(OutlastError):
    """A server refused a request: `status` of HTTP and `kind`, such as "token-wrong"."""

    def __init__(self, status: int, kind: str, detail: str) -> None:
        super().__init__(detail or f"the server refused it ({status} {kind})")
        self.status = status
        self.kind = kind


class EngineClosed(OutlastError):
    """The engine is draining or closed and starts nothing new."""


class Shutdown(EngineClosed):
    """A step was ended by our own shutdown; this costs it no attempt."""


class StoreError(OutlastError):
    """The store refuses or fails."""


class StoreLocked(StoreError):
    """Another process owns the database."""

    def __init__(self, path: str, pid: int | None) -> None:
        holder = f"process {pid}" if pid is not None else "another process"
        super().__init__(
            f"{path} is owned by {holder}, and a SQLite store has one engine: use that process, "
            f"stop it, or open with read_only=True"
        )
        self.path = path
        self.pid = pid


class StoreMissing(StoreError):
    """There is no database at this place."""


class StoreDamaged(StoreError):
    """The database file is not what it should be; it was not touched."""


class StoreTooNew(StoreError):
    """A newer outlast wrote this database."""


class StoreReadOnly(StoreError):
    """A writing verb was used on a store that was opened for reading."""


class StoreFull(StoreError):
    """The disk is full: nothing was stored. Open runs wait and go on when there is space."""


class StoreUnavailable(StoreError):
    """The store cannot be reached now; runs wait and go on when it is back."""


class CommitUnknown(StoreError):
    """The reply to a commit was lost; the writer asks the store what became of it."""


class LeaseLost(StoreError):
    """Another engine owns this run now; nothing was written."""


class Passivating(BaseException):
    """The run leaves memory. Not an `Exception`: workflow code must let it pass."""
