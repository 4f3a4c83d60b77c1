"""What a run waits for: steps and children that its code has asked for.

Invariant: an operation is made once per key and life in memory; it leaves `pending` when its
outcome record is delivered, or when the code has cancelled its wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextvars import Context
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

import msgspec

from outlast._codec import (
    Failure,
    capture,
    class_of,
    decode_failure,
    encode_failure,
    explained,
    lost,
    name_of_class,
    noted,
    revive,
)
from outlast._records import FAILURE, VALUE, Blob, outcome_of, with_input
from outlast._registry import Registry, StepDefinition, WorkflowDefinition, known_error_types
from outlast._store.transactions import StartRun
from outlast.errors import DecodingError, StepFailed
from outlast.types import OnParentClose, RunId

_B = TypeVar("_B", bound=msgspec.Struct)

KnownErrors = Mapping[tuple[str, str], type[BaseException]]
NewRun = tuple[StartRun, list[Blob]]
"""The start of a run, ready to be committed, and the blobs that its input needs."""


class StartedBody(msgspec.Struct, frozen=True, array_like=True):
    """Body of `run_started`.

    `salt` is of hashes and ids, `chance_seed` of what the code draws; it is empty in runs that were
    started before there was one. `keys_of` is the run whose idempotency keys the steps have: of a
    fork with the same keys its origin; empty: the run itself. `retried_at` is when the present life
    was made, of a run that was retried. `handed_down` is what the code that started a child hands
    down to it and to its children: the budgets of agents.
    """

    input: bytes
    salt: int
    version: str
    python: str
    signals: int = 0
    id: str = ""
    chance_seed: bytes = b""
    keys_of: str = ""
    retried_at: int = 0
    handed_down: str = ""


class AttemptBody(msgspec.Struct, frozen=True, array_like=True):
    """Body of `attempt_failed`: `next_at` is absolute, `first_at` when the first attempt began.

    The first one says what the step was `given` (`step_inputs`).
    """

    failure: bytes
    next_at: int
    first_at: int
    given: bytes = b""


class CancelBody(msgspec.Struct, frozen=True, array_like=True):
    """Body of `cancel_requested`."""

    reason: str
    grace_seconds: float | None
    is_timeout: bool = False


class WrittenBody(msgspec.Struct, frozen=True, array_like=True):
    """Body of `stream_written` and `stream_retracted`."""

    writer: str
    offset: int
    count: int


class SignalBody(msgspec.Struct, frozen=True, array_like=True):
    """Body of `signal`: the payload, and the sender's dedup key."""

    payload: bytes
    dedup: str = ""


class DiscardedBody(msgspec.Struct, frozen=True, array_like=True):
    """Body of `signal_discarded`: the seq of the signal that an operator made a dead letter."""

    seq: int


class ChildBody(msgspec.Struct, frozen=True, array_like=True):
    """Body of `child_done`: how the child ended, and its result or failure.

    In the message, `life` is the life of the parent that started the child (`ChildCalls.life`).
    The record does not keep it.
    """

    status: str
    outcome: bytes
    reason: str = ""
    life: str = ""


class BeganBody(msgspec.Struct, frozen=True, array_like=True):
    """Body of `run_began`: for how many microseconds it stood idle; none in older records."""

    waited: int


class ClosedBody(msgspec.Struct, frozen=True, array_like=True):
    """Body of `run_closed`."""

    status: str
    outcome: bytes
    reason: str = ""
    was_cancelled: bool = False


_encode = msgspec.msgpack.Encoder().encode


def encode_body(body: msgspec.Struct) -> bytes:
    """Return a record's structured body as bytes."""
    return VALUE + _encode(body)


def decode_body(data: bytes, kind: type[_B]) -> _B:
    """Return the structured body of a record."""
    return msgspec.msgpack.decode(memoryview(data)[1:], type=kind)


class Queued(Protocol):
    """A place in a queue, where a step that has begun waits for its turn."""

    @property
    def name(self) -> str:
        """What it waits for."""
        ...

    def why(self) -> str:
        """Return what is before it, in words."""
        ...


class StepOperation(msgspec.Struct, eq=False):
    """A step that the code awaits."""

    key: str
    name: str
    place: str
    future: asyncio.Future[object]
    definition: StepDefinition
    args: tuple[object, ...]
    kwargs: Mapping[str, object]
    catches: tuple[type[BaseException], ...] = ()
    attempt: int = 0  # attempts that failed so far
    first_at: int = 0
    next_at: int = 0
    last_error: str = ""
    has_intent: bool = False
    is_started: bool = False
    is_parked: bool = False
    is_resumed: bool = False  # an earlier life may have begun it
    value: object = None
    error: BaseException | None = None
    writers: dict[str, str] = msgspec.field(default_factory=dict[str, str])  # stream -> writer
    queued_at: int = 0  # when this attempt was asked for
    ran_at: int = 0  # when its body began
    keys_of: str = ""  # see `StartedBody`
    given: bytes = b""  # its arguments as the first record about it has them
    context: Context | None = None  # of the code that asks, for the body of a closure
    queue: Queued | None = None  # where its body waits

    def failed(self, attempt: int, body: AttemptBody) -> None:
        """Take note of how an attempt ended; the next one has not begun."""
        failure = failure_in(body.failure)
        self.attempt = attempt
        self.first_at, self.next_at = body.first_at, body.next_at
        self.is_started = False
        self.queued_at = self.ran_at = 0
        self.writers.clear()
        self.last_error = "" if failure is None else f"{failure.qualname}: {failure.message}"

    def done(self, outcome: bytes) -> bytes:
        """Return the body of `step_done`; the first record of a step says what it was given."""
        return with_input(self.given, outcome) if self.given and not self.attempt else outcome

    def attempt_failed(self, failure: bytes, next_at: int | None) -> bytes:
        """Return the body of `attempt_failed`; the first one says what the step was given."""
        given = b"" if self.attempt else self.given
        return encode_body(AttemptBody(failure, next_at or 0, self.first_at, given))

    def times(self, now: int) -> tuple[int, int]:
        """Return how long this attempt has stood in the queue, and how long its body ran."""
        if not self.queued_at:
            return 0, 0  # it failed before it was asked for
        ran_at = self.ran_at or now
        return max(0, ran_at - self.queued_at), max(0, now - ran_at)


