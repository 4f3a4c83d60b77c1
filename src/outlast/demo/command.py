"""`outlast demo`: plays the job, kills its engine half-way, and shows what is left of that."""

from __future__ import annotations

import json
import math
import platform
import sys
import time
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path

import click

from outlast._engine.opening import parse_url
from outlast._server.codes import new_code
from outlast._server.tokenfile import new_token
from outlast.demo.accounts import Account, account_for
from outlast.demo.digest import DIGEST, summary
from outlast.demo.effects import EffectsFile
from outlast.demo.job import SURVEY, Totals, standard_library, survey
from outlast.demo.journals import read_journals
from outlast.demo.spectator import Seen, Spectator
from outlast.demo.stage import (
    Files,
    Model,
    Site,
    Worker,
    copy_as_killed,
    free_port,
    prepare_files,
    wait_for_workers_end,
)
from outlast.engine import Engine, run_loop
from outlast.errors import OutlastError, UsageError

_LOOK_SECONDS = 0.02
_LINE_SECONDS = 2.0  # between two lines of progress where they cannot be written over
_STALL_SECONDS = 120.0
_PORT = 8787
_STEPS_NOTED = 4  # of a study, in the effects file; sending the report is the engine's own step


class DemoFailed(OutlastError):
    """The demo could not be played to its end."""


@click.command()
@click.option(
    "--db", metavar="PATH", default=None, help="Path of a new database [default: a temporary one]."
)
@click.option(
    "--limit", type=click.IntRange(min=1), default=None, help="Maximum number of modules."
)
@click.option("--json", "as_data", is_flag=True, help="Print JSON.")
@click.option("--no-kill", "is_spared", is_flag=True, help="Do not kill the engine.")
def command(*, db: str | None, limit: int | None, as_data: bool, is_spared: bool) -> int:
    """Run a sample job, kill it half-way, and watch it recover.

    One durable run reads each module of Python's standard library: read, parse in a process,
    measure, publish (which fails now and then), report to a parent run. The figures
    at the end are counted from the journals and from a file that the steps wrote.
    """
    modules = len(standard_library(limit))
    if not modules:
        raise UsageError(
            "this Python installation has no source files of its standard library, which the "
            "demo reads"
        )
    files = prepare_files(_path(db))
    play = Play(files, limit, modules=modules, is_spared=is_spared)
    try:
        play.run()
    except KeyboardInterrupt:
        play.progress.say(
            f"interrupted; the processes have been stopped. The database is {files.db}: outlast "
            f"ls --db {files.db}"
        )
        raise
    account = run_loop(play.account())
    problems = [*account.problems, *_problems_of(play.seen)]
    if as_data:
        figures = {
            **asdict(account),
            "problems": problems,
            "digest": {
                "model": play.site.model_name,
                "summaries": len(play.seen.summaries),
                "tokens": play.seen.tokens,
                "retracted": play.seen.retracted,
                "is_exact": play.seen.is_exact,
                "approved_by": play.seen.approved_by,
            },
            "seconds": play.seconds,
            "python": platform.python_version(),
            "db": str(files.db),
        }
        print(json.dumps(figures))
    else:
        rows = [*_rows(account, play.seconds), *_digest_rows(play), *_places(files)]
        print("\n".join(f"{name:22} {text}" for name, text in rows))
    for problem in problems:
        print(f"error: the accounts do not match: {problem}", file=sys.stderr)
    if not as_data:
        play.show_afterwards()
    return 1 if problems else 0


def _problems_of(seen: Seen) -> list[str]:
    if seen.is_exact:
        return []
    return ["the values that a reader received differ from those that the steps recorded"]


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


