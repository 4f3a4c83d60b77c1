"""Handlers of what runs have recorded: journals, values, and two runs side by side.

Invariant:
  * a page is bounded by the bytes of what it shows; of a large value it has the beginning and where
    the whole of it is.
"""

from __future__ import annotations

from urllib.parse import quote

from starlette.responses import Response

from outlast import limits
from outlast._engine.reading.declared import DeclaredTypes, adapter_json
from outlast._engine.reading.diffs import compared
from outlast._engine.reading.records import Record, readable
from outlast._records import Record as StoredRecord
from outlast._store.glimpses import Part
from outlast._wire.formats.answers import answer, preview_of
from outlast._wire.formats.problems import Problem
from outlast._wire.requests import Call, bad_query
from outlast._wire.service import Service
from outlast._wording.names import check_name
from outlast.types import RunId


async def journal(service: Service, call: Call) -> Response:
    """Return a page of a run's records, ascending."""
    run = call.run_id()
    size = call.page_size()
    most = limits.JOURNAL_RECORDS_MAX * 100
    after = call.number("after", 0, most=most)
    folded = (await service.core.reader.row(run)).folded_seq  # what an actor has handled is gone
    last_seq = (await service.details.last_seq(run)) if call.text("before") else None
    if last_seq is not None:
        before = min(call.number("before", 1, least=1, most=most), last_seq + 1)
        after = max(folded, before - 1 - size)
        part = Part(bytes_max=limits.HTTP_PAGE_BYTES, from_end=True)
        records = await service.core.reader.stored_journal(run, after, before - 1, part)
        following = records[0].seq if records and records[0].seq > folded + 1 else None
    else:
        part, after = Part(bytes_max=limits.HTTP_PAGE_BYTES), max(after, folded)
        records = await service.core.reader.stored_journal(run, after, after + size, part)
        last_seq = await service.details.last_seq(run)
        end = records[-1].seq if records else after + size
        following = end if end < last_seq else None

    types = await _types_of(service, run)

    def told() -> Response:
        shown = [_shown(readable(record, types), run) for record in records]
        return answer({"records": shown, "next": following, "last_seq": last_seq})

    return await call.converted(sum(len(record.body) for record in records), told)


async def record(service: Service, call: Call) -> Response:
    """Return one record of a run with its whole value."""
    run = call.run_id()
    text = call.path["seq"]
    seq = int(text) if text.isascii() and text.isdigit() and len(text) < 12 else 0
    found = await service.core.reader.stored_journal(run, seq - 1, seq) if seq else []
    if not found:
        raise Problem(404, "not-found", f"run {run!r} has no record {text[:50]!r}")
    types = await _types_of(service, run)
    whole = found[0]
    return await call.converted(len(whole.body), lambda: answer(_record(readable(whole, types))))


async def _types_of(service: Service, run: RunId) -> DeclaredTypes:
    row = await service.core.reader.row(run)
    return DeclaredTypes(service.core.registry, row.workflow)


def _shown(record: Record, run: RunId) -> dict[str, object]:
    told = _record(record)
    body = b"" if record.stored is None else record.stored.body
    href = f"/v1/runs/{quote(run, safe='')}/journal/{record.seq}"
    told["value"], told["preview"] = preview_of(body, told["value"], href)
    return told


def _record(record: Record) -> dict[str, object]:
    return {
        "seq": record.seq,
        "key": record.key,
        "kind": record.kind,
        "name": record.name,
        "at": record.at,
        "epoch": record.epoch,
        "attempt": record.attempt,
        "value": record.value,
        "error": record.error,
        "place": record.place,
        "waited": record.waited,
        "took": record.took,
        "input": record.input,
        "large_input": record.large_input,
        "traceback": record.traceback,
    }


async def value(service: Service, call: Call) -> Response:
    """Return the last value set under a name."""
    run, name = call.run_id(), call.name("name")
    data = await service.core.reader.value(run, name)
    if data is None:
        raise Problem(404, "value-not-found", f"run {run!r} has set no value {name!r} so far")
    reader = service.core.reader
    return await call.converted(
        len(data), lambda: answer({"value": adapter_json(reader.registry, "value", name, data)})
    )


async def diff(service: Service, call: Call) -> Response:
    """Compare two runs, record by record."""
    if not call.text("a") or not call.text("b"):
        raise bad_query("a and b", "the ids of two runs", "")
    asked = (call.text("a"), call.text("b"))
    runs = [RunId(check_name("a run id", run, limits.ID_CHARS_MAX)) for run in asked]
    async with service.comparisons.place(call.holders):  # each holds megabytes
        return await _compared(service, call, runs)


async def _compared(service: Service, call: Call, runs: list[RunId]) -> Response:
    one, two = [await _comparable(service, run) for run in runs]
    types = [await _types_of(service, run) for run in runs]

    def told() -> Response:
        found = compared([readable(x, types[0]) for x in one], [readable(x, types[1]) for x in two])
        rows = [
            {
                "key": row.key,
                "a": None if row.a is None else _shown(row.a, runs[0]),
                "b": None if row.b is None else _shown(row.b, runs[1]),
                "differs": row.differs,
            }
            for row in found.rows[: limits.HTTP_PAGE_MAX]
        ]
        return answer({"first": found.first, "rows": rows})

    return await call.converted(sum(len(record.body) for record in (*one, *two)), told)


async def _comparable(service: Service, run: RunId) -> list[StoredRecord]:
    part = Part(bytes_max=limits.HTTP_DIFF_BYTES)
    records = await service.core.reader.stored_journal(run, part=part)
    if records and sum(len(record.body) for record in records) >= limits.HTTP_DIFF_BYTES:
        most = f"{limits.HTTP_DIFF_BYTES:,} bytes"
        raise Problem(
            422,
            "too-large",
            f"the values of run {run!r} exceed {most}: export both runs and compare them locally",
        )
    return records
