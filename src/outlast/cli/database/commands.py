"""`outlast db migrate | status | backup | export | prune`; the others are in files of their own."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import apsw
import click

from outlast._engine.opening import Opened, Target, open_target
from outlast._engine.residency.retention import Retention
from outlast._registry import default_registry
from outlast._store.sqlite.backup import copy_database
from outlast._store.sqlite.examination import prepare_reading
from outlast._store.sqlite.faults import translate
from outlast._store.sqlite.files.traces import without_traces
from outlast._store.sqlite.files.write_ahead_log import sync_path
from outlast._store.sqlite.opening import open_reader
from outlast._store.sqlite.tables.schema import PARTIAL, newest_version
from outlast._wording.plurals import counted
from outlast._world import RealWorld
from outlast.cli.database.recovering import restore, salvage
from outlast.cli.database.rekeying import new_key, rekey
from outlast.cli.database.verifying import verify
from outlast.cli.inputs import seconds_option
from outlast.cli.ownership import holder_of
from outlast.cli.places import database_options, existing_target, json_option
from outlast.cli.printing import as_json, note, safe_line, say
from outlast.cli.runs.inspect import reading, record_data
from outlast.cli.transport import ONLY_COMMITS
from outlast.engine import run_loop
from outlast.errors import StoreError, StoreLocked, StoreUnavailable, UsageError


@click.group()
def db() -> None:
    """Manage a database."""


db.add_command(restore)
db.add_command(salvage)
db.add_command(verify)
db.add_command(new_key)
db.add_command(rekey)


@db.command()
@database_options
def migrate(*, db: str | None, url: str | None) -> None:
    """Migrate a database to this version's schema; no process may be using it."""
    target = existing_target(db, url)
    before = schema_of(Path(target.name))
    run_loop(_open_once(target))
    after = schema_of(Path(target.name))
    note(
        f"schema {after}: already up to date" if before == after else f"schema {before} -> {after}"
    )


async def _open_once(target: Target) -> None:
    opened = await _open_alone(target)
    await opened.close(0)


async def _open_alone(target: Target) -> Opened:
    try:
        return await open_target(target, ONLY_COMMITS, default_registry)
    except StoreLocked as locked:
        # Unlike other verbs, this one cannot be handed to the owner.
        raise StoreError(
            f"{target.name} is in use by process {locked.pid or 'unknown'}, and this command "
            "needs exclusive access: stop that process (SIGTERM drains it), then try again"
        ) from None


@db.command()
@json_option
@database_options
def status(*, as_data: bool, db: str | None, url: str | None) -> None:
    """Show a database's contents, size and owner."""
    path = Path(existing_target(db, url, read_only=True).name)
    with without_traces(path):
        facts = _facts_of(path)
    if as_data:
        say(as_json(facts))
        return
    for name, value in facts.items():
        say(f"{name:14} {safe_line(value if isinstance(value, str) else as_json(value))}")


def _facts_of(path: Path) -> dict[str, object]:
    prepare_reading(path)
    return {
        "path": str(path.resolve()),
        "bytes": path.stat().st_size,
        "wal_bytes": _size(path.with_name(path.name + "-wal")),
        "schema": schema_of(path),
        "schema_newest": newest_version(),
        "keys": list(_counts(path, "SELECT key, 1 FROM codec_keys ORDER BY rowid")),
        "owner_pid": holder_of(path),
        "runs": _counts(path, _BY_STATUS.format("<>")),
        "actors": sum(_counts(path, _BY_STATUS.format("=")).values()),
        "records": _counts(path, "SELECT 'tail', count(*) FROM journal").get("tail", 0),
    }


_BY_STATUS = "SELECT status, count(*) FROM runs WHERE kind {} 'actor' GROUP BY status ORDER BY 1"


@db.command()
@click.argument("destination", metavar="FILE", type=click.Path(path_type=Path))
@database_options
def backup(*, destination: Path, db: str | None, url: str | None) -> None:
    """Write a consistent copy of a database to FILE, even while an engine is running."""
    path = Path(existing_target(db, url, read_only=True).name)
    if destination.exists():
        raise UsageError(
            f"{destination} already exists: a backup never overwrites a file, so choose another "
            "name"
        )
    with without_traces(path):
        _back_up(path, destination)
    say(safe_line(destination))
    note(f"{destination.stat().st_size:,} bytes, checked")


def _back_up(path: Path, destination: Path) -> None:
    prepare_reading(path)
    try:
        # A name of its own: what an earlier backup left when it was killed is not in the way.
        with tempfile.TemporaryDirectory(
            prefix=f"{destination.name}.", suffix=PARTIAL, dir=destination.parent
        ) as directory:
            partial = Path(directory) / destination.name
            os.close(os.open(partial, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
            copy_database(path, partial)
            sync_path(partial)
            # `link` refuses to replace what another program has put there meanwhile.
            os.link(partial, destination)
        sync_path(destination.parent)
    except OSError as error:
        raise StoreError(f"cannot write {destination}: {error.strerror}") from None


@db.command()
@click.option(
    "--query", default="", help="Export only the runs that match (the same query as `outlast ls`)."
)
@database_options
def export(*, query: str, db: str | None, url: str | None) -> None:
    """Print runs and their journals as JSON lines.

    A line is {"type": "run", ...} or, after its run, {"type": "record", "run": id, ...}.
    """
    run_loop(_export(db, url, query))


async def _export(db: str | None, url: str | None, query: str) -> None:
    async with reading(db, url) as engine:
        async for info in engine.runs(query):
            fields = {name: getattr(info, name) for name in type(info).__dataclass_fields__}
            say(as_json({"type": "run", **fields}))
            run = engine.get(info.id)
            async for record in run.journal():
                say(as_json({"type": "record", "run": info.id, **record_data(record)}))


@db.command()
@click.option(
    "--older-than",
    metavar="TIME",
    required=True,
    help="Minimum time since the run closed, for example 30d.",
)
@database_options
def prune(*, older_than: str, db: str | None, url: str | None) -> None:
    """Delete old closed runs and their data; no process may be using the database."""
    target = existing_target(db, url)
    count = run_loop(_prune(target, seconds_option("--older-than", older_than)))
    note(f"{counted(count, 'run')} deleted")


async def _prune(target: Target, seconds: float) -> int:
    opened = await _open_alone(target)
    try:
        return await Retention(opened.store, RealWorld(), seconds).prune()
    finally:
        await opened.close(0)


def schema_of(path: Path) -> int:
    """Return the number of a database's schema."""
    return _counts(path, "SELECT 'schema', user_version FROM pragma_user_version")["schema"]


def _counts(path: Path, query: str) -> dict[str, int]:
    """Return pairs of a name and a number."""
    found: dict[str, int] = {}

    def work() -> None:
        reader = open_reader(path)
        try:
            for name, count in reader.execute(query).fetchall():
                found[f"{name}"] = int(f"{count}")
        finally:
            reader.close(True)

    with without_traces(path):
        _guarded(path, work)
    return found


def _guarded(path: Path, work: Callable[[], None]) -> None:
    try:
        work()
    except apsw.Error as error:
        raise translate(error, str(path)) from None
    except OSError as error:
        raise StoreUnavailable(f"{path}: {error.strerror}") from None


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
