"""`outlast.asgi`: the API and the dashboard within a FastAPI or Starlette application.

app.mount("/outlast", outlast.asgi(engine))
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Protocol

from outlast.engine import Engine


class AsgiApp(Protocol):
    """An ASGI application, to be mounted."""

    async def __call__(
        self,
        scope: MutableMapping[str, object],
        receive: Callable[[], Awaitable[MutableMapping[str, object]]],
        send: Callable[[MutableMapping[str, object]], Awaitable[None]],
    ) -> None:
        """Answer one request."""
        ...


def asgi(
    engine: Engine,
    *,
    token_file: str | os.PathLike[str] | None = None,
    allow_hosts: Sequence[str] | None = None,
    allow_origins: Sequence[str] = (),
) -> AsgiApp:
    """Return the HTTP API and the dashboard of an engine, to mount in an ASGI application.

    They answer while the engine is open, which the application's own lifespan sees to. Of several
    processes that share a file (`Engine.open(share=True)`), each passes requests on to the owner.

    Args:
        token_file: where the tokens are; made with a new one when it is missing. Without it,
            `token` beside the database, as for `outlast serve`. Every request needs a token.
        allow_hosts: the names by which the application may be called. None leaves that to it, but
            for requests that come to a loopback address: there it is called localhost, 127.0.0.1 or
            [::1], so that no page of another site reaches it by pointing its name there. A proxy on
            this machine that passes the Host on needs the names here.
        allow_origins: other sites whose pages may call it.

    Raises:
        UsageError: the token file cannot be used, or the engine cannot be served.
    """
    make: Callable[..., AsgiApp] = import_module("outlast._server.mounted").Mounted
    return make(
        engine,
        token_file=None if token_file is None else Path(token_file),
        allow_hosts=allow_hosts,
        allow_origins=allow_origins,
    )
