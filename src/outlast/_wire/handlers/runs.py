"""Handlers of runs: starting, looking, sending."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from urllib.parse import quote

import msgspec
from starlette.responses import Response

from outlast import limits
from outlast._codec import shown_json
from outlast._engine.reading.details import failure_of, result_in
from outlast._engine.reading.records import info_of
from outlast._engine.reading.run_statistics import statistics_of
from outlast._engine.scheduling.outcomes import error_of
from outlast._engine.scheduling.signal_names import payload_by_name
from outlast._engine.verbs.forks import ForkInput, ForkRequest, fork_input
from outlast._engine.verbs.updates import declared_update, json_of, payload_of, result_of
from outlast._messages.payloads import ReadyPayload
from outlast._messages.updates import update_message
from outlast._store.attributes import TRACEPARENT
from outlast._store.auditing import because, doing, only_looking
from outlast._store.contract import Cursor
from outlast._wire.formats.answers import answer, fields_of, fitting, preview_of
from outlast._wire.formats.foreign import Encoded, work_from_encoded, work_from_json
from outlast._wire.formats.problems import Problem
from outlast._wire.live.protocols import PROTOCOLS, encoding_of
from outlast._wire.live.runstreams import cursor_of
from outlast._wire.live.translation import place_at, place_of
from outlast._wire.requests import Call, bad_query, cursor_in, text_of_cursor
from outlast._wire.security.hangups import while_connected
from outlast._wire.service import Service
from outlast._wire.verbs import RunVerbs
from outlast._wording.names import check_name, check_text
from outlast._wording.plurals import counted
from outlast.errors import RunExists
from outlast.types import (
    CLOSED_STATUSES,
    BulkAction,
    ForkKeys,
    ForkSignals,
    OnConflict,
    Reuse,
)

_RESULT_SECONDS = 30.0
_FAILED_SHOWN = 100
_POINTS_MAX = 200
_GLANCE_BYTES = 200
_ROW_BYTES = 500  # of a run's row beside its attributes


class StartBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a start takes; `input` has the workflow's arguments by name.

    `encoded` has them as the sender's code encodes them; with `digest` and `version` of that code,
    an admin starts a workflow that this engine has no code for: the run waits for one that has it.
    """

    input: dict[str, object] = {}
    id: str | None = None
    on_conflict: OnConflict = "attach"
    reuse: Reuse = "if_failed"
    attributes: dict[str, str | int | float | bool] = {}
    delay: float | str | None = None
    timeout: float | str | None = None
    encoded: bytes | None = None
    digest: bytes = b""
    version: str = ""


class SignalBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a signal takes."""

    value: object = None
    dedup: str | None = None
    allow_undeclared: bool = False


class UpdateBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an update takes; the same `id` is the same update."""

    value: object = None
    id: str | None = None


class CancelBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a request to cancel takes."""

    reason: str = ""
    grace: float | str | None = None


class TerminateBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a termination takes."""

    reason: str = ""


class ReasonBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a pause, a resume or a discard takes: why, for the audit."""

    reason: str = ""


class Nothing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A body without anything in it."""


async def start(service: Service, call: Call) -> Response:
    """Start a run, or attach to the one that has this id."""
    name, registry = call.name("name"), service.core.registry
    body = await call.read(StartBody)
    has_code = True
    if body.encoded is None:
        given = body.input
        work = await call.converted(len(call.body), lambda: work_from_json(registry, name, given))
    elif call.caller.may("admin"):
        encoded = Encoded(body.encoded, body.digest, body.version)
        work, has_code = await call.converted(
            len(call.body), lambda: work_from_encoded(registry, name, encoded)
        )
    else:
        raise Problem(403, "role-missing", "`encoded` needs the role admin: give `input` instead")
    traced = {TRACEPARENT: call.traceparent} if call.traceparent else {}
    starting = service.engine.start(
        work,
        id=body.id,
        on_conflict=body.on_conflict,
        reuse=body.reuse,
        attributes=body.attributes | traced,
        delay=body.delay,
        timeout=body.timeout,
    )
    makes_way = body.on_conflict in ("replace", "terminate")
    run = await (_after_another(service, call, starting, body.id or "") if makes_way else starting)
    fields = {**fields_of(await run.info()), "created": run.created, "has_code": has_code}
    return answer(fields, 201 if run.created else 200)


