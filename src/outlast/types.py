"""The nouns that every layer shares: frozen, without behaviour.

Times inside the engine are integers: microseconds since 1970-01-01 UTC, in fields whose
names end in `at`. Lengths of time that users write are a `Duration`; inside they are float
seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Generic, Literal, NewType, Protocol, TypeAlias, TypeVar, runtime_checkable

R = TypeVar("R")

RunId = NewType("RunId", str)
Duration: TypeAlias = timedelta | float | str
"""A length of time: seconds as a number, a `timedelta`, or text such as "200ms", "30s", "3d"."""

Status: TypeAlias = Literal[
    "pending",
    "running",
    "waiting",
    "paused",
    "parked",
    "completed",
    "failed",
    "cancelled",
    "terminated",
    "timed_out",
]
CLOSED_STATUSES: frozenset[Status] = frozenset(
    ("completed", "failed", "cancelled", "terminated", "timed_out")
)
OPEN_STATUSES: frozenset[Status] = frozenset(("pending", "running", "waiting", "paused", "parked"))
STATUSES: frozenset[Status] = OPEN_STATUSES | CLOSED_STATUSES
OnConflict: TypeAlias = Literal["attach", "fail", "terminate", "replace"]
Reuse: TypeAlias = Literal["always", "if_failed", "never"]
OnParentClose: TypeAlias = Literal["cancel", "terminate", "abandon"]
Once: TypeAlias = Literal["at_least", "at_most", "tx"]
Reentrant: TypeAlias = Literal["never", "chain"]

WhileBusy: TypeAlias = Literal["queue", "steer", "interrupt", "reject"]
"""What becomes of a message that comes while its actor is in the midst of another one."""
StreamProtocol: TypeAlias = Literal["raw", "ag-ui", "vercel-ai"]
Overflow: TypeAlias = Literal["reject", "block", "drop_oldest", "dead_letter"]
Restart: TypeAlias = Literal["always", "on_failure", "never"]
Strategy: TypeAlias = Literal["one_for_one", "one_for_all", "rest_for_one"]
OnExhausted: TypeAlias = Literal["escalate", "park"]
Where: TypeAlias = Literal["auto", "loop", "thread", "process"]
Jitter: TypeAlias = Literal["full", "none"]
BulkAction: TypeAlias = Literal["cancel", "terminate", "pause", "resume", "retry"]
TokenKind: TypeAlias = Literal["token", "approval"]
TokenStatus: TypeAlias = Literal["open", "answered", "expired", "closed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """When a failed attempt of a step is made again.

    `attempts` counts the first one. The wait before attempt n+1 is `first * factor**(n-1)`, at
    most `cap`, and with `jitter="full"` a random part of it, drawn once and stored. `within`
    bounds all attempts together, measured from the first start of the step, over crashes. Errors
    of a type in `never_on` are final at once. When attempts are spent, `then="fail"` raises the
    last error in the workflow, `then="park"` keeps the run open until a person resumes it.
    """

    attempts: int = 5
    first: Duration = "200ms"
    factor: float = 2.0
    cap: Duration = "30s"
    jitter: Jitter = "full"
    within: Duration | None = None
    never_on: tuple[type[BaseException], ...] = ()
    then: Literal["fail", "park"] = "fail"


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeout:
    """How long a step may take.

    `run` bounds one attempt, `queue` the wait for a free thread or process, `total` all attempts
    and the waits between them, `idle` the time between heartbeats. A time that runs out fails
    the attempt with `StepTimeout`; `total` fails the step.
    """

    run: Duration | None = None
    queue: Duration | None = None
    total: Duration | None = None
    idle: Duration | None = None


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to write the runs of one shard: a later epoch of the same shard refuses it.

    `was_left` says that the owner before did not give it back: it died, or hung.
    """

    shard: int
    owner: str
    epoch: int
    was_left: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class RunInfo:
    """What the store knows of one run: the fields that `--json` prints.

    `error` says in one line how the run failed, or why it is parked; None when neither is so.
    """

    id: str
    workflow: str
    version: str
    status: Status
    created_at: datetime
    started_at: datetime | None
    closed_at: datetime | None
    wake_at: datetime | None
    parent: str | None
    attributes: Mapping[str, str | int | float | bool] = field(
        default_factory=dict[str, str | int | float | bool]
    )
    steps: int = 0
    crash_count: int = 0
    error: str | None = None


