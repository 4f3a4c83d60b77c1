"""`outlast watch`: how a run gets on, until it ends."""

from __future__ import annotations

import asyncio

import click

from outlast import limits
from outlast.cli.places import database_options, json_option
from outlast.cli.printing import Status, as_json, flush, safe_line, say
from outlast.cli.runs.inspect import reading
from outlast.cli.transport import Verbs
from outlast.client.asking import Patience
from outlast.engine import run_loop
from outlast.errors import StoreReplaced, StoreUnavailable
from outlast.types import CLOSED_STATUSES

_FAILED = 1


@click.command()
@click.argument("run_id", metavar="ID")
@json_option
@database_options
def watch(*, run_id: str, as_data: bool, db: str | None, url: str | None) -> int:
    """Show a run's progress until it ends: one line each time its state changes.

    The exit code is 0 if the run completes, 1 if it ends otherwise or needs an operator.
    """
    return run_loop(_watch(reading(db, url), run_id, as_data=as_data))


async def _watch(opening: Verbs, run_id: str, *, as_data: bool) -> int:
    status = Status()
    patience = Patience()
    shown = ""
    async with opening as engine:
        run = engine.get(run_id)
        while True:
            try:
                info, why = await run.info(), await run.why()
            except StoreReplaced:
                raise  # it does not come back by itself
            except StoreUnavailable as error:
                await patience.wait(error)  # a server that is started anew is there again soon
                continue
            patience.renew()
            told = f"{info.status} {_without_times(why)}"
            if told != shown:
                shown = told
                status.clear()
                fields = {"id": info.id, "status": info.status, "steps": info.steps, "why": why}
                say(as_json(fields) if as_data else safe_line(f"{info.steps:>6} steps  {why}"))
                flush()
            else:
                status.show(f"{info.steps} steps, {why}")
            if info.status in CLOSED_STATUSES or info.status == "parked":
                status.clear()
                return 0 if info.status == "completed" else _FAILED
            await asyncio.sleep(limits.SUMMARY_SECONDS)


def _without_times(why: str) -> str:
    """Return what is waited for without how long: a second more is no news."""
    return "".join(c for c in why if not c.isdigit() and c != ".")