async def _after_another(
    service: Service, call: Call, starting: Awaitable[RunVerbs], run: str
) -> RunVerbs:
    """Start a run when the one that has its id has ended, as long as its client waits for that."""
    async with while_connected(call.request.receive, service.core.world):
        started = await service.within(starting, _RESULT_SECONDS)
    if started is None:
        raise RunExists(
            run,
            f"cancellation was requested, and the run has not ended within {_RESULT_SECONDS:g} "
            "seconds",
        )
    return started


async def runs(service: Service, call: Call) -> Response:
    """List runs, newest first."""
    size = call.page_size()
    query = query_of(call)
    rows = await service.core.reader.page(query, cursor_in(call), size + 1)
    count, total = fitting(_ROW_BYTES + len(row.attributes) for row in rows[:size])
    shown = rows[:count]
    following = Cursor(shown[-1].created_at, shown[-1].id) if count < len(rows) else None
    following_text = following and text_of_cursor(following)
    return await call.converted(
        total, lambda: answer({"runs": [info_of(row) for row in shown], "next": following_text})
    )


async def statistics(service: Service, call: Call) -> Response:
    """Count runs by status, time, workflow and error."""
    points = call.number("points", 60, least=1, most=_POINTS_MAX)
    which, glances = await service.core.reader.glances(query_of(call))
    now = service.core.world.now()
    return await call.converted(
        len(glances) * _GLANCE_BYTES,
        lambda: answer(statistics_of(glances, which, now, points=points)),
    )


def query_of(call: Call) -> str:
    """Return the query of runs.

    Raises:
        Problem: it is too long.
    """
    query = call.text("query")
    if len(query) > limits.QUERY_CHARS_MAX:
        most = f"at most {limits.QUERY_CHARS_MAX:,} characters"
        raise bad_query("query", most, f"{len(query):,} characters")
    return query


async def show(service: Service, call: Call) -> Response:
    """Return all details of one run."""
    run = call.run_id()
    found, stored = await service.details.of(run)
    href = f"/v1/runs/{quote(run, safe='')}"

    def told() -> Response:
        fields = {**fields_of(found.info), **fields_of(found)}
        del fields["info"]
        given = service.details.input_json(stored)
        shown, preview = preview_of(stored.input, given, f"{href}/journal/1")
        # An object all the same: clients show its members.
        fields["input"] = shown if preview is None else {"…": shown}
        result = shown_json(lambda: service.details.result_json(stored.workflow, stored.result))
        fields["result"], result_preview = preview_of(stored.result, result, f"{href}/result")
        fields |= {"input_preview": preview, "result_preview": result_preview}
        return answer(fields)

    return await call.converted(len(stored.input) + len(stored.result), told)


async def why(service: Service, call: Call) -> Response:
    """Return what a run is waiting for, or how it ended."""
    run = call.run_id()
    info = await service.core.reader.info(run)
    reason = await service.core.reader.why(run)
    return answer({"id": run, "status": info.status, "why": reason})


async def result(service: Service, call: Call) -> Response:
    """Wait for a run's end."""
    run = call.run_id()
    seconds = call.seconds("timeout", _RESULT_SECONDS)
    waits_on = call.choice("parked", "raise", "wait") == "wait"
    await service.core.reader.row(run)  # an unknown one is said at once
    row = await service.within(service.core.closed(run, parked_counts=not waits_on), seconds)
    if row is None:  # the time is over, or the server drains: it may have ended meanwhile
        row = await service.core.reader.row(run)
    if row.status not in CLOSED_STATUSES:
        info = await service.core.reader.info(run)
        reason = await service.core.reader.why(run)
        return answer({"id": run, "status": info.status, "why": reason}, 202)
    error = error_of(row)
    if error is None:
        data, status = result_in(row), row.status
        details, workflow = service.details, row.workflow
        return await call.converted(
            len(data),
            lambda: answer(
                {"id": run, "status": status, "result": details.result_json(workflow, data)}
            ),
        )
    failure = failure_of(row)
    told = {"type": type(error).__name__, "message": f"{error}", "reason": row.error or ""}
    if failure is not None:
        told |= {"type": failure.type, "message": failure.message, "traceback": failure.traceback}
    return answer({"id": run, "status": row.status, "error": told})


