"""`outlast ready`: what a probe runs. It opens no store, so it also tells of one that is stuck."""

from __future__ import annotations

import os
from http.client import HTTPConnection, HTTPException

import click

from outlast.cli.places import target_of, token_file_of
from outlast.cli.printing import note, safe_line
from outlast.errors import UsageError

_SECONDS_MAX = 5.0
_ANSWER_BYTES_MAX = 1000


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=click.IntRange(1, 65535), default=8787, show_default=True)
@click.option("--db", metavar="URL", default=None, help="Beside it the token is looked for.")
@click.option("--token-file", "token_file", metavar="PATH", default=None)
def ready(*, host: str, port: int, db: str | None, token_file: str | None) -> int:
    """Exit with 0 when the server on this machine executes runs, with 1 when it does not.

    The token comes from OUTLAST_TOKEN, else from the file that the server has made.
    """
    connection = HTTPConnection(host, port, timeout=_SECONDS_MAX)
    headers = {"authorization": f"Bearer {_token(token_file, db)}"}
    try:
        connection.request("GET", "/readyz", headers=headers)
        answer = connection.getresponse()
        text = answer.read(_ANSWER_BYTES_MAX).decode("utf-8", "replace")
    except (OSError, HTTPException) as error:
        note(f"nothing answers at {safe_line(host)}:{port}: {error}")
        return 4
    finally:
        connection.close()
    if answer.status == 200:
        note("ready")
        return 0
    note(f"not ready: {answer.status} {safe_line(text)}")
    return 1


def _token(token_file: str | None, db: str | None) -> str:
    given = os.environ.get("OUTLAST_TOKEN")
    if given is not None:
        return given.strip()
    path = token_file_of(token_file, target_of(db, None))
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"there is no OUTLAST_TOKEN, and {path} cannot be read: {error}") from None
    # The server's own line has nothing but the token; the others have a name and a role.
    return next((line.strip() for line in lines if len(line.split()) == 1), "")
