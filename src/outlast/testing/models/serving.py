"""A script as an OpenAI-compatible HTTP server on 127.0.0.1, in the loop of the test.

Invariant: a response that is cut ends its connection without the end of its body, so that a client
sees what it would see of a provider that dies.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Protocol, runtime_checkable

import msgspec
import uvicorn
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.auto import AutoHTTPProtocol
from uvicorn.server import ServerState

from outlast.errors import UsageError
from outlast.testing.models.chat import (
    ChatRequest,
    Data,
    chat_request,
    chunks_of,
    completion,
    last_chunks,
)
from outlast.testing.models.replies import Broken, ErrorReply, Reply, reply_to
from outlast.testing.models.script import Script
from outlast.testing.models.turns import Asked

_GRACE_SECONDS = 2.0
_PATH = "/chat/completions"


@asynccontextmanager
async def serving(script: Script, name: str, requests: list[Asked]) -> AsyncGenerator[str]:
    """Serve a script while the context is open, and give the base URL for clients.

    What is asked is added to `requests`.
    """
    application = _Application(script, name, requests)
    config = uvicorn.Config(
        application, ws="none", lifespan="off", log_config=None, access_log=False
    )
    config.load()
    state = ServerState()
    made: Callable[..., asyncio.Protocol] = AutoHTTPProtocol

    def connect() -> asyncio.Protocol:
        line = _Line()
        given: Data = {"config": config, "server_state": state, "app_state": {"line": line}}
        line.protocol = made(**given)
        application.lines.append(line)
        return line.protocol

    server = await asyncio.get_running_loop().create_server(connect, "127.0.0.1", 0)
    try:
        port: int = server.sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.close()
        for line in application.lines:
            line.hang_up()
        if state.tasks:
            await asyncio.wait(list(state.tasks), timeout=_GRACE_SECONDS)
        await asyncio.sleep(0)  # lets the connections notice that they are closed


@runtime_checkable
class _Transport(Protocol):
    def close(self) -> None: ...

    def is_closing(self) -> bool: ...


class _Line:
    """One connection, which the application may break."""

    protocol: asyncio.Protocol | None = None

    @property
    def is_open(self) -> bool:
        """Whether what is sent can reach the client."""
        transport: object = getattr(self.protocol, "transport", None)
        return isinstance(transport, _Transport) and not transport.is_closing()

    def hang_up(self) -> None:
        """Send what was written, and close."""
        transport: object = getattr(self.protocol, "transport", None)
        if isinstance(transport, _Transport):
            transport.close()


class _Application:
    """Answers chat completions from a script."""

    def __init__(self, script: Script, name: str, requests: list[Asked]) -> None:
        self.lines: list[_Line] = []
        self._script = script
        self._name = name
        self._requests = requests
        self._tries: Counter[tuple[str, ...]] = Counter()
        self._number = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        response = _refused_path(request)
        if response is None:
            response = await self._answer(request, send)
        if response is None:
            await _until_gone(receive)
        else:
            await response(scope, receive, send)

    async def _answer(self, request: Request, send: Send) -> Response | None:
        """Return the response; None when it was sent already, or the connection broken."""
        try:
            chat = chat_request(await request.body())
        except (msgspec.ValidationError, msgspec.DecodeError) as error:
            return _error(400, f"the body is no chat completion: {error}", "invalid_body")
        texts = chat.texts()
        self._tries[texts] += 1
        asked = chat.asked(self._tries[texts])
        self._requests.append(asked)
        try:
            reply = reply_to(asked, self._script.turn_for(asked))
        except UsageError as error:
            return _error(400, f"{error}", "script_is_over")
        if isinstance(reply, ErrorReply):
            body: Data = {"error": reply.body}
            return _json(body, status=reply.status, headers=reply.headers)
        self._number += 1
        line: _Line = request.scope["state"]["line"]
        if chat.stream:
            await self._stream(chat, reply, line, send)
            return None
        async with aclosing(reply.pieces()) as pieces:
            async for piece in pieces:
                if isinstance(piece, Broken):
                    line.hang_up()
                    return None
        return _json(completion(reply, number=self._number, model=self._name))

    async def _stream(self, chat: ChatRequest, reply: Reply, line: _Line, send: Send) -> None:
        number, model = self._number, self._name
        headers = [(b"content-type", b"text/event-stream; charset=utf-8")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        async with aclosing(reply.pieces()) as pieces:
            async for piece in pieces:
                if isinstance(piece, Broken) or not line.is_open:
                    line.hang_up()
                    return
                await _send_event(send, chunks_of(piece, number=number, model=model))
        with_usage = chat.stream_options is not None and chat.stream_options.include_usage
        for data in last_chunks(reply, number=number, model=model, with_usage=with_usage):
            await _send_event(send, data)
        await send({"type": "http.response.body", "body": b"data: [DONE]\n\n"})


def _refused_path(request: Request) -> Response | None:
    path, method = request.url.path, request.method
    if not path.endswith(_PATH):
        return _error(404, f"there is no {path} here, only /v1{_PATH}", "not_found")
    if method != "POST":
        return _error(405, f"{path} takes POST, not {method}", "method_not_allowed")
    return None


async def _send_event(send: Send, data: Data) -> None:
    body = b"data: " + msgspec.json.encode(data) + b"\n\n"
    await send({"type": "http.response.body", "body": body, "more_body": True})


async def _until_gone(receive: Receive) -> None:
    """Wait until the connection is closed, so that the server takes it for the client's doing."""
    while (await receive())["type"] != "http.disconnect":
        pass


def _json(data: Data, *, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(data), status, headers, media_type="application/json")


def _error(status: int, message: str, code: str) -> Response:
    kind = "invalid_request_error"
    body: Data = {"message": message, "type": kind, "param": None, "code": code}
    return _json({"error": body}, status=status)