async def stream(service: Service, call: Call) -> Response:
    """Follow a stream live, from an offset or after the last event received."""
    run, name = call.run_id(), call.name("name")
    offset = call.number("offset", 0, most=1 << 50)
    protocol = call.text("protocol") or "raw"
    if protocol not in PROTOCOLS:
        detail = f"protocol is one of {', '.join(PROTOCOLS)}, not {protocol[:50]!r}"
        raise Problem(400, "unknown-protocol", detail)
    service.clients.check_room(call.holders)
    row = await service.core.reader.row(run)
    mark = await service.details.mark(row)
    last_id = call.request.headers.get("last-event-id", "")
    if protocol != "raw":
        place = place_of(last_id, mark) if last_id else place_at(offset)
        cursor = await service.pages.cursor(row, name, protocol, mark, place)
        if cursor is None:
            return Response(status_code=204)
        source = service.pages.open(cursor, call.holders[0])
        return service.event_stream(source, call, encoding_of(protocol).headers)
    at, has_seen_end = cursor_of(row, name, offset, last_id, mark)
    if has_seen_end and row.status in CLOSED_STATUSES:
        rest = await service.core.reader.streams.page(run, name, at.offset)
        if not rest:
            return Response(status_code=204)  # there is nothing behind it: no need to come again
    return service.event_stream(service.streams.open(at, call.holders[0]), call)


# ------------------------------------------------------------------------------ sending
async def signal(service: Service, call: Call) -> Response:
    """Send a signal; it is stored when this answers."""
    body = await call.read(SignalBody)
    run, name, value = service.engine.get(call.run_id()), call.name("name"), body.value
    if len(call.body) > limits.HTTP_INLINE_BYTES:
        registry = service.core.registry
        ready = await call.converted(len(call.body), lambda: payload_by_name(registry, name, value))
        value = ReadyPayload(ready)
    await run.signal(name, value, dedup=body.dedup, allow_undeclared=body.allow_undeclared)
    return answer({}, 202)


async def update(service: Service, call: Call) -> Response:
    """Send an update; if it takes longer, repeat the request with the same id."""
    run, core = call.run_id(), service.core
    definition = declared_update(core.registry, call.name("name"))
    body = await call.read(UpdateBody)
    update_id = core.world.new_id() if body.id is None else body.id
    value = body.value
    payload = await call.converted(len(call.body), lambda: payload_of(definition, value))
    message = update_message(
        run,
        definition.name,
        payload,
        check_name("an update's id", update_id),
        at=core.world.now(),
    )
    seconds, safe = call.seconds("timeout", _RESULT_SECONDS), asyncio.Event()
    kept = await service.within(core.update(message, safe), seconds, safe)
    if kept is not None:
        result = result_of(run, definition.name, kept)
        return await call.converted(
            len(result), lambda: answer({"result": json_of(definition, result)})
        )
    info = await core.reader.info(run)
    reason = await core.reader.why(run)
    return answer({"id": run, "update": update_id, "status": info.status, "why": reason}, 202)


async def cancel(service: Service, call: Call) -> Response:
    """Request cancellation of a run; its code can clean up."""
    body = await call.read(CancelBody)
    because(body.reason)
    await service.engine.get(call.run_id()).cancel(body.reason, body.grace)
    return answer({}, 202)


async def terminate(service: Service, call: Call) -> Response:
    """End a run without running any more of its code."""
    body = await call.read(TerminateBody)
    because(body.reason)
    await service.engine.get(call.run_id()).terminate(body.reason)
    return answer({}, 202)


class BulkBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a verb for many runs takes; `expected` is the count that the caller was shown."""

    action: BulkAction
    query: str
    expected: int
    reason: str = ""


async def count(service: Service, call: Call) -> Response:
    """Count the runs that match a query."""
    number = await service.engine.count(query_of(call))
    return answer({"count": number, "is_exact": number < limits.COUNT_MAX})


async def bulk(service: Service, call: Call) -> Response:
    """Apply one action to every run that matches a query."""
    body = await call.read(BulkBody)
    because(body.reason)
    doing(f"bulk {body.action}", body.query)
    if body.action == "terminate" and not call.caller.may("admin"):
        detail = (
            f"terminating many runs at once needs the role admin; {call.caller.name!r} can "
            "cancel them"
        )
        raise Problem(403, "role-missing", detail)
    number = await service.engine.count(body.query)
    if abs(number - body.expected) * 10 > max(number, body.expected):
        raise Problem(
            409,
            "count-changed",
            f"the query now matches {counted(number, 'run')}, not {body.expected:,}: nothing was "
            "changed",
            facts={"count": number},
        )
    done = 0
    failed: list[dict[str, str]] = []
    async for outcome in service.engine.bulk(body.action, body.query, reason=body.reason):
        if outcome.error is None:
            done += 1
        elif len(failed) < _FAILED_SHOWN:
            failed.append({"id": outcome.id, "detail": f"{outcome.error}"})
    return answer({"done": done, "failed": failed})


class ForkBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a fork takes: `at` is a seq, a step's key or its name; `input` replaces arguments.

    With `dry_run` the answer is the plan of what would run again, and nothing is done.
    """

    at: int | str
    input: dict[str, object] | None = None
    keys: ForkKeys = "same"
    signals: ForkSignals = "leave"
    dry_run: bool = False
    reason: str = ""


class RetryBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a retry takes; with `dry_run` the answer is the plan, and nothing is done."""

    dry_run: bool = False
    reason: str = ""


async def pause(service: Service, call: Call) -> Response:
    """Pause a run."""
    body = await call.read(ReasonBody)
    because(body.reason)
    await service.engine.get(call.run_id()).pause(reason=body.reason)
    return answer({}, 202)


async def discard(service: Service, call: Call) -> Response:
    """Discard the message that a run cannot read, and resume the run."""
    body = await call.read(ReasonBody)
    await service.engine.get(call.run_id()).discard(reason=body.reason)
    return answer({}, 202)


async def retry(service: Service, call: Call) -> Response:
    """Retry a run that did not complete."""
    body = await call.read(RetryBody)
    because(body.reason)
    run = service.engine.get(call.run_id())
    if body.dry_run:
        only_looking()
        return answer(fields_of(await run.retry_plan()))
    await run.retry(reason=body.reason)
    return answer({}, 202)


async def fork(service: Service, call: Call) -> Response:
    """Start a new run from a point in this run's history."""
    body = await call.read(ForkBody)
    because(check_text("the reason", body.reason))
    core, run, arguments = service.core, call.run_id(), body.input
    core.check()
    if body.dry_run:
        only_looking()
        request = ForkRequest(run, body.at, keys=body.keys, signals=body.signals)
        return answer(fields_of(await core.forks.fork_plan(request)))
    row = await core.reader.row(run)
    given: ForkInput | None = None
    if arguments is not None and row.kind == "workflow":
        given = await call.converted(
            len(call.body), lambda: fork_input(core.registry, row.workflow, arguments)
        )
    made = await core.forks.fork(ForkRequest(run, body.at, given, body.keys, body.signals))
    info = await service.engine.get(made).info()
    return answer({**fields_of(info), "created": True}, 201)


async def resume(service: Service, call: Call) -> Response:
    """Resume a paused or parked run."""
    body = await call.read(ReasonBody)
    because(body.reason)
    await service.engine.get(call.run_id()).resume(reason=body.reason)
    return answer({}, 202)
