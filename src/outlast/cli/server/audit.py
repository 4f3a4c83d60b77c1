"""`outlast audit`: who did what."""

from __future__ import annotations

import click

from outlast.cli.places import database_options, json_option
from outlast.cli.printing import as_json, moment, note, say, table
from outlast.cli.runs.inspect import reading
from outlast.cli.transport import Verbs
from outlast.engine import run_loop
from outlast.types import AuditInfo


@click.command()
@click.option("--run", "run", default=None, metavar="ID", help="Only actions on this run.")
@click.option(
    "--caller", default=None, metavar="NAME", help="Only actions by this API token or user."
)
@click.option("--limit", type=click.IntRange(min=1), default=100, show_default=True)
@json_option
@database_options
def audit(
    *,
    run: str | None,
    caller: str | None,
    limit: int,
    as_data: bool,
    db: str | None,
    url: str | None,
) -> None:
    """List actions by callers of a server and users of commands, newest first."""
    run_loop(_list(reading(db, url), run, caller, limit, as_data=as_data))


async def _list(
    opening: Verbs, run: str | None, caller: str | None, limit: int, *, as_data: bool
) -> None:
    async with opening as engine:
        infos: list[AuditInfo] = []
        async for info in engine.audit(run=run, caller=caller):
            infos.append(info)
            if len(infos) == limit:
                break
    if as_data:
        say("[" + ",\n".join(as_json(info) for info in infos) + "]")
    elif not infos:
        note("no external actions were recorded")
    else:
        head = ("AT", "WHO", "ROLE", "VIA", "DID", "TO", "OUTCOME", "REASON")
        for line in table(head, [_cells(info) for info in infos]):
            say(line)


def _cells(info: AuditInfo) -> tuple[str, ...]:
    target = info.target or info.run or ""
    return (
        moment(info.at),
        info.caller,
        info.role,
        info.via,
        info.verb,
        target,
        info.outcome,
        info.reason,
    )
