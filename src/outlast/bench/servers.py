"""The two servers that are measured beside each other, each in a process of its own.

`ours` is an engine behind our server; `bare` is what starlette and uvicorn do alone: the same JSON
in and out, the same tokens to the same clients, nothing durable.

Run as `python -m outlast.bench.servers ours|bare DIRECTORY`; prints its port when it listens.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from outlast._authoring.step import step
from outlast._authoring.workflow import workflow
from outlast._handles.declarations import Signal, Stream
from outlast._server.access import Access
from outlast._server.guard import Addresses
from outlast._server.serving import Serving
from outlast._server.tcp import listen
from outlast._server.tokenfile import TokenFile
from outlast.engine import Engine, run_loop

tokens: Stream[str] = Stream("bench.tokens", str)
begin: Signal[int] = Signal("bench.begin", int)


@step(name="bench.speak")
async def speak(count: int, burst: int, pause: float) -> int:
    """Write `count` tokens, so many in one turn of the loop; each says when it was written."""
    for number in range(0, count, burst):
        for _ in range(min(burst, count - number)):
            tokens.write(f"~{time.monotonic_ns()}")
        await asyncio.sleep(pause)
    return count


@workflow(name="bench.story")
async def story(burst: int, pause: float) -> int:
    """Wait until the clients are there, then speak."""
    return await speak(await begin.receive(), burst, pause)


@step(name="bench.echo")
async def echo(value: int) -> int:
    """Do nothing durably."""
    return value


@workflow(name="bench.once")
async def once(value: int) -> int:
    """One step."""
    return await echo(value)


async def serve_ours(directory: Path) -> None:
    """Serve an engine until the process is ended."""
    file = TokenFile(directory / "token")
    file.admin()
    listener = listen("127.0.0.1", 0)
    port: int = listener.getsockname()[1]
    async with Engine.open(directory / "ours.db") as engine:
        access = Access(file, time.monotonic)
        serving = Serving(engine, access, Addresses.of("127.0.0.1", port), listener)
        await serving.run(on_ready=lambda: print(port, flush=True), grace_seconds=1)


class Bare:
    """The same over nothing."""

    def __init__(self) -> None:
        self._queues: set[asyncio.Queue[bytes]] = set()
        self._task: asyncio.Task[None] | None = None

    async def echo(self, request: Request) -> Response:
        """Decode, encode."""
        value: object = msgspec.json.decode(await request.body())
        return Response(msgspec.json.encode(value), 201, media_type="application/json")

    async def stream(self, _: Request) -> Response:
        """Give one client its tokens."""
        queue: asyncio.Queue[bytes] = asyncio.Queue()
        return StreamingResponse(self._events(queue), media_type="text/event-stream")

    async def _events(self, queue: asyncio.Queue[bytes]) -> AsyncIterator[bytes]:
        self._queues.add(queue)
        try:
            yield b":\n\n"
            while True:
                yield await queue.get()
        finally:
            self._queues.remove(queue)  # the client has gone

    async def begin(self, request: Request) -> Response:
        """Speak to all clients."""
        asked = msgspec.json.decode(await request.body(), type=dict[str, float])
        self._task = asyncio.create_task(
            self._speak(int(asked["count"]), int(asked["burst"]), asked["pause"])
        )
        return Response(b"{}", 202)

    async def _speak(self, count: int, burst: int, pause: float) -> None:
        for number in range(0, count, burst):
            for _ in range(min(burst, count - number)):
                event = b'event: data\ndata: {"values":["~%d"]}\n\n' % time.monotonic_ns()
                for queue in self._queues:
                    queue.put_nowait(event)
            await asyncio.sleep(pause)


async def serve_bare() -> None:
    """Serve nothing until the process is ended."""
    bare = Bare()
    app = Starlette(
        routes=[
            Route("/echo", bare.echo, methods=["POST"]),
            Route("/stream", bare.stream),
            Route("/begin", bare.begin, methods=["POST"]),
        ]
    )
    listener = listen("127.0.0.1", 0)
    print(listener.getsockname()[1], flush=True)
    config = uvicorn.Config(app, log_config=None, access_log=False, lifespan="off")
    await uvicorn.Server(config).serve(sockets=[listener])


def main(arguments: list[str]) -> None:
    """Serve."""
    kind, directory = arguments
    run_loop(serve_ours(Path(directory)) if kind == "ours" else serve_bare())


if __name__ == "__main__":
    main(sys.argv[1:])
