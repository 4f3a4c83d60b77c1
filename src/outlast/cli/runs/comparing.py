"""`outlast diff`: two runs side by side."""

from __future__ import annotations

import click

from outlast._engine.reading.diffs import DiffRow, RunDiff
from outlast.cli.places import database_options, json_option
from outlast.cli.printing import as_json, note, safe_line, say
from outlast.cli.runs.inspect import reading, record_data
from outlast.engine import run_loop


@click.command()
@click.argument("first", metavar="ID")
@click.argument("second", metavar="ID")
@json_option
@database_options
def diff(*, first: str, second: str, as_data: bool, db: str | None, url: str | None) -> int:
    """Compare two runs: show the operations whose outcomes differ. Exit with 1 if any do."""

    async def compare() -> RunDiff:
        async with reading(db, url) as engine:
            return await engine.diff(first, second)

    found = run_loop(compare())
    if as_data:
        rows = [
            {
                "key": row.key,
                "a": None if row.a is None else record_data(row.a),
                "b": None if row.b is None else record_data(row.b),
                "differs": row.differs,
            }
            for row in found.rows
        ]
        say(as_json({"first": found.first, "rows": rows}))
    elif found.first is None:
        note("the two runs recorded the same outcomes")
    else:
        for row in found.rows:
            if row.differs:
                _show(row)
    return 0 if found.first is None else 1


def _show(row: DiffRow) -> None:
    say(safe_line(row.key))
    for mark, record in (("-", row.a), ("+", row.b)):
        if record is None:
            say(f"  {mark} nothing")
        else:
            what = f"! {record.error}" if record.error is not None else as_json(record.value)
            say(safe_line(f"  {mark} {record.seq:>5} {record.kind}  {what}")[:500])
