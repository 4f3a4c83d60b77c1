"""`outlast ready`: what a probe runs. It opens no store, so it also tells of one that is stuck."""

from __future__ import annotations

import os
import ssl
from http.client import HTTPConnection, HTTPException, HTTPSConnection

import click

from outlast.cli.places import target_of, token_file_of
from outlast.cli.printing import note, safe_line
from outlast.errors import UsageError

_SECONDS_MAX = 5.0
_ANSWER_BYTES_MAX = 1000


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=click.IntRange(1, 65535), default=8787, show_default=True)
@click.option("--db", metavar="URL", default=None, help="Database whose token file to use.")
@click.option(
    "--token-file", "token_file", metavar="PATH", default=None, help="File of API tokens."
)
@click.option(
    "--tls-cert",
    "certificate",
    metavar="PATH",
    default=None,
    help="Connect with TLS and expect this certificate.",
)
def ready(
    *, host: str, port: int, db: str | None, token_file: str | None, certificate: str | None
) -> int:
    """Exit with 0 if the server on this machine executes runs, and with 1 if it does not.

    The API token comes from OUTLAST_TOKEN, or from the server's token file.
    """
    connection = _connection(host, port, certificate)
    headers = {"authorization": f"Bearer {_token(token_file, db)}"}
    try:
        connection.request("GET", "/readyz", headers=headers)
        answer = connection.getresponse()
        text = answer.read(_ANSWER_BYTES_MAX).decode("utf-8", "replace")
    except (OSError, HTTPException) as error:
        note(f"no server answers at {safe_line(host)}:{port}: {error}")
        return 4
    finally:
        connection.close()
    if answer.status == 200:
        note("ready")
        return 0
    note(f"not ready: {answer.status} {safe_line(text)}")
    return 1


def _connection(host: str, port: int, certificate: str | None) -> HTTPConnection:
    if certificate is None:
        return HTTPConnection(host, port, timeout=_SECONDS_MAX)
    try:
        context = ssl.create_default_context(cafile=certificate)
    except (OSError, ssl.SSLError) as error:
        raise UsageError(
            f"cannot use the certificate {certificate}: {error.strerror or error}"
        ) from None
    # It is this very certificate, whatever name of the server it was made for.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.check_hostname = False
    return HTTPSConnection(host, port, timeout=_SECONDS_MAX, context=context)


def _token(token_file: str | None, db: str | None) -> str:
    given = os.environ.get("OUTLAST_TOKEN")
    if given is not None:
        return given.strip()
    path = token_file_of(token_file, target_of(db, None))
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"OUTLAST_TOKEN is not set, and {path} cannot be read: {error}") from None
    # The server's own line has nothing but the token; the others have a name and a role.
    return next((line.strip() for line in lines if len(line.split()) == 1), "")