@dataclass(slots=True, eq=False)
class ChildOperation:
    """A child run; `waiters` are the futures of code that awaits its end."""

    key: str
    name: str
    place: str
    child: RunId
    definition: WorkflowDefinition
    on_parent_close: OnParentClose
    waiters: list[asyncio.Future[object]] = field(default_factory=list[asyncio.Future[object]])
    done: ChildBody | None = None
    is_awaited: bool = False
    is_delivered: bool = False
    error: BaseException | None = None
    value: object = None
    start_again: Callable[[], NewRun] | None = None
    """Makes the child's start once more; None when the child is known to exist."""
    is_start_refused: bool = False
    is_attached: bool = False  # an earlier life of the parent started it
    is_cancelled: bool = False
    cancel_reason: str = ""
    handed_down: str = ""  # see `StartedBody`


Operation = StepOperation | ChildOperation


def known_for(operation: StepOperation, shared: KnownErrors) -> KnownErrors:
    """Return the closed set of error classes that may come back from this step."""
    extra = (
        *operation.definition.raises,
        *operation.definition.retry.never_on,
        *operation.catches,
    )
    if not extra:
        return shared
    named = {name_of_class(c): c for c in extra}
    return {**shared, **named}


class ErrorTypes:
    """The error classes that a registry knows by name; asked anew when it has learned more."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._known = dict(known_error_types(registry))
        self._size = len(registry.known_errors)

    def current(self) -> KnownErrors:
        """Return all of them."""
        if len(self._registry.known_errors) != self._size:
            self._known = dict(known_error_types(self._registry))
            self._size = len(self._registry.known_errors)
        return self._known


_RELATED_MAX = 1_000  # errors looked at: a group may hold any number


def related_errors(error: BaseException) -> list[BaseException]:
    """Return an error, its explicit causes, and the members of groups, each once."""
    found = [error]
    for one in found:
        parts: tuple[BaseException, ...] = getattr(one, "exceptions", ())  # those of a group
        near = [*(parts if isinstance(one, BaseExceptionGroup) else ()), one.__cause__]
        known = set(map(id, found))
        found += [part for part in near if part is not None and id(part) not in known]
        if len(found) >= _RELATED_MAX:
            break
    return found


class RemoteError(Exception):
    """What a step raised in another process: its stored form, and the classes that it is of.

    `classes` are also those of its causes and members.
    """

    def __init__(self, failure: Failure, classes: frozenset[tuple[str, str]]) -> None:
        super().__init__(f"{failure.qualname}: {failure.message}")
        self.failure = failure
        self.classes = classes


def is_error_of(error: BaseException, types: tuple[type[BaseException], ...]) -> bool:
    """Say whether an error, a cause of it or a member of a group is of one of these types.

    Also of an error that comes from another process.
    """
    if not types:
        return False
    if isinstance(error, RemoteError):
        return any(name_of_class(t) in error.classes for t in types)
    return any(isinstance(one, types) for one in related_errors(error))


def failure_body(error: BaseException) -> bytes:
    """Return an error as the body of a record."""
    if isinstance(error, RemoteError):
        return FAILURE + encode_failure(error.failure)
    return FAILURE + encode_failure(capture(error))


def failure_in(body: bytes) -> Failure | None:
    """Return the failure that a body holds, None when it holds a value."""
    body = outcome_of(body)
    return decode_failure(body[1:]) if body[:1] == FAILURE else None


def seen_error(failure: Failure, known: KnownErrors) -> tuple[BaseException, bytes]:
    """Return a new error as the workflow sees it, and the body of a record that says so.

    It is itself when its class is known here, and `StepFailed` otherwise.
    """
    revived = revive(failure, known, is_new=True)
    if revived is None:
        failure = explained(failure, known)
    return _shown(failure, revived), FAILURE + encode_failure(noted(failure, revived))


def recorded_error(failure: Failure, known: KnownErrors) -> BaseException:
    """Return a recorded error as the workflow saw it when it was new.

    Raises:
        DecodingError: the workflow saw an exception of a class that cannot be made here.
    """
    revived = revive(failure, known)
    missing = lost(failure, revived)
    if missing is not None:
        name = f"{missing.module}.{missing.qualname}"
        reason = (
            f"{name} was raised in the workflow as its own class, which is neither among the "
            f"errors declared here (raises=, never_on=, catch(), @error) nor a loaded class that "
            f"derives from one: declare it, or import its module before the engine opens"
        )
        if class_of(missing, known) is not None:
            reason = f"the class of {name} does not accept its stored data"
        raise DecodingError("$", reason)
    return _shown(failure, revived)


def _shown(failure: Failure, revived: BaseException | None) -> BaseException:
    if revived is not None:
        return revived
    return StepFailed(failure.qualname, failure.message, failure.traceback)