class Play:
    """One showing of the demo."""

    def __init__(self, files: Files, limit: int | None, *, modules: int, is_spared: bool) -> None:
        self._files = files
        self._limit = limit
        self._modules = modules  # for the progress only; what is printed is counted
        self._is_spared = is_spared
        self._effects = EffectsFile(files.effects)
        self.progress: Progress = Progress()
        self._was_killed = False
        self._restarted_at = 0.0
        self._began = time.monotonic()
        self.seconds: float = 0.0
        self._model = Model(files)
        self._site = Site(
            free_port(_PORT), new_token(), new_code(), self._model.name, self._model.url
        )
        has_person = sys.stdin.isatty() and sys.stderr.isatty()
        self._spectator = Spectator(self._site.url, self._site.token, approves=not has_person)
        self._has_person = has_person

    @property
    def site(self) -> Site:
        """Where the demo is served."""
        return self._site

    @property
    def seen(self) -> Seen:
        """What somebody saw who read the stream from its beginning."""
        return self._spectator.seen

    def run(self) -> None:
        """Play it.

        Raises:
            DemoFailed: the worker ended by itself, or came to a stand-still.
        """
        self.progress.say(f"dashboard: {self._site.link}")
        if self._model.name == "scripted-stand-in":
            self.progress.say("no language model is installed: using a scripted stand-in")
        try:
            worker = self._first_life()
            self._watch(worker, until=None)
            worker.stop()
        finally:
            self._model.stop()
        self.seconds = time.monotonic() - self._began

    def _first_life(self) -> Worker:
        """Return the worker that is to do the rest."""
        worker = self._worker(life=1)
        if self._is_spared:
            self.progress.say(f"process {worker.pid} starts")
            return worker
        self.progress.say(f"process {worker.pid} starts; it will be killed half-way")
        self._watch(worker, until=0.5)
        worker.kill()
        self.progress.say(f"process {worker.pid} was sent SIGKILL")
        wait_for_workers_end(self._effects)
        copy_as_killed(self._files)
        self._was_killed = True
        worker = self._worker(life=2)
        self._restarted_at = worker.started_at
        self.progress.say(f"process {worker.pid} continues")
        return worker

    def _worker(self, *, life: int) -> Worker:
        return Worker(self._files, self._limit, life=life, site=self._site)

    def show_afterwards(self) -> None:
        """Serve what is there until the person who looks at it has seen enough."""
        if not self._has_person:
            return
        self._site = replace(self._site, code=new_code())
        worker = self._worker(life=3)
        self.progress.say(f"the dashboard stays until Ctrl-C: {self._site.link}")
        try:
            while worker.exit_code is None:
                time.sleep(_LOOK_SECONDS)
        except KeyboardInterrupt:
            worker.stop()

    def _watch(self, worker: Worker, *, until: float | None) -> None:
        """Show what the worker does until all is done, or this share of the survey."""
        last_change, seen = time.monotonic(), (-1, -1)
        is_asked = False
        try:
            while (code := worker.exit_code) is None and not self._spectator.is_done:
                self._effects.read_on()
                noted = len(self._effects.executions), self.seen.tokens
                now = time.monotonic()
                if noted != seen:
                    last_change, seen = now, noted
                if self._show() >= (until or math.inf):
                    return
                if self._spectator.asked and self._has_person:
                    last_change = now  # a person may take their time
                    is_asked = is_asked or self._ask()
                if now - last_change > _STALL_SECONDS:
                    raise DemoFailed(f"there was no progress for {_STALL_SECONDS:.0f} seconds")
                if self._spectator.error is not None:
                    raise self._spectator.error
                time.sleep(_LOOK_SECONDS)
        except BaseException:
            worker.stop()
            self.progress.clear()
            raise
        self.progress.clear()
        if code is not None:
            raise DemoFailed(
                f"the engine's process ended with {code}; its store is {self._files.db}, and it "
                f"said:\n{worker.last_words()}"
            )

    def _ask(self) -> bool:
        """Say that somebody has to approve the digest."""
        self.progress.say(
            "the digest waits for your approval: use the dashboard, or another terminal:\n  "
            f"OUTLAST_TOKEN={self._site.token} outlast approve {self._spectator.asked} --url "
            f"{self._site.url}"
        )
        return True

    def _show(self) -> float:
        """Show how far the steps are; return the share of them that has begun."""
        begun = {(e.run, e.key) for e in self._effects.executions if e.run != SURVEY}
        steps = Counter(key.rpartition(".")[2] for _, key in begun)
        retries = sum(e.attempt > 1 for e in self._effects.executions)
        self.progress.show(
            f"of {self._modules:,} modules read {steps['read']:,} · parsed {steps['parse']:,} · "
            f"measured {steps['measure']:,} · published {steps['publish']:,} (retries {retries:,})"
            f" · tokens {self.seen.tokens:,}"
        )
        return len(begun) / (_STEPS_NOTED * self._modules)

    async def account(self) -> Account:
        """Count what there is."""
        self.progress.say("counting the journals")
        self._effects.read_on()
        async with Engine.open(self._files.db, read_only=True) as engine:
            totals: Totals = await engine.get(SURVEY, survey).result()
        after = await read_journals(self._files.db)
        killed = await read_journals(self._files.db_at_the_kill) if self._was_killed else None
        return account_for(
            totals,
            after,
            self._effects.executions,
            at_the_kill=killed,
            restarted_at=self._restarted_at,
        )


