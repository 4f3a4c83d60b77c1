"""`outlast token add | ls | rm`: who may call a server."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click

from outlast._server.tokenfile import ROLE_NAMED, TokenFile
from outlast._wire.security.callers import ROLES
from outlast.cli.places import target_of, token_file_of
from outlast.cli.printing import as_json, note, safe_line, say, table

F = TypeVar("F", bound=Callable[..., object])


@click.group()
def token() -> None:
    """Manage API tokens."""


def _file_options(command: F) -> F:
    command = click.option(
        "--db", metavar="URL", default=None, help="Database [default: the project's]"
    )(command)
    return click.option(
        "--token-file",
        "token_file",
        metavar="PATH",
        default=None,
        help="File of API tokens [default: next to the database]",
    )(command)


def _file(db: str | None, token_file: str | None) -> TokenFile:
    path = Path(token_file) if token_file is not None else token_file_of(None, target_of(db, None))
    return TokenFile(path)


@token.command()
@click.argument("name")
@click.option("--role", type=click.Choice(ROLES), required=True, help="Role of the token.")
@_file_options
def add(*, name: str, role: str, db: str | None, token_file: str | None) -> None:
    """Create an API token and print it once; the token file keeps only its hash."""
    say(_file(db, token_file).add(name, ROLE_NAMED[role]))
    note(f"created a token for {safe_line(name)} with role {role}; it is not shown again")


@token.command()
@click.option("--json", "as_data", is_flag=True, help="Print JSON.")
@_file_options
def ls(*, as_data: bool, db: str | None, token_file: str | None) -> None:
    """List the names and roles of API tokens."""
    known = _file(db, token_file).known()
    if as_data:
        say(as_json([{"name": t.name, "role": t.role} for t in known]))
        return
    for line in table(("NAME", "ROLE"), [(t.name, t.role) for t in known]):
        say(line)


@token.command()
@click.argument("name")
@_file_options
def rm(*, name: str, db: str | None, token_file: str | None) -> None:
    """Revoke an API token."""
    for fault in _file(db, token_file).remove(name):
        note(f"ignored an invalid line of the token file: {safe_line(fault)}")
    note(f"revoked the token of {safe_line(name)}")
