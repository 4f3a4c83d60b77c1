"""Spans of OpenTelemetry for runs, the attempts of their steps, and messages (extra `otel`).

A span is made of a record when that is durable, so it is made once, however often the run is
replayed: replay writes no records. Its id follows from the run and the step's key, so a child can
name its parent before that has ended, in this process or the next.

A run belongs to the trace that its start came with (`traceparent` of HTTP, or of the code that
called `Engine.start`), or to one of its own; its children belong to the same. What a step's body
does, spans of other libraries included, is inside the step's span. A message to an actor is a span
from when it was sent until what came of it was durable, inside the span that it was sent in: a
request's, or a step's; what its handler tells other actors is beside it. One that was sent outside
of any is a trace of its own.

    provider = TracerProvider(id_generator=RunIds())
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    async with Engine.open("outlast.db", tracing=provider) as engine:
        ...
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.id_generator import IdGenerator, RandomIdGenerator
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, StatusCode, TraceFlags
from typing_extensions import override

from outlast._engine.open_engine import EngineCore
from outlast._engine.reading.records import readable
from outlast._engine.scheduling.observers import Fact, MessageEnded, Recorded
from outlast._execution.actors.actor_run import LiveActor
from outlast._execution.bodies.body import Body
from outlast._execution.calls.operations import failure_in
from outlast._execution.runs.run import LiveRun
from outlast._messages.letters import decode_letter
from outlast._records import Record
from outlast._shapes import is_dict
from outlast._store.attributes import TRACEPARENT
from outlast._store.decisions import is_another_life, life_of
from outlast._store.rows import Message, RunRow
from outlast._world import entropy
from outlast.errors import StoreDamaged, UsageError
from outlast.types import RunId

_PARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_PLACES_MAX = 100_000  # steps of actors at work; those that never end are forgotten first
_next_span_id: ContextVar[int] = ContextVar("next_span_id", default=0)


class RunIds(IdGenerator):
    """Gives spans of runs and steps the ids that follow from them, and all others random ones."""

    def __init__(self) -> None:
        self._random = RandomIdGenerator()

    @override
    def generate_span_id(self) -> int:
        return _next_span_id.get() or self._random.generate_span_id()

    @override
    def generate_trace_id(self) -> int:
        return self._random.generate_trace_id()


def tracing_by(provider: TracerProvider) -> Callable[[EngineCore], None]:
    """Return what has an engine make spans.

    Raises:
        UsageError: the provider gives ids of its own: make it with `id_generator=RunIds()`.
    """
    if not isinstance(provider.id_generator, RunIds):
        raise UsageError(
            "tracing needs spans with the ids that a replay gives again: "
            "TracerProvider(id_generator=RunIds()), from outlast.telemetry.tracing"
        )
    return Tracing(provider).attach


@dataclass(frozen=True, slots=True)
class _SpanParent:
    """Where a step's span belongs, and its id."""

    parent: SpanContext
    span_id: int


class Tracing:
    """Listens to one engine."""

    def __init__(self, provider: TracerProvider) -> None:
        self._tracer = provider.get_tracer("outlast")
        self._residents: Mapping[RunId, LiveRun] = {}
        self._now: Callable[[], int] = lambda: 0
        self._places: dict[tuple[RunId, str], _SpanParent] = {}  # of the steps of actors at work

    def attach(self, core: EngineCore) -> None:
        """Begin, before anything of the engine runs."""
        self._residents = core.scheduler.residents
        self._now = core.world.now
        core.scheduler.observers.add(self._observe)
        core.scheduler.bodies.around.append(self._enter)
        core.starts.attributes_of = with_traceparent
        core.actors.trace_of = _current_trace

    # ----------------------------------------------------------------------- durable
    def _observe(self, facts: Sequence[Fact]) -> None:
        for fact in facts:
            if isinstance(fact, Recorded):
                self._recorded(fact.row, fact.records)
            elif isinstance(fact, MessageEnded):
                self._handled(fact.message, fact.outcome)

    def _recorded(self, row: RunRow, records: Sequence[Record]) -> None:
        home = _home_of(row.attributes)
        for record in records:
            if record.kind in ("step_done", "attempt_failed") and record.attempt:
                place = self._places.pop((row.id, record.key), None)
                if place is None and home is not None:
                    place = _place_in_run(home, row, record.key, record.attempt)
                if place is not None:
                    self._step_span(place, row, record)
            elif record.kind == "run_closed" and home is not None:
                self._run_span(home, row, record)

    def _step_span(self, place: _SpanParent, row: RunRow, record: Record) -> None:
        told = readable(record)
        attributes: dict[str, str | int | float] = {
            "outlast.run": row.id,
            "outlast.key": record.key,
            "outlast.attempt": record.attempt,
            "outlast.waited_seconds": record.waited / 1e6,
        }
        self._span(
            record.name,
            place.parent,
            span_id=place.span_id,
            began=record.at - record.took,
            ended=record.at,
            attributes=attributes,
            error=told.error,
        )

    def _run_span(self, home: SpanContext, row: RunRow, record: Record) -> None:
        told = readable(record)
        status = told.value.get("status") if is_dict(told.value) else ""
        attributes = {
            "outlast.run": row.id,
            "outlast.workflow": row.workflow,
            "outlast.version": row.version,
            "outlast.status": f"{status}",
        }
        self._span(
            row.workflow,
            home,
            span_id=span_id_of(row.id, life_of(row)),
            began=_began_at(row),
            ended=record.at,
            attributes=attributes,
            error=told.error,
        )

    def _handled(self, message: Message, outcome: bytes) -> None:
        """A message to an actor has ended, durably: from when it was sent until now."""
        failure = failure_in(outcome)
        cause = _cause_of(message)
        self._span(
            f"{message.run.partition('/')[0]}.{message.name}",
            cause or _context(_message_id(message) << 64 | 1, _message_id(message) ^ 1 or 2),
            span_id=_message_id(message),
            began=message.at,
            ended=self._now(),
            attributes={"outlast.actor": message.run, "outlast.message": message.number},
            error=None if failure is None else f"{failure.qualname}: {failure.message}",
        )

    def _span(
        self,
        name: str,
        parent: SpanContext,
        *,
        span_id: int,
        began: int,
        ended: int,
        attributes: Mapping[str, str | int | float],
        error: str | None,
    ) -> None:
        around = trace.set_span_in_context(NonRecordingSpan(parent))
        token = _next_span_id.set(span_id)
        try:
            span = self._tracer.start_span(
                name,
                around,
                kind=SpanKind.INTERNAL,
                attributes=attributes,
                start_time=began * 1_000,
            )
        finally:
            _next_span_id.reset(token)
        if error is not None:
            span.set_status(StatusCode.ERROR, error)
        span.end(ended * 1_000)

    # ------------------------------------------------------------------------ bodies
    def _enter(self, body: Body) -> None:
        """Make the step's span the current one of its body."""
        live = self._residents.get(body.run)
        place: _SpanParent | None = None
        if isinstance(live, LiveActor):
            place = _place_in_message(live, body)
        elif live is not None and (home := _home_of(live.row.attributes)) is not None:
            place = _place_in_run(home, live.row, body.key, body.attempt)
        if place is None:
            return
        if isinstance(live, LiveActor):
            # Its records do not tell which message they belong to, and that may be over by then.
            self._places[body.run, body.key] = place
            if len(self._places) > _PLACES_MAX:
                del self._places[next(iter(self._places))]
        span = NonRecordingSpan(_context(place.parent.trace_id, place.span_id))
        otel_context.attach(trace.set_span_in_context(span))


