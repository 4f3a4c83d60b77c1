"""`outlast inbox | approve | reject | answer`: what runs ask of people."""

from __future__ import annotations

import getpass

import click

from outlast.cli.inputs import json_of
from outlast.cli.places import database_options, json_option, place_of
from outlast.cli.printing import as_json, moment, note, safe_line, say, table
from outlast.cli.runs.inspect import reading
from outlast.cli.transport import Verbs, write
from outlast.engine import run_loop
from outlast.errors import EngineClosed, UnknownActor, UnknownWorkflow, UsageError
from outlast.types import TokenInfo


def _by_option() -> str:
    """Return who is at the keyboard: what an answer is signed with when it is not said."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""  # a container may run as a user that has no name


@click.command()
@click.option("--all", "with_answered", is_flag=True, help="Include answered and closed ones.")
@json_option
@database_options
def inbox(*, with_answered: bool, as_data: bool, db: str | None, url: str | None) -> None:
    """List pending approvals and tokens, oldest first."""
    run_loop(_list(reading(db, url), open_only=not with_answered, as_data=as_data))


async def _list(opening: Verbs, *, open_only: bool, as_data: bool) -> None:
    async with opening as engine:
        infos = [info async for info in engine.tokens(open_only=open_only)]
    if as_data:
        say("[" + ",\n".join(as_json(info) for info in infos) + "]")
    elif not infos:
        note("nothing is waiting for an answer")
    else:
        rows = [_cells(info) for info in infos]
        head = ("ID", "KIND", "TITLE", "DETAIL", "RUN", "ASKED", "STATUS")
        for line in table(head, rows):
            say(line)


def _cells(info: TokenInfo) -> tuple[str, ...]:
    detail = "" if info.detail is None else as_json(info.detail)[:100]
    return (
        info.id,
        info.kind,
        info.title,
        detail,
        info.run,
        moment(info.created_at),
        _standing(info),
    )


def _standing(info: TokenInfo) -> str:
    """Return how a question stands, with what was answered, by whom and why."""
    if info.status != "answered":
        return info.status
    said = f"answered {as_json(info.value)[:100]}"
    if info.kind == "approval":
        said = "approved" if info.value is True else "rejected"
    who = f" by {info.by}" if info.by else ""
    return said + who + (f": {info.reason}" if info.reason else "")


@click.command()
@click.argument("token_id", metavar="ID")
@click.option("--reason", default="", help="Reason, recorded with the answer.")
@click.option("--by", default=None, help="Name to record [default: the current system user].")
@click.option(
    "--digest",
    default="",
    help="Apply only if the request still has this digest (see `inbox --json`).",
)
@database_options
def approve(
    *, token_id: str, reason: str, by: str | None, digest: str, db: str | None, url: str | None
) -> None:
    """Approve a request that a run made with `wf.approve`."""
    _say(token_id, True, by=by, reason=reason, digest=digest, db=db, url=url)


@click.command()
@click.argument("token_id", metavar="ID")
@click.option("--reason", default="", help="Reason, recorded with the answer.")
@click.option("--by", default=None, help="Name to record [default: the current system user].")
@click.option(
    "--digest",
    default="",
    help="Apply only if the request still has this digest (see `inbox --json`).",
)
@database_options
def reject(
    *, token_id: str, reason: str, by: str | None, digest: str, db: str | None, url: str | None
) -> None:
    """Reject a request that a run made with `wf.approve`."""
    _say(token_id, False, by=by, reason=reason, digest=digest, db=db, url=url)


def _refuse_by(by: str | None, url: str | None) -> None:
    if by is not None and url is not None:
        raise UsageError("--by needs a local database: a server records the name of the API token")


def _say(
    token_id: str,
    is_approved: bool,
    *,
    by: str | None,
    reason: str,
    digest: str,
    db: str | None,
    url: str | None,
) -> None:
    _refuse_by(by, url)
    who = _by_option() if by is None and url is None else by or ""
    place = place_of(db, url)

    async def commit(engine: Verbs) -> None:
        verb = engine.approve if is_approved else engine.reject
        await verb(token_id, by=who, reason=reason, digest=digest)

    written = run_loop(write(place, commit))
    _told("approved" if is_approved else "rejected", token_id, has_owner=written.acts_now)


@click.command()
@click.argument("token_id", metavar="ID")
@click.argument("value", metavar="JSON")
@click.option("--by", default=None, help="Name to record [default: the current system user].")
@database_options
def answer(*, token_id: str, value: str, by: str | None, db: str | None, url: str | None) -> None:
    """Answer a token with a value as JSON (or @file, or - for stdin).

    An engine that has the run's code must be running, because it checks the value's type.
    """
    _refuse_by(by, url)
    who = _by_option() if by is None and url is None else by or ""
    place = place_of(db, url)
    data = json_of(value, "the answer")

    async def commit(engine: Verbs) -> None:
        try:
            await engine.answer(token_id, data, by=who)
        except (UnknownWorkflow, UnknownActor) as error:
            raise EngineClosed(
                f"the answer cannot be checked ({error}): start an engine that has the run's code, "
                f"for example with `outlast serve APP`, and answer again"
            ) from None

    written = run_loop(write(place, commit))
    _told("answered", token_id, has_owner=written.acts_now)


def _told(what: str, token_id: str, *, has_owner: bool) -> None:
    later = "" if has_owner else "; no engine is running, so the next one continues the run"
    note(f"{what} {safe_line(token_id)}{later}")
