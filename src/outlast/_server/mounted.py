"""The API and the dashboard as a part of somebody's ASGI application."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from starlette.types import ASGIApp, Receive, Scope, Send

from outlast._engine.open_engine import EngineCore
from outlast._server.access import Access
from outlast._server.guard import Addresses, Guard
from outlast._server.relay import Relay
from outlast._server.static import Static
from outlast._server.tokenfile import TokenFile
from outlast._store.sqlite.shared import SharedSqliteStore
from outlast._wire.app import Application
from outlast._wire.formats.problems import problem_of
from outlast._wire.service import service_of
from outlast.engine import Engine
from outlast.errors import OutlastError, UsageError


class Mounted:
    """Serves one engine, while it is open."""

    def __init__(
        self,
        engine: Engine,
        *,
        token_file: Path | None,
        allow_hosts: Sequence[str] | None,
        allow_origins: Sequence[str],
    ) -> None:
        target = engine._target  # a server of ours may look inside
        if token_file is None and target.kind == "memory":
            raise UsageError(
                "a memory:// store has no directory for a token file: give asgi(token_file=)"
            )
        if target.read_only:
            raise UsageError("a server needs a writable engine: open it without read_only=True")
        place = Path(target.name).absolute().parent / "token"
        tokens = TokenFile(place if token_file is None else token_file)
        tokens.admin()
        self._engine = engine
        self._access = Access(tokens, time.monotonic)
        self._addresses = Addresses.anywhere(allow_hosts, allow_origins)
        self._static = Static()
        self._core: EngineCore | None = None
        self._own: ASGIApp | None = None
        self._relay: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000})  # there are none here
            return
        await Guard(self._answer, self._addresses)(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            app = self._app(self._engine._core)
        except OutlastError as error:  # it is not open yet, or not any more
            await problem_of(error).response()(scope, receive, send)
            return
        await app(scope, receive, send)

    def _app(self, core: EngineCore) -> ASGIApp:
        """Return what answers now: this engine, or the one that owns the file that both share."""
        if core is not self._core:
            self._core, self._own, self._relay = core, None, None
        store = core.store
        if isinstance(store, SharedSqliteStore) and not store.owns:
            if self._relay is None:
                self._relay = Relay(store.path, core.world, self._access, self._static)
            return self._relay
        if self._own is None:
            service = service_of(self._engine, core, self._engine._target.name)
            service.began()
            self._own = Application(service, self._access, self._static)
        return self._own
