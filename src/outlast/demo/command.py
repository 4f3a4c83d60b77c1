"""`outlast demo`: agents write a manual, their server is killed meanwhile, and nothing is lost."""

from __future__ import annotations

import json
import platform
import sys
from dataclasses import asdict
from pathlib import Path

import click

from outlast._engine.opening import parse_url
from outlast._wording.plurals import counted
from outlast.demo.accounts import Account
from outlast.demo.manual import MANUAL, MANUAL_FILE
from outlast.demo.play import Play, Shown
from outlast.demo.sources import modules
from outlast.demo.stage import SCRIPTED, Files, prepare_files
from outlast.engine import run_loop
from outlast.errors import UsageError

_MODULES = 5
_NAME_CHARS = 22


@click.command()
@click.option(
    "--db", metavar="PATH", default=None, help="Path of a new database [default: a temporary one]."
)
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=_MODULES,
    help=f"Maximum number of modules [default: {_MODULES}].",
)
@click.option("--json", "as_data", is_flag=True, help="Print JSON.")
@click.option("--no-kill", "is_spared", is_flag=True, help="Do not kill the server.")
@click.option(
    "--scripted", "is_scripted", is_flag=True, help="Use a script instead of a language model."
)
def command(
    *, db: str | None, limit: int, as_data: bool, is_spared: bool, is_scripted: bool
) -> int:
    """Run agents on a sample job, kill their server, and watch them go on.

    A reader, a writer and a critic explain functions of Python's standard library. They ask a
    small language model that runs here, under a budget, and a person approves what they wrote.
    The figures at the end are counted outside of the server that was killed.
    """
    names = modules(limit)
    files = prepare_files(_path(db))
    play = Play(files, names, is_spared=is_spared, is_scripted=is_scripted)
    problems: list[str] = []

    def show(shown: Shown) -> None:
        problems.extend(shown.account.problems)
        print(_data(shown, files) if as_data else _table(shown, files), flush=True)
        for problem in shown.account.problems:
            print(f"error: the accounts do not match: {problem}", file=sys.stderr)

    try:
        run_loop(play.run(show))
    except KeyboardInterrupt:
        play.progress.say(
            f"interrupted; the processes have been stopped. The database is {files.db}: outlast "
            f"ls --db {files.db}"
        )
        raise
    return 1 if problems else 0


def _path(db: str | None) -> Path | None:
    if db is None:
        return None
    target = parse_url(db, read_only=False)
    if target.kind != "sqlite":
        raise UsageError(
            "the demo kills the process that owns its database, so the database must be a file: "
            "give --db a path"
        )
    return Path(target.name)


def _data(shown: Shown, files: Files) -> str:
    figures = {
        **asdict(shown.account),
        "model": shown.model,
        "outage": None if shown.outage is None else asdict(shown.outage),
        "seconds": shown.seconds,
        "python": platform.python_version(),
        "db": f"{files.db}",
    }
    return json.dumps(figures, default=str)  # dollars, as text


def _table(shown: Shown, files: Files) -> str:
    rows = [*_rows(shown), *_places(shown, files)]
    return "\n".join(f"{name:{_NAME_CHARS}} {text}" for name, text in rows)


def _rows(shown: Shown) -> list[tuple[str, str]]:
    account, outage = shown.account, shown.outage
    model = "a script, in the place of a model" if shown.model == SCRIPTED else shown.model
    pages = f"{counted(account.modules, 'module')} of Python {platform.python_version()}"
    rows = [
        ("explained", f"{pages}, {counted(account.revisions, 'revision')}"),
        ("approved by", account.approved_by or "no one: the manual was rejected"),
        ("conversations", f"{account.conversations} with {counted(account.turns, 'turn')}"),
        ("answered by", f"{model}, in a process of its own, which has counted:"),
        ("  responses", f"{account.requests}, of which {account.requests_recorded} are recorded"),
    ]
    if outage is not None:
        again = f"{account.requests_cut_off}, which was asked for again"
        rows += [("  cut off by the kill", again)]
    live = f"{counted(account.words_heard, 'token')} live, the same as in the conversations"
    rows += [
        ("lost", f"{account.lost}"),
        ("said twice", f"{account.said_twice}: a client heard {live}"),
        ("paid twice", f"{account.paid_twice}: what is recorded is not asked for again"),
        *_budget_rows(account),
    ]
    if outage is not None:
        starting = f"of which the process needed {outage.restart_seconds:.1f} s to start"
        rows += [
            ("taken back", f"{counted(account.words_retracted, 'token')} of the response cut off"),
            ("outage", f"{outage.seconds:.1f} s from the kill to the next word, {starting}"),
        ]
    return [*rows, ("time", f"{shown.seconds:.0f} s")]


def _budget_rows(account: Account) -> list[tuple[str, str]]:
    recorded = account.usd_counted - account.usd_lost
    rows = [
        ("the model's bill", f"${account.usd_billed:.6f} for {account.tokens_billed:,} tokens"),
        ("the budget counts", f"${account.usd_counted:.6f}: ${recorded:.6f} for what is recorded"),
    ]
    if account.tokens_lost:
        lost = f"${account.usd_lost:.6f}, the most that the requests under way may have cost"
        rows.append(("  and for the kill", lost))
    return rows


def _places(shown: Shown, files: Files) -> list[tuple[str, str]]:
    db = f"--db {files.db}"
    module = shown.modules[0]
    return [
        ("the manual", f"{files.folder / MANUAL_FILE}"),
        ("look inside", f"outlast show {MANUAL} {db}"),
        ("", f"outlast agent ls {db}"),
        ("", f"outlast agent show Writer {module} {db}"),
    ]