def _began_at(row: RunRow) -> int:
    """Return when a run's present life began; before the first one it may have waited."""
    return row.started_at or row.created_at if is_another_life(row.request) else row.created_at


def _place_in_run(home: SpanContext, row: RunRow, key: str, attempt: int) -> _SpanParent:
    parent = _context(home.trace_id, span_id_of(row.id, life_of(row)))
    return _SpanParent(parent, span_id_of(row.id, life_of(row), key, attempt))


def _place_in_message(actor: LiveActor, body: Body) -> _SpanParent | None:
    handled = actor.handling.current
    if handled is None:
        return None
    message, row = handled.message, actor.row
    cause = _cause_of(message)
    trace_id = _message_id(message) << 64 | 1 if cause is None else cause.trace_id
    # Another attempt at the message has the same keys, and begins at another place.
    key = f"{row.folded_seq} {body.key}"
    parent = _context(trace_id, _message_id(message))
    return _SpanParent(parent, span_id_of(row.id, life_of(row), key, body.attempt))


def _message_id(message: Message) -> int:
    """Return the id of a message's span."""
    return span_id_of(message.run, f"{message.at}", message.name, message.number)


def _cause_of(message: Message) -> SpanContext | None:
    """Return the span that a message was sent in."""
    try:
        return _parent_in(decode_letter(message.body).trace)
    except StoreDamaged:
        return None  # what an engine tells an actor is no letter


def _current_trace() -> str:
    """Return the trace that something is written in now."""
    around = trace.get_current_span().get_span_context()
    return _traceparent(around) if around.is_valid else ""


def with_traceparent(attributes: str) -> str:
    """Return a new run's attributes with the trace that it belongs to."""
    found: dict[str, object] = json.loads(attributes)
    if TRACEPARENT not in found:
        around = trace.get_current_span().get_span_context()
        if not around.is_valid:
            around = _context(entropy(127) + 1, entropy(63) + 1)
        found[TRACEPARENT] = _traceparent(around)
    return json.dumps(found, sort_keys=True, ensure_ascii=False)


def _home_of(attributes: str) -> SpanContext | None:
    """Return the span that a run was started in."""
    if TRACEPARENT not in attributes:
        return None
    return _parent_in(f"{json.loads(attributes).get(TRACEPARENT)}")


def _parent_in(traceparent: str) -> SpanContext | None:
    match = _PARENT.fullmatch(traceparent)
    return None if match is None else _context(int(match[1], 16), int(match[2], 16))


def _traceparent(around: SpanContext) -> str:
    return f"00-{around.trace_id:032x}-{around.span_id:016x}-01"


def _context(trace_id: int, span_id: int) -> SpanContext:
    return SpanContext(trace_id, span_id, is_remote=True, trace_flags=_SAMPLED)


def span_id_of(run: RunId, life: str, key: str = "", attempt: int = 0) -> int:
    """Return the id of a run's span, or of that of a step's attempt in it."""
    text = f"{run}\0{life}\0{key}\0{attempt}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") or 1
