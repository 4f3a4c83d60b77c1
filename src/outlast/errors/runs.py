"""How steps and runs end, and what runs refuse."""

from __future__ import annotations

from outlast.errors.root import OutlastError


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
        effect = "it had not begun" if kind == "queue" else "its effect may have happened"
        super().__init__(f"step {step!r} exceeded its {kind} timeout of {seconds:g}s; {effect}")
        self.step = step
        self.kind = kind
        self.seconds = seconds


class OutcomeUnknown(StepError):
    """The process died during an at-most-once step: its effect may or may not have happened."""

    def __init__(self, step: str, key: str) -> None:
        super().__init__(
            f"the process died while step {step!r} ({key}) was running, so its effect may or may "
            "not have happened. The step runs at most once: check the external system, then "
            "compensate or continue"
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


class RunNotFound(OutlastError):
    """No run goes by this id (or its retention is over); those below: no actor, team, letter."""

    _what = "run"
    _why = "it was never started in this database, or was deleted after its retention period"
    _look = "outlast ls"

    def __init__(self, run_id: str) -> None:
        super().__init__(
            f"no {self._what} has the id {run_id!r}: {self._why}; `{self._look}` lists those "
            "that exist"
        )
        self.run_id = run_id


class ActorNotFound(RunNotFound):
    """The actor of this id has received no message yet; `run_id` is `type/key`."""

    _what = "actor"
    _why = "it has not received a message yet"
    _look = "outlast actor ls"


class TeamNotFound(RunNotFound):
    """No team of this name was applied; `run_id` is the name."""

    _what = "team"
    _why = "it was never applied to this database"
    _look = "outlast actor tree"


class DeadLetterNotFound(RunNotFound):
    """No dead letter has this number; `run_id` is the number."""

    _what = "dead letter"
    _why = "it was redelivered, or never existed"
    _look = "outlast actor dead"


class RunExists(OutlastError):
    """A run with this id exists and the call's policy does not allow to attach to it."""

    def __init__(self, run_id: str, status: str, *, is_actor: bool = False) -> None:
        super().__init__(
            f"{run_id!r} is the id of an actor ({status}): choose another id for the run"
            if is_actor
            else f"run {run_id!r} already exists ({status}): choose another id, or set "
            "on_conflict= (for an open run) or reuse= (for a closed run)"
        )
        self.run_id = run_id
        self.status = status


class RunClosed(OutlastError):
    """The run has ended and takes no more messages; of `retry`, it has completed."""

    def __init__(self, run_id: str, status: str, verb: str = "") -> None:
        text = f"run {run_id!r} has ended ({status}) and accepts no more messages"
        if verb:
            text = f"run {run_id!r} has ended ({status}), so it cannot {verb}: {_next(status)}"
        super().__init__(text)
        self.run_id = run_id
        self.status = status


def _next(status: str) -> str:
    fork = "a fork runs it again from an earlier point (`Run.fork(at)`, `outlast fork ID --at`)"
    if status in ("completed", "closed"):
        return f"it completed; {fork}"
    return f"a retry continues it where it failed (`Run.retry()`, `outlast retry ID`), {fork}"


class IdempotencyMismatch(OutlastError):
    """The id is taken by a run of another workflow or with other arguments.

    Also by one whose stored arguments cannot be read here, so that they cannot be compared.
    """

    def __init__(self, run_id: str, difference: str, *, is_unreadable: bool = False) -> None:
        text = (
            f"run {run_id!r} exists with a different input ({difference}): one id stands for one "
            "piece of work, so choose another id"
        )
        if is_unreadable:
            text = (
                f"run {run_id!r} exists, but its input cannot be compared: the stored input does "
                f"not match the types declared here ({difference}). Use code that can read it, "
                "declare a conversion with @evolve, or choose another id"
            )
        super().__init__(text)
        self.run_id = run_id
        self.difference = difference


class SignalConflict(OutlastError):
    """A dedup key was used before with another payload."""

    def __init__(self, run_id: str, name: str, dedup: str, why: str = "") -> None:
        super().__init__(
            f"signal {name!r} to run {run_id!r} was already sent under dedup key {dedup!r} with "
            "a different payload. Nothing was sent; use another key" + (f" ({why})" if why else "")
        )
        self.run_id = run_id
        self.name = name
        self.dedup = dedup


class MailboxFull(OutlastError):
    """A run or an actor has too many unread messages; the message was not handled.

    Nothing was stored, so sending again later is safe; unless `is_dead_letter`: then the message
    is kept among the dead letters, by its actor's `overflow=` policy, and may be sent again there.
    """

    def __init__(
        self,
        run_id: str,
        limit: int,
        *,
        bytes_limit: int | None = None,
        is_dead_letter: bool = False,
    ) -> None:
        became = (
            "the message was not handled and is a dead letter; `outlast actor dead` lists it, "
            "`outlast actor redrive` sends it again"
            if is_dead_letter
            else "nothing was stored. Send it again when some messages have been read"
        )
        size = "" if bytes_limit is None else f", or {bytes_limit:,} bytes of them"
        super().__init__(f"{run_id!r} has {limit:,} unread messages{size}, the limit: {became}")
        self.run_id = run_id
        self.limit = limit
        self.is_dead_letter = is_dead_letter


class ReplayMismatch(OutlastError):
    """The code asked for another operation than its journal has: the code changed."""

    def __init__(self, run_id: str, *, expected: str, actual: str) -> None:
        super().__init__(
            f"run {run_id!r}: the journal has {expected}, but the code now asks for {actual}. "
            "The code changed while the run was open. Restore the old order (the run then "
            "continues by itself), or start a new run"
        )
        self.run_id = run_id
        self.expected = expected
        self.actual = actual