@dataclass(frozen=True, slots=True)
class ActorInfo:
    """What the store knows of one actor: the fields that `--json` prints.

    `state` is JSON-like data; `waiting` counts the messages in its mailbox (up to a thousand),
    `oldest_at` is when the first of them was sent. `supervisor` is the id of the team's in which it
    has a place, `restarts` how often it was started again there.
    """

    id: str
    type: str
    key: str
    status: Status
    created_at: datetime
    waiting: int
    oldest_at: datetime | None
    state: object
    error: str | None = None
    supervisor: str | None = None
    restarts: int = 0


@dataclass(frozen=True, slots=True)
class BulkOutcome:
    """What came of a bulk verb for one run: `error` says why nothing did, None when it was done."""

    id: str
    error: str | None = None


@dataclass(frozen=True, slots=True)
class TokenInfo:
    """A question of a run to the outside: the fields that `--json` prints.

    `status` is "open", "answered", "expired" (no answer in time) or "closed" (its run ended
    first). `detail` and `value`, the answer, are JSON-like data; of an approval the answer is
    whether it was given. `digest` stands for the exact title and detail: an answer that carries it
    is refused for any other question.
    """

    id: str
    run: str
    workflow: str
    kind: TokenKind
    title: str
    detail: object
    created_at: datetime
    expires_at: datetime | None
    status: TokenStatus
    by: str | None
    reason: str
    answered_at: datetime | None
    digest: str
    value: object = None


@dataclass(frozen=True, slots=True)
class AuditInfo:
    """Something that was done from outside, or tried: the fields that `--json` prints.

    `caller` is the name of a token, or of a user of this machine who came over the Unix socket
    ("socket") or with a command ("command"). `outcome` is "done", or in a word why not. `target`
    is what was named, `run` the run that it came to.
    """

    number: int
    at: datetime
    caller: str
    role: str
    via: Literal["http", "socket", "command"]
    verb: str
    target: str
    run: str | None
    reason: str
    outcome: str


@runtime_checkable
class RunBudget(Protocol):
    """What `Engine.start` takes as `budget=`: what `outlast.agents.budget(...)` returns."""

    def handed_to(self, run: str, *, unique: str, begins: float) -> str:
        """Return what the code of a new run is told of it; `begins` is in seconds since 1970."""
        ...


@dataclass(frozen=True, slots=True)
class ProviderInfo:
    """The limits of a provider's key and its queue: the fields that `--json` prints.

    `rpm` and `tpm` are the requests and tokens that a minute has, `requests_used` and
    `tokens_used` what is used of the last one. `waiting` requests of so many `tenants` wait.
    `held_seconds` is how long the provider still wants nothing to be sent.
    """

    name: str
    rpm: int | None
    tpm: int | None
    fair_by: str | None
    waiting: int = 0
    tenants: int = 0
    requests_used: int = 0
    tokens_used: int = 0
    held_seconds: float = 0.0


ForkKeys = Literal["same", "new"]
ForkSignals = Literal["leave", "copy"]


@dataclass(frozen=True, slots=True)
class RerunStep:
    """A step that a fork or a retry runs again; `outcome` is how it stood in the original run.

    `place` is the source line that asked for it, such as "shop.py:33", "" when it is not known.
    `idempotency_key` is what `this_step().key` will be, None when it is one that is not known yet:
    of a fork with keys="new". A tool with `@effect(idempotent=function)` has what that returns.
    """

    key: str
    name: str
    outcome: Literal["completed", "failed", "unfinished"]
    idempotency_key: str | None
    place: str = ""


ChildAction = Literal["attach", "wait", "start", "refuse"]


