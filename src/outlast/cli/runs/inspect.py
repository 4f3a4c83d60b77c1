"""`outlast ls | show | why | tail`: reading, with or without a running owner."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import fields, replace

import click

from outlast import limits
from outlast._engine.open_engine import CoreOptions
from outlast._engine.reading.records import Record
from outlast._handles.run import Run
from outlast._registry import default_registry
from outlast._wording.plurals import counted
from outlast.cli.places import Place, Server, database_options, json_option, place_of
from outlast.cli.printing import (
    as_json,
    flush,
    moment,
    note,
    safe_line,
    safe_text,
    say,
    shown,
    table,
)
from outlast.cli.tracebacks import folded
from outlast.cli.transport import Verbs, client_of
from outlast.client import RemoteRun
from outlast.engine import Engine, run_loop
from outlast.errors import OutlastError, RunFailed, ServerRefused
from outlast.types import CLOSED_STATUSES, AuditInfo, RunInfo

RECORD_FIELDS = (
    "seq", "key", "kind", "name", "at", "epoch", "attempt", "value", "error", "place", "waited",
    "took", "input", "large_input", "traceback",
)  # fmt: skip
_PAGE = 200
_RECORDS_SHOWN = 40
_OF_STEPS = ("step_intent", "step_done", "attempt_failed", "step_late")
_AUDIT_SHOWN = 10


def reading(db: str | None, url: str | None) -> Verbs:
    """Return what answers questions: an engine that only reads, or a server."""
    return opened(place_of(db, url, read_only=True))


def opened(place: Place) -> Verbs:
    """Return the same for a place."""
    if isinstance(place, Server):
        return client_of(place)
    return Engine(replace(place, read_only=True), CoreOptions(), default_registry)


@click.command()
@click.argument("query", nargs=-1)
@click.option("--limit", type=click.IntRange(min=1), default=None, help="Maximum number of runs.")
@json_option
@database_options
def ls(
    *,
    query: Sequence[str],
    limit: int | None,
    as_data: bool,
    db: str | None,
    url: str | None,
) -> None:
    """List runs, newest first.

    QUERY consists of terms such as status:failed,parked workflow:checkout since:1h customer:42.
    """
    run_loop(_list(reading(db, url), " ".join(query), limit, as_data=as_data))


async def _list(opening: Verbs, query: str, limit: int | None, *, as_data: bool) -> None:
    page: list[RunInfo] = []
    count = 0
    async with opening as engine:
        async for info in engine.runs(query):
            count += 1
            if as_data:
                # Nothing before the first one: an error must not leave half a list.
                say(f"{',' if count > 1 else '['}{as_json(info)}")
            else:
                page.append(info)
                if len(page) == _PAGE:
                    _print_page(page, is_first=count == _PAGE)
                    page.clear()
            if count == limit:
                break
    if as_data:
        say("]" if count else "[]")
    elif count == 0:
        note("no runs" + (f" match {safe_line(query)!r}" if query else " yet"))
    elif page:
        _print_page(page, is_first=count <= _PAGE)


def _print_page(page: Sequence[RunInfo], *, is_first: bool) -> None:
    rows = [
        (i.id, i.workflow, i.status, moment(i.created_at), f"{i.steps}", i.error or "")
        for i in page
    ]
    lines = table(("ID", "WORKFLOW", "STATUS", "CREATED", "STEPS", "ERROR"), rows)
    for line in lines if is_first else lines[1:]:
        say(line)


@click.command()
@click.argument("run_id", metavar="ID")
@click.option("--steps", "steps_only", is_flag=True, help="List records of steps only.")
@json_option
@database_options
def show(*, run_id: str, steps_only: bool, as_data: bool, db: str | None, url: str | None) -> None:
    """Show one run: its status, its result or error, and its last records."""
    run_loop(_show(reading(db, url), run_id, steps_only=steps_only, as_data=as_data))


async def _show(opening: Verbs, run_id: str, *, steps_only: bool, as_data: bool) -> None:
    async with opening as engine:
        run = engine.get(run_id)
        info = await run.info()
        if as_data:
            say(as_json(info))
            return
        for field in fields(info):
            value: object = getattr(info, field.name)
            if field.name.endswith("_at"):
                say(f"{field.name:12} {moment(getattr(info, field.name))}")
            elif value not in (None, {}) and field.name != "error":
                say(f"{field.name:12} {safe_line(shown(value))}")
        say(f"{'why':12} {safe_line(await run.why())}")
        records = [record async for record in run.journal()]
        if info.status != "completed":
            _show_failure(records)
        if info.status in CLOSED_STATUSES:
            await _show_end(run)
        await _show_audit(engine, run_id)
        count = counted(len(records), "record")
        if steps_only:
            records = [record for record in records if record.kind in _OF_STEPS]
            count += f", {len(records)} of them of steps (a step can have several)"
        left_out = len(records) - _RECORDS_SHOWN
        say(f"\njournal, {count}" + (" (latest only)" if left_out > 0 else ""))
        for record in records[max(0, left_out) :]:
            say(f"  {record_line(record)}")


async def _show_audit(engine: Verbs, run_id: str) -> None:
    """Show who did what to the run from outside, the last things."""
    infos: list[AuditInfo] = []
    try:
        async for info in engine.audit(run=run_id):
            infos.append(info)
            if len(infos) == _AUDIT_SHOWN:
                break
    except ServerRefused:
        return  # a server of an older version
    if infos:
        is_part = len(infos) == _AUDIT_SHOWN
        rest = f" (latest only; `outlast audit --run {safe_line(run_id)}` lists all)"
        say("\nexternal actions" + (rest if is_part else ""))
        for info in reversed(infos):
            because = f": {info.reason}" if info.reason else ""
            outcome = "" if info.outcome == "done" else f" ({info.outcome})"
            line = f"{moment(info.at)} {info.verb} by {info.caller}, {info.role}{outcome}{because}"
            say(f"  {safe_line(line)}")


def _show_failure(records: Sequence[Record]) -> None:
    """Show the step that failed last: what it was given, and how each attempt ended."""
    failed = [r for r in records if r.kind in ("attempt_failed", "step_done") and r.error]
    key = failed[-1].key if failed else ""
    if not failed or [r for r in records if r.key == key][-1].error is None:
        return  # a later attempt went well
    attempts = [record for record in failed if record.key == key]
    say(f"\nstep         {safe_line(failed[-1].name)}, failed")
    given = next((r.input for r in records if r.key == key and r.input is not None), None)
    if given is not None:
        say(safe_line(f"input        {as_json(given)}")[:500])
    rows = [
        (f"{r.attempt}", moment(r.at), "" if r.took is None else f"{r.took:.3f} s", r.error or "")
        for r in attempts
    ]
    for line in table(("ATTEMPT", "ENDED", "TOOK", "ERROR"), rows):
        say(line)
    if attempts[-1].traceback:
        say(f"\n{safe_text(folded(attempts[-1].traceback))}")


async def _show_end(run: Run[object] | RemoteRun[object]) -> None:
    try:
        say(f"{'result':12} {safe_line(shown(await run.result()))}")
    except RunFailed as failure:
        if failure.traceback:
            say(f"\nin the workflow:\n{safe_text(folded(failure.traceback))}")
    except OutlastError:
        pass  # how it ended is shown by `why`


@click.command()
@click.argument("run_id", metavar="ID")
@json_option
@database_options
def why(*, run_id: str, as_data: bool, db: str | None, url: str | None) -> None:
    """Explain in one line what a run is waiting for, or how it ended."""
    run_loop(_why(reading(db, url), run_id, as_data=as_data))


async def _why(opening: Verbs, run_id: str, *, as_data: bool) -> None:
    async with opening as engine:
        run = engine.get(run_id)
        info, reason = await run.info(), await run.why()
    if as_data:
        say(as_json({"id": info.id, "status": info.status, "why": reason}))
    else:
        say(safe_line(reason))


@click.command()
@click.argument("run_id", metavar="ID")
@click.option(
    "--stream", metavar="NAME", default=None, help="Stream to follow instead of the journal."
)
@click.option(
    "--offset", type=click.IntRange(min=0), default=0, help="Offset in the stream to start at."
)
@json_option
@database_options
def tail(
    *,
    run_id: str,
    stream: str | None,
    offset: int,
    as_data: bool,
    db: str | None,
    url: str | None,
) -> int:
    """Follow a run's journal, or one of its streams, until the run ends."""
    if stream is None:
        run_loop(_tail_journal(reading(db, url), run_id, as_data=as_data))
        return 0
    return run_loop(_tail_stream(reading(db, url), run_id, stream, offset, as_data=as_data))


