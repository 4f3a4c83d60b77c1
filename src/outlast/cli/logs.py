"""`outlast logs`: what workflows, steps and the engine have logged."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import click
import msgspec

from outlast.cli.places import log_file_of, target_of
from outlast.cli.printing import as_json, moment, note, safe_line, safe_text, say
from outlast.telemetry import LogLine, log_lines

_LOOK_SECONDS = 0.3  # a file tells nobody that it has grown


@click.command()
@click.argument("run_id", metavar="[ID]", required=False)
@click.option("--follow", is_flag=True, help="Go on with what is logged from now on.")
@click.option("--json", "as_data", is_flag=True, help="Print JSON, one object a line.")
@click.option("--db", metavar="URL", default=None, help="[default: the project's]")
def logs(*, run_id: str | None, follow: bool, as_data: bool, db: str | None) -> None:
    """Show what was logged: by one run and its steps, or by all and the engine.

    `outlast serve` and `outlast dev` keep the log, beside the database.
    """
    file = log_file_of(target_of(db, None))
    shown = 0
    for line in _lines(file, run_id or "", follow=follow):
        shown += 1
        _show(line, as_data=as_data)
    if not shown and not as_data:
        where = f"by run {safe_line(run_id)} " if run_id else ""
        note(f"nothing was logged {where}in {file}")


def _lines(file: Path, run: str, *, follow: bool) -> Iterator[LogLine]:
    seen = 0
    while True:
        for number, line in enumerate(log_lines(file, run)):
            if number >= seen:
                seen = number + 1
                yield line
        if not follow:
            return
        time.sleep(_LOOK_SECONDS)


def _show(line: LogLine, *, as_data: bool) -> None:
    if as_data:
        say(as_json(msgspec.to_builtins(line, builtin_types=())))
        return
    who = " ".join(part for part in (line.run, line.step) if part)
    attempt = f" (attempt {line.attempt})" if line.attempt > 1 else ""
    head = f"{moment(line.at)} {line.level:7} {line.logger}"
    say(safe_line(f"{head}{f' [{who}{attempt}]' if who else ''}: {line.message}"))
    if line.error:
        say(safe_text(line.error))
