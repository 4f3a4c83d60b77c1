"""A real server in the test's own loop, programs for it, and plain requests to it."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from outlast import (
    Actor,
    Engine,
    Signal,
    Stream,
    Topic,
    Update,
    Value,
    actor,
    handler,
    step,
    wf,
    workflow,
)
from outlast._server.access import Access
from outlast._server.codes import SignInCodes
from outlast._server.guard import Addresses
from outlast._server.serving import Serving
from outlast._server.tcp import Tls, listen
from outlast._server.tokenfile import TokenFile
from outlast._wire.service import Service
from outlast.client import Client

words = Stream("served_words", str)
go = Signal("served_go", str)
number = Signal("served_number", int)
numbers = Signal("served_numbers", list[int])
either = (Signal("served_either", str), Signal("served_either", int))
share = Value("served_share", float)
add_up = Update("served_add_up", int, int)


@dataclass
class Order:
    id: str
    cents: int
    tags: list[str] = field(default_factory=list[str])


@step
async def served_charge(order: Order) -> str:
    return f"charged {order.cents}"


@workflow
async def served_checkout(order: Order, note: str = "") -> str:
    """Charge an order."""
    share.set(0.5)
    return await served_charge(order) + note


@workflow
async def served_sums(start: int = 0) -> int:
    """Add up what comes, until somebody says go."""
    total = start

    @add_up.validator
    def check(number: int) -> None:
        if number < 0:
            raise ValueError("only upwards")

    @add_up.handler
    async def add(number: int) -> int:
        nonlocal total
        if number == 13:
            raise LookupError("unlucky")
        if number == 99:
            await go.receive()
        total += number
        return total

    await go.receive()
    return total


@step
async def served_say(count: int) -> int:
    for number in range(count):
        await words.write(f"word {number}")
    return count


@workflow
async def served_story(count: int, waits: bool = False) -> int:
    said = await served_say(count)
    if waits:
        await go.receive()
    return said


at_work: list[asyncio.Event] = []


@step
async def served_hold() -> None:
    at_work.append(asyncio.Event())
    await at_work[-1].wait()


@workflow
async def served_slow() -> None:
    await served_hold()


@workflow
async def served_wait() -> str:
    return await go.receive()


@workflow
async def served_fail() -> None:
    raise ValueError("no luck")


@workflow
async def served_approve() -> str:
    approval = await wf.approve("Refund 40 EUR?", detail={"cents": 4_000})
    return f"{approval.approved} {approval.by} {approval.reason}"


@workflow
async def served_token() -> int:
    return (await wf.token(Order).wait()).cents


@dataclass
class Notes:
    items: list[str] = field(default_factory=list[str])


news = Topic("served_news", Order)


@actor
class ServedNotebook(Actor[Notes]):
    @handler
    async def add(self, text: str) -> int:
        """Add a note."""
        self.state.items.append(text)
        return len(self.state.items)

    @handler
    async def fail(self, why: str = "no luck") -> None:
        raise ValueError(why)


@actor
class ServedListener(Actor[Notes]):
    @handler(topic=news)
    async def on_news(self, order: Order) -> None:
        self.state.items.append(order.id)

    @handler
    async def heard(self) -> list[str]:
        return self.state.items


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found


@dataclass
class Served:
    """A server, and how tests speak to it."""

    port: int
    token: str
    tokens: TokenFile
    codes: SignInCodes
    engine: Engine
    service: Service
    serving: Serving
    stopped: bool = False

    def client(self) -> Client:
        return Client(f"http://127.0.0.1:{self.port}", token=self.token)

    async def request(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Make one request on a connection of its own, as it is given."""
        data = b"" if body is None else json.dumps(body).encode()
        head = {
            "Host": f"127.0.0.1:{self.port}",
            "Authorization": f"Bearer {self.token if token is None else token}",
            "Connection": "close",
            **({"Content-Type": "application/json"} if data else {}),
            **({"Content-Length": f"{len(data)}"} if data or method == "POST" else {}),
            **(headers or {}),
        }
        lines = "".join(f"{name}: {value}\r\n" for name, value in head.items() if value)
        return await self.raw(f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode() + data)

    async def raw(self, data: bytes) -> Reply:
        """Send bytes and return the answer."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(data)
            answer = await asyncio.wait_for(reader.read(), 30)
        finally:
            writer.close()
        return reply_of(answer)


def reply_of(answer: bytes) -> Reply:
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {n.lower(): v.strip() for n, _, v in (line.partition(":") for line in lines)}
    if headers.get("transfer-encoding") == "chunked":
        body = _unchunked(body)
    return Reply(int(first.split()[1]) if first else 0, headers, body)


def _unchunked(data: bytes) -> bytes:
    found = b""
    while data:
        size, _, data = data.partition(b"\r\n")
        length = int(size, 16)
        if not length:
            break
        found, data = found + data[:length], data[length + 2 :]
    return found


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop turn until something has come true."""
    while not condition():  # noqa: ASYNC110 - what is waited for tells nobody
        await asyncio.sleep(0)


@asynccontextmanager
async def serving(
    directory: Path,
    *,
    db: str = "served.db",
    engine: Engine | None = None,
    tls: Tls | None = None,
    grace_seconds: float = 5,
) -> AsyncGenerator[Served, None]:
    """Serve the programs above from a store in a directory, or with an engine made ready."""
    tokens = TokenFile(directory / "token")
    token = tokens.admin()
    listener = listen("127.0.0.1", 0)
    port: int = listener.getsockname()[1]
    async with engine or Engine.open(directory / db) as opened:
        codes = SignInCodes(token, time.monotonic)
        access = Access(tokens, time.monotonic, codes)
        addresses = Addresses.of("127.0.0.1", port)
        server = Serving(opened, access, addresses, listener, tls=tls)
        service = server.service
        ready = asyncio.Event()
        work = asyncio.create_task(
            server.run(on_ready=ready.set, grace_seconds=grace_seconds, handles_signals=False)
        )
        await ready.wait()
        served = Served(port, token, tokens, codes, opened, service, server)
        work.add_done_callback(lambda _: setattr(served, "stopped", True))
        try:
            yield served
        finally:
            if service.state != "draining":
                server.stop()
            await work


async def takes_nothing(server: Served, path: str) -> socket.socket:
    """Ask on a connection from which nothing is read."""
    link = socket.socket()
    link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    link.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(link, ("127.0.0.1", server.port))
    request = (
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n"
        f"Authorization: Bearer {server.token}\r\n\r\n"
    )
    await loop.sock_sendall(link, request.encode())
    return link