async def _tail_journal(opening: Verbs, run_id: str, *, as_data: bool) -> None:
    async with opening as engine:
        run, after = engine.get(run_id), 0
        while True:
            # Asked first: what is recorded before the end is then in the journal.
            status = (await run.info()).status
            async for record in run.journal(after):
                after = record.seq
                say(as_json(record_data(record)) if as_data else record_line(record))
            flush()
            if status in CLOSED_STATUSES:
                return
            await asyncio.sleep(limits.SUMMARY_SECONDS)


async def _tail_stream(
    opening: Verbs, run_id: str, name: str, offset: int, *, as_data: bool
) -> int:
    async with opening as engine:
        run = engine.get(run_id)
        # Asked first: what is written before the end is then among the names.
        status = (await run.info()).status
        written = await run.stream_names(declared=False)
        if name not in written and name not in await run.stream_names():
            # What its module declares besides may belong to other workflows, so it is not listed.
            there = f"its streams: {', '.join(written)}" if written else "it has no streams"
            said = f"run {run_id!r} has not written to a stream {name!r}"
            if status in CLOSED_STATUSES:
                note(safe_line(f"error: {said} and has ended ({status}); {there}"))
                return 3
            note(safe_line(f"{said} yet; {there}{'' if written else ' so far'}. Waiting for it"))
        async for event in run.stream(name, offset):
            if as_data:
                say(as_json(event))
            elif event.kind == "data":
                say(shown(event.value))
            elif event.kind == "retract":
                note(f"discard the values that {safe_line(event.writer)} wrote: its attempt failed")
            flush()
    return 0


def record_data(record: Record) -> dict[str, object]:
    """Return a record as JSON data."""
    return {name: getattr(record, name) for name in RECORD_FIELDS}


def record_line(record: Record) -> str:
    """Return a record as one line."""
    at = record.at.astimezone().strftime("%H:%M:%S.%f")[:-3]
    if record.error is not None:
        what = f"! {record.error}"
    else:
        what = "" if record.value is None else as_json(record.value)
    attempt = f" (attempt {record.attempt})" if record.attempt > 1 else ""
    parts = (f"{record.seq:>5} {at} {record.kind}", record.key or record.name, what)
    return safe_line("  ".join(part for part in parts if part) + attempt)[:500]