@dataclass(frozen=True, slots=True)
class RerunChild:
    """A child run of the original run, and what a fork or a retry does when it asks for it again.

    `id` is the one in the original run, `status` how it stands, None when there is no such run.
    `action` is "attach": the run takes this child's result or failure, or waits for it; "wait": it
    was told to stop and has not ended; then it is started anew, unless it completes; "start": it is
    started anew, at its first line, whatever it did before; "refuse": its id is in use, so that
    starting it raises `RunExists`.
    """

    key: str
    id: str
    action: ChildAction = "start"
    status: Status | None = None


@dataclass(frozen=True, slots=True)
class RerunToken:
    """An approval or a token that a fork or a retry asks for anew."""

    key: str
    kind: str
    title: str


@dataclass(frozen=True, slots=True)
class RerunSignal:
    """A signal that was sent to the original run; `seq` is None while it is in the mailbox."""

    name: str
    seq: int | None


@dataclass(frozen=True, slots=True)
class RerunPlan:
    """What a fork or a retry of a run would keep, and what it would run again.

    Nothing is done yet. `seq` is the first record that is not kept as it is, `records_kept` and
    `steps_kept` count what is. `steps`, `children` and `tokens` are those that the original run had
    begun beyond that; they run again if the code asks for them again. `signals_left` stay behind in
    the original run, `signals_copied` come along. A step that was in flight when a process died
    leaves no record, so it is in no plan.
    """

    run_id: str
    seq: int
    records_kept: int
    steps_kept: int
    steps: tuple[RerunStep, ...] = ()
    children: tuple[RerunChild, ...] = ()
    tokens: tuple[RerunToken, ...] = ()
    signals_left: tuple[RerunSignal, ...] = ()
    signals_copied: tuple[RerunSignal, ...] = ()


@dataclass(frozen=True, slots=True)
class Approval:
    """What came of `wf.approve`: whether it was given, by whom (None: it expired), and why."""

    approved: bool
    by: str | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Stopped:
    """What an actor that watches another is told: `actor` (an id) has stopped, and why."""

    actor: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Applied:
    """What applying a team did, by ids of members: in itself and in the teams in it.

    A team that is `unchanged` stands for all in it. `failed` says why a member could not be
    started; its supervisor tries again.
    """

    started: tuple[str, ...] = ()
    stopped: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    unchanged: tuple[str, ...] = ()
    failed: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class MemberInfo:
    """One member of a team; `team` is what it is itself, when it is a supervisor.

    `status` is "up", "down" (it waits to be started again), "parked" (it waits for a person) or
    "ended"; `restarts` counts all that there ever were.
    """

    id: str
    kind: Literal["actor", "workflow", "supervisor"]
    status: Literal["up", "down", "parked", "ended"]
    restart: Restart
    significant: bool
    restarts: int
    error: str
    team: TeamInfo | None = None


@dataclass(frozen=True, slots=True)
class TeamInfo:
    """A supervisor and its members, in order: the fields that `--json` prints.

    `failures` are those that count against `max_restarts`, as of the last one.
    """

    id: str
    status: Literal["up", "down", "parked", "ended"]
    strategy: Strategy
    max_restarts: int
    within_seconds: float
    on_exhausted: OnExhausted
    failures: int
    error: str
    members: tuple[MemberInfo, ...]


@dataclass(frozen=True, slots=True)
class DeadLetterInfo:
    """A message that is not delivered any more, why, and after how many attempts.

    `actor` is the id of the actor or run that it was sent to, `handler` the name of the handler,
    signal or update, `kind` how it was sent: "ask", "tell", "signal", "update" and others.
    """

    number: int
    actor: str
    handler: str
    reason: str
    error: str
    attempts: int
    sent_at: datetime
    at: datetime
    kind: str = "tell"


@dataclass(frozen=True, slots=True)
class StreamEvent(Generic[R]):
    """One event of a stream: `data` carries a value, `retract` drops all values of `writer`.

    `offset` is the event's own place in the stream: reading on from `offset + 1` gives what comes
    behind it. Values and retractions are numbered together from 0; `end` has the next free number.
    """

    offset: int
    kind: Literal["data", "retract", "end"]
    writer: str
    value: R | None = None
