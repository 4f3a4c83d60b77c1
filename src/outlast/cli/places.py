"""Which database a command means, and the options that say so."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import click

from outlast._built import BUILT
from outlast._codec.stored.keys import Keys, keys_from_environment, keys_from_file
from outlast._codec.stored.layers import BodyCodec, codec_of, encrypted
from outlast._engine.opening import Target, parse_url
from outlast._server.tokenfile import TokenFile
from outlast._store.sqlite.tables.schema import is_there
from outlast.cli.printing import note, safe_line
from outlast.errors import StoreMissing, UsageError

F = TypeVar("F", bound=Callable[..., object])

_CA_FILE = "outlast.ca_file"
_KEY_FILE = "outlast.key_file"
_WAS_SAID = "outlast.said_which_database"


def database_options(command: F) -> F:
    """Add `--db`, `--url`, and `--ca-file` and `--key-file`, which `place_of` finds by itself."""
    command = click.option(
        "--key-file",
        metavar="PATH",
        default=None,
        expose_value=False,
        callback=_keep_key_file,
        help="Keys of an encrypted database [default: OUTLAST_KEY_FILE, or OUTLAST_KEYS]",
    )(command)
    command = click.option(
        "--ca-file",
        metavar="PATH",
        default=None,
        expose_value=False,
        callback=_keep_ca_file,
        help="CA certificates to verify an https server with [default: OUTLAST_CA_FILE]",
    )(command)
    command = click.option(
        "--url",
        "url",
        metavar="URL",
        default=None,
        help="Use a server instead, for example http://127.0.0.1:8787",
    )(command)
    return click.option(
        "--db",
        "db",
        metavar="URL",
        default=None,
        help="Database path or sqlite:/// URL [default: OUTLAST_DB, or .outlast/outlast.db]",
    )(command)


def _keep_ca_file(context: click.Context, _: click.Parameter, given: str | None) -> None:
    context.meta[_CA_FILE] = given


def _keep_key_file(context: click.Context, _: click.Parameter, given: str | None) -> None:
    context.meta[_KEY_FILE] = given


def given_keys() -> Keys | None:
    """Return the keys that a command was given: by its option, or by the environment.

    Raises:
        UsageError: they cannot be used.
    """
    context = click.get_current_context(silent=True)
    given: str | None = None if context is None else context.meta.get(_KEY_FILE)
    path = given if given is not None else os.environ.get("OUTLAST_KEY_FILE")
    if path:
        return keys_from_file(path)
    return keys_from_environment() if os.environ.get("OUTLAST_KEYS") else None


def _ca_file() -> str | None:
    context = click.get_current_context(silent=True)
    found: str | None = None if context is None else context.meta.get(_CA_FILE)
    return found


def json_option(command: F) -> F:
    """Let a command print JSON."""
    return click.option("--json", "as_data", is_flag=True, help="Print JSON.")(command)


def target_of(db: str | None, url: str | None, *, read_only: bool = False) -> Target:
    """Return the database that a command means.

    Raises:
        NotSupported: `--url`; UsageError: what is given is no database.
    """
    if url is not None:
        raise UsageError(
            "this command needs a local database, not a server: use --db instead of --url"
        )
    if _ca_file() is not None:
        raise UsageError("--ca-file applies only to a server: add --url")
    return _target(db, read_only=read_only)


def _target(db: str | None, *, read_only: bool = False, says_where: bool = True) -> Target:
    given = db if db is not None else os.environ.get("OUTLAST_DB")
    if given is not None:
        target = parse_url(given, read_only=read_only)
        if target.kind == "memory":
            raise UsageError(
                "a memory:// store exists only inside its own process, so a command cannot open "
                "it: give --db a path"
            )
        return replace(target, codec=_codec())
    root = project_root()
    path = root / ".outlast" / "outlast.db"
    if says_where and root != Path.cwd():
        _say_once(path, root)
    return Target("sqlite", str(path), read_only, codec=_codec())


def _codec() -> BodyCodec | None:
    keys = given_keys()
    return None if keys is None else codec_of(encrypted(keys))


def _say_once(path: Path, root: Path) -> None:
    """Say that the database is that of a folder above, once in a command."""
    context = click.get_current_context(silent=True)
    if context is None or context.find_root().meta.get(_WAS_SAID):
        return
    context.find_root().meta[_WAS_SAID] = True
    mark = ".outlast" if (root / ".outlast").is_dir() else "pyproject.toml"
    note(
        f"using the database {safe_line(str(path))} of a parent directory, because that has "
        f"{mark}; use --db or OUTLAST_DB to choose another"
    )


def existing_target(db: str | None, url: str | None, *, read_only: bool = False) -> Target:
    """Return the same, for commands that make no database.

    Raises:
        StoreMissing: there is none; StoreDamaged: there was one, and it is gone.
    """
    target = target_of(db, url, read_only=read_only)
    if not is_there(Path(target.name)):
        raise StoreMissing(
            f"there is no database at {target.name}: create it with `outlast run app.py:flow`, "
            "or choose another with --db or OUTLAST_DB"
        )
    return target


def log_file_of(target: Target) -> Path:
    """Return where a server logs: beside its database."""
    path = Path(target.name).absolute()
    return path.with_name(f"{path.name}.log")


@dataclass(frozen=True, slots=True)
class Server:
    """A server, and the token that opens it."""

    url: str
    token: str
    ca_file: str | None = None


Place = Target | Server


def place_of(db: str | None, url: str | None, *, read_only: bool = False) -> Place:
    """Return the database or the server that a command means.

    A server's token is `OUTLAST_TOKEN`, else that of the project's token file.

    Raises:
        UsageError: both are given; StoreMissing: there is no such database.
    """
    if url is None:
        return existing_target(db, None, read_only=read_only)
    if db is not None:
        raise UsageError("--db names a local database and --url a server: give only one of them")
    token = os.environ.get("OUTLAST_TOKEN")
    file = token_file_of(None, _target(None, says_where=False))
    if token is None and file.exists():
        token = TokenFile(file).admin()
    return Server(url, token or "", _ca_file())


def command_line(*words: str) -> str:
    """Return an `outlast` command to copy: with the `--db` that the running one was given."""
    context = click.get_current_context(silent=True)
    params = {} if context is None else context.params
    place: list[str] = []
    for name in ("db", "url"):
        given: object = params.get(name)
        place += [f"--{name}", given] if isinstance(given, str) else []
    ca_file = _ca_file()
    place += [] if ca_file is None else ["--ca-file", ca_file]
    return safe_line(shlex.join((program_name(), *words, *place)))


def program_name() -> str:
    """Return what the command line is called: a built executable has a name of its own."""
    return "outlast" if BUILT is None else BUILT.name


def token_file_of(given: str | None, target: Target) -> Path:
    """Return where a server's token is kept: beside its database, unless it is said."""
    return Path(given) if given is not None else Path(target.name).absolute().parent / "token"


def project_root() -> Path:
    """Return the nearest directory upwards that is a project, else the current one."""
    here = Path.cwd()
    for directory in (here, *here.parents):
        if (directory / "pyproject.toml").is_file() or (directory / ".outlast").is_dir():
            return directory
    return here