class Progress:
    """A line on stderr: written over where it is a terminal, now and then a new one elsewhere."""

    def __init__(self) -> None:
        self._is_terminal = sys.stderr.isatty()
        self._is_shown = False
        self._last = time.monotonic()

    def show(self, text: str) -> None:
        """Show how far things are."""
        if self._is_terminal:
            print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
            self._is_shown = True
        elif time.monotonic() - self._last >= _LINE_SECONDS:
            self.say(text)

    def say(self, text: str) -> None:
        """Print a line that stays."""
        self.clear()
        print(text, file=sys.stderr, flush=True)
        self._last = time.monotonic()

    def clear(self) -> None:
        """Take the line away that is written over."""
        if self._is_shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
            self._is_shown = False


def _rows(account: Account, seconds: float) -> list[tuple[str, str]]:
    modules = f"{account.modules:,} modules of Python {platform.python_version()}"
    content = (
        f"{account.lines:,} lines, {account.functions:,} functions, {account.classes:,} classes"
    )
    completed = f"{account.runs_completed:,} of {account.runs:,}"
    failed = f"{account.attempts_failed:,} failed attempts that were retried"
    rows = [
        ("read", f"{modules}: {content}"),
        ("runs completed", f"{completed}, {account.runs_open_max:,} open at once"),
        ("steps recorded", f"{account.steps_recorded:,}, and {failed}"),
    ]
    if (kill := account.kill) is not None:
        recovery = "-" if kill.recovery_seconds is None else f"{kill.recovery_seconds:.2f} s"
        in_flight = f"{kill.attempts_in_flight:,} were in flight at the kill"
        rows += [
            ("  before the kill", f"{kill.steps_recorded_before:,}"),
            ("  executed twice", f"{kill.attempts_executed_twice:,} ({in_flight})"),
            ("  recorded, run again", f"{kill.recorded_steps_run_again:,}"),
            ("runs open at the kill", f"{kill.runs_open:,}"),
            ("time to recover", f"{recovery} from the new process's start to its first new step"),
        ]
    rows += [
        ("durable steps", f"{account.steps_per_second:,.0f} per second overall"),
        ("time", f"{seconds:.1f} s"),
    ]
    return rows


def _digest_rows(play: Play) -> list[tuple[str, str]]:
    seen = play.seen
    exact = "identical to the journal" if seen.is_exact else "NOT identical to the journal"
    return [
        ("summaries", f"{len(seen.summaries)} by {play.site.model_name}, streamed live"),
        ("  to one reader", f"{seen.tokens:,} tokens across the kill: {exact}"),
        ("  retracted", f"{seen.retracted:,} tokens of the attempt that failed"),
        ("  approved by", f"{seen.approved_by}"),
    ]


def _places(files: Files) -> list[tuple[str, str]]:
    return [
        ("inspect the runs", f"outlast ls --db {files.db}"),
        ("", f"outlast show {SURVEY} --db {files.db}"),
        ("", f"outlast tail {DIGEST} --stream {summary.name} --db {files.db}"),
        ("what it wrote", str(files.catalogue)),
    ]
