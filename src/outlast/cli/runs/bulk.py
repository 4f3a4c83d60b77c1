"""`--query`: a verb for all runs that a query wants, after the number of them was seen."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

import click

from outlast._handles.bulk import APPLIES
from outlast.cli.places import Place
from outlast.cli.printing import note, safe_line
from outlast.cli.runs.inspect import opened
from outlast.cli.transport import Verbs, write
from outlast.engine import run_loop
from outlast.errors import EngineClosed, OutlastError, StoreError, UsageError
from outlast.types import BulkAction

P = ParamSpec("P")
R = TypeVar("R")
Commit = Callable[[Verbs, str], Awaitable[None]]


def choice_options(command: Callable[P, R]) -> Callable[P, R]:
    """Add what says which runs a verb is for: the ID of one, or a query."""
    for option in (
        click.option("--yes", is_flag=True, help="With --query: do not ask for confirmation."),
        click.option(
            "--query", default=None, help="Act on all runs that match, instead of one ID."
        ),
        click.argument("run_id", metavar="[ID]", required=False),
    ):
        command = option(command)
    return command


def reason_option(command: Callable[P, R]) -> Callable[P, R]:
    """Add the option that says why."""
    return click.option("--reason", default="", help="Reason, recorded in the audit log.")(command)


@dataclass(frozen=True, slots=True)
class Choice:
    """Which runs of which database a verb is for."""

    run_id: str | None
    query: str | None
    yes: bool
    db: str | None
    url: str | None

    @property
    def id(self) -> str:
        """The id of the one run."""
        return self.run_id or ""

    def check(self) -> None:
        """Refuse both an id and a query, and neither.

        Raises:
            UsageError
        """
        if (self.run_id is None) == (self.query is None):
            raise UsageError("give either the ID of a run or --query")


def act_on_one(place: Place, run_id: str, *, commit: Commit) -> bool:
    """Do it to one run; say whether an engine was there to do it."""
    return run_loop(write(place, lambda verbs: commit(verbs, run_id))).acts_now


def act_on_all(place: Place, action: BulkAction, query: str, *, yes: bool, commit: Commit) -> int:
    """Do it to all, and return the exit code.

    Raises:
        UsageError: there is no terminal to ask on, and `--yes` is not given.
    """
    runs = run_loop(_runs(place, action, query))
    many = f"{len(runs):,} run{'' if len(runs) == 1 else 's'}"
    if not runs:
        note(f"no run that {action} applies to matches {safe_line(query)!r}")
        return 0
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError(
                f"{action} {many} needs a confirmation, and there is no terminal to ask on: add "
                "--yes"
            )
        if not click.confirm(f"{action} {many}?", err=True):
            note("nothing was changed")
            return 1

    async def act(verbs: Verbs) -> int:
        return await _each(runs, lambda run: commit(verbs, run))

    failed = run_loop(write(place, act)).value
    note(f"{action}: {len(runs) - failed:,} of {many}")
    return 1 if failed else 0


async def _runs(place: Place, action: BulkAction, query: str) -> list[str]:
    async with opened(place) as engine:
        wanted = APPLIES[action]
        return [info.id async for info in engine.runs(query) if info.status in wanted]


async def _each(runs: list[str], act: Callable[[str], Awaitable[None]]) -> int:
    """Act on each run and return how many refused: one must not keep it from the others."""
    failed = 0
    for run in runs:
        try:
            await act(run)
        except (StoreError, EngineClosed):
            raise
        except OutlastError as error:
            failed += 1
            note(f"{safe_line(run)}: {safe_line(f'{error}')}")
    return failed
