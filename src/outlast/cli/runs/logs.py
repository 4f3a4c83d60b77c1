"""`outlast logs`: what workflows, steps and the engine have logged."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, aclosing
from pathlib import Path

import click
import msgspec

from outlast._logfile import LogLine, LogPage, Wanted, lines_of, read_log
from outlast.cli.places import Server, database_options, log_file_of, place_of, target_of
from outlast.cli.printing import as_json, flush, moment, note, safe_line, safe_text, say
from outlast.cli.transport import client_of
from outlast.engine import run_loop


@click.command()
@click.argument("run_id", metavar="[ID]", required=False)
@click.option("--follow", is_flag=True, help="Keep printing new log lines.")
@click.option("--json", "as_data", is_flag=True, help="Print JSON, one object per line.")
@database_options
def logs(
    *, run_id: str | None, follow: bool, as_data: bool, db: str | None, url: str | None
) -> None:
    """Show the logs of one run and its steps, or of all runs and the engine.

    `outlast serve` and `outlast dev` keep the log next to the database.
    """
    place = target_of(db, None) if url is None else place_of(db, url)
    source = place if isinstance(place, Server) else log_file_of(place)
    run_loop(_show(source, run_id or "", follow, as_data=as_data))


async def _show(source: Path | Server, run: str, follow: bool, *, as_data: bool) -> None:
    shown = 0
    async with AsyncExitStack() as stack:
        if isinstance(source, Path):
            lines = _lines_here(source, run, follow=follow)
        else:
            client = await stack.enter_async_context(client_of(source))
            lines = client.logs(run, follow=follow)
        async with aclosing(lines):
            async for line in lines:
                shown += 1
                _say(line, as_data=as_data)
                if follow:
                    flush()
    if not shown and not as_data:
        where = source if isinstance(source, Path) else source.url
        who = f"for run {safe_line(run)} " if run else ""
        note(f"there are no log lines {who}in {where}")


def _lines_here(file: Path, run: str, *, follow: bool) -> AsyncGenerator[LogLine, None]:
    async def page_after(place: str) -> LogPage:
        return read_log(file, place, wanted=Wanted(run))

    return lines_of(page_after, follow=follow)


def _say(line: LogLine, *, as_data: bool) -> None:
    if as_data:
        say(as_json(msgspec.to_builtins(line, builtin_types=())))
        return
    who = " ".join(part for part in (line.run, line.step) if part)
    attempt = f" (attempt {line.attempt})" if line.attempt > 1 else ""
    head = f"{moment(line.at)} {line.level:7} {line.logger}"
    say(safe_line(f"{head}{f' [{who}{attempt}]' if who else ''}: {line.message}"))
    if line.error:
        say(safe_text(line.error))
