"""A server beside the engine that owns a database: it lets callers in, and passes on what they ask.

Tokens, roles, Host, Origin and the dashboard's files are looked after here; what is asked is
answered by the owner, over the Unix socket beside the database, in the name of the caller.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import h11
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from outlast import limits
from outlast._server.pulse import Pulse
from outlast._wire.entrance import Entered, Entrance, Files
from outlast._wire.formats.conversions import Conversions
from outlast._wire.formats.problems import SERVER_FAILED, Problem, problem_of
from outlast._wire.handlers.status import sign_in_of
from outlast._wire.security.bodies import Bodies
from outlast._wire.security.callers import Callers, relayed
from outlast._wire.security.hangups import ClientGone, while_connected
from outlast._world import World
from outlast.client.connection import Connections
from outlast.errors import OutlastError

log = logging.getLogger("outlast.server")
_SENT = ("Accept", "Last-Event-ID", "traceparent")
_LEFT_OUT = frozenset((b"connection", b"transfer-encoding", b"date", b"server", b"keep-alive"))


class Relay:
    """Answers requests with what the owner of a database answers."""

    def __init__(
        self, database: Path, world: World, callers: Callers, files: Files | None = None
    ) -> None:
        self._world = world
        self._entrance = Entrance(callers, Conversions(world), files, checks_roles=False)
        self._bodies = Bodies()
        self._owner = Connections(f"{database}", "", timeout_seconds=limits.SOCKET_SILENCE_SECONDS)
        self._pulse = Pulse(self._owner, world)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request = Request(scope, receive)
        answer = _Answer(send)
        try:
            await self._pass(request, answer)
        except Problem as refusal:
            await answer.fail(refusal.response(), scope, receive)
        except ClientGone:
            return
        except OutlastError as error:
            await answer.fail(problem_of(error).response(), scope, receive)
        except Exception:
            log.exception("request failed: %s %s", request.method, request.url.path)
            await answer.fail(SERVER_FAILED.response(), scope, receive)

    async def _pass(self, request: Request, answer: _Answer) -> None:
        entered = self._entrance.enter(request)
        if isinstance(entered, Response):
            await entered(request.scope, request.receive, answer.send)
            return
        call = entered.call
        if request.method != "POST":
            await self._ask(entered, b"", answer)
            return
        is_known = entered.route.role is not None
        most = limits.HTTP_BODY_BYTES_MAX if is_known else limits.HTTP_STRANGER_BYTES_MAX
        async with self._bodies.read(request, call.holders, most) as body:
            if is_known:
                await self._ask(entered, body, answer)
            else:
                response = await sign_in_of(replace(call, body=body))
                await response(request.scope, request.receive, answer.send)

    async def _ask(self, entered: Entered, body: bytes, answer: _Answer) -> None:
        call, request = entered.call, entered.call.request
        headers = {name: request.headers[name] for name in _SENT if name in request.headers}
        headers["Authorization"] = relayed(call.caller)
        if request.method == "POST":  # what is not said to be JSON must not become so here
            headers["Content-Type"] = request.headers.get("content-type", "")
        async with (
            while_connected(request.receive, self._world),
            self._pulse.while_alive(),
            self._owner.pass_on(request.method, entered.path, headers, body) as (head, pieces),
        ):
            await answer.begin(head)
            is_stream = all(name != b"content-length" for name, _ in head.headers)
            async for piece in pieces:
                if is_stream and not call.may_go_on():
                    break  # whose token was taken away reads no further
                await answer.go_on(piece)
            await answer.end()


class _Answer:
    """What is sent to one client."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._has_begun = False

    async def send(self, message: Message) -> None:
        """Send a part of it.

        Raises:
            ClientGone: the client has disconnected.
        """
        try:
            await self._send(message)
        except (OSError, RuntimeError) as error:  # of asyncio and of uvloop
            raise ClientGone from error

    async def begin(self, head: h11.Response) -> None:
        """Send the head of the owner's answer."""
        self._has_begun = True
        headers = [(name, value) for name, value in head.headers if name not in _LEFT_OUT]
        await self.send(
            {"type": "http.response.start", "status": head.status_code, "headers": headers}
        )

    async def go_on(self, piece: bytes) -> None:
        """Send a part of its body."""
        await self.send({"type": "http.response.body", "body": piece, "more_body": True})

    async def end(self) -> None:
        """Say that that was all."""
        await self.send({"type": "http.response.body", "body": b""})

    async def fail(self, response: Response, scope: Scope, receive: Receive) -> None:
        """Send an error; of an answer that has begun, nothing more is sent."""
        if not self._has_begun:
            await response(scope, receive, self.send)
