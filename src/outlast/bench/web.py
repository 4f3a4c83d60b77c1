"""Profiles `http` and `stream`: our server beside a bare one, in turns, from a client of our own.

The servers have a process each; this process is the client. On two cores they share the machine
evenly.
"""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from outlast._world import memory_bytes
from outlast.bench.result import Bar, Result, quantile, ratio_of
from outlast.bench.sizes import Sizes

Note = Callable[[str], None]

_AT_ONCE = 32  # connections that start runs
_PACED_TOKENS = 200
_PACE_SECONDS = 0.005


@dataclass(frozen=True, slots=True)
class Site:
    """A server under measurement."""

    port: int
    token: str = ""
    pid: int = 0

    def resident_bytes(self) -> int:
        """Return how much memory the server has; 0 where the system does not say."""
        return memory_bytes(self.pid)

    def request(self, method: str, path: str, body: object = None, *, close: bool = False) -> bytes:
        """Return a request as bytes."""
        data = b"" if body is None else msgspec.json.encode(body)
        lines = [
            f"{method} {path} HTTP/1.1",
            f"Host: 127.0.0.1:{self.port}",
            f"Authorization: Bearer {self.token}",
            f"Content-Length: {len(data)}",
            "Content-Type: application/json",
            *(["Connection: close"] if close else []),
        ]
        return ("\r\n".join(lines) + "\r\n\r\n").encode() + data


class Line:
    """One connection that is kept."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def open(cls, site: Site) -> Line:
        """Connect."""
        return cls(*await asyncio.open_connection("127.0.0.1", site.port, limit=1 << 20))

    async def ask(self, request: bytes) -> bytes:
        """Return the body of the answer.

        Raises:
            RuntimeError: it is none that was hoped for.
        """
        self.writer.write(request)
        status, body = await self._answer()
        if status // 100 != 2:
            raise RuntimeError(f"the server answered {status} {body[:200]!r}")
        return body

    async def status(self, request: bytes) -> int:
        """Return the status of the answer."""
        self.writer.write(request)
        return (await self._answer())[0]

    async def _answer(self) -> tuple[int, bytes]:
        head = await self.reader.readuntil(b"\r\n\r\n")
        at = head.lower().index(b"content-length:") + 15
        body = await self.reader.readexactly(int(head[at : head.index(b"\r", at)]))
        return int(head[9:12]), body


@asynccontextmanager
async def server(kind: str, directory: Path) -> AsyncGenerator[Site, None]:
    """Start one of the two servers, for as long as the block lasts."""
    place = directory / f"{kind}-{time.monotonic_ns()}"
    place.mkdir()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "outlast.bench.servers", kind, str(place)),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        printed = b"" if process.stdout is None else await process.stdout.readline()
        if not printed:
            raise RuntimeError(f"the {kind} server did not start")
        token = place / "token"
        yield Site(int(printed), token.read_text().strip() if token.exists() else "", process.pid)
    finally:
        process.terminate()
        await process.wait()


Ask = Callable[[Site, Line, int], Awaitable[None]]


# -------------------------------------------------------------------------------- http
async def http(directory: Path, sizes: Sizes, note: Note) -> Result:
    """Starts a second, and from a start to its result over HTTP."""
    ours: list[tuple[float, list[float]]] = []
    floors: list[tuple[float, list[float]]] = []
    async with server("ours", directory) as us, server("bare", directory) as bare:
        for number in range(sizes.rounds):
            note(f"round {number + 1} of {sizes.rounds}")
            ours.append(await _asked(us, sizes, _start, _start_and_result))
            floors.append(await _asked(bare, sizes, _echo, _echo_twice))
    rates = [rate for rate, _ in ours]
    p50 = statistics.median(quantile(times, 0.5) for _, times in ours) * 1e3
    return Result(
        profile="http",
        settings={"requests": sizes.answers, "rounds": sizes.rounds, "at_once": _AT_ONCE},
        ours=_figures(ours, "starts"),
        floor=_figures(floors, "requests"),
        ratio=ratio_of(rates, [rate for rate, _ in floors]),
        bars=[Bar("start to result p50 in ms, on a fast disk", p50, 3.0)],
    )


def _figures(rounds: Sequence[tuple[float, list[float]]], what: str) -> dict[str, float]:
    return {
        f"{what}_per_second": statistics.median(rate for rate, _ in rounds),
        "p50_ms": statistics.median(quantile(times, 0.5) for _, times in rounds) * 1e3,
        "p99_ms": statistics.median(quantile(times, 0.99) for _, times in rounds) * 1e3,
    }


async def _start(site: Site, line: Line, number: int) -> None:
    await line.ask(site.request("POST", "/v1/workflows/bench.once/runs", _input(number)))


async def _start_and_result(site: Site, line: Line, number: int) -> None:
    made = await line.ask(site.request("POST", "/v1/workflows/bench.once/runs", _input(number)))
    run: object = msgspec.json.decode(made, type=dict[str, object])["id"]
    await line.ask(site.request("GET", f"/v1/runs/{run}/result"))


async def _echo(site: Site, line: Line, number: int) -> None:
    await line.ask(site.request("POST", "/echo", _input(number)))


async def _echo_twice(site: Site, line: Line, number: int) -> None:
    await _echo(site, line, number)
    await _echo(site, line, number)


def _input(number: int) -> dict[str, object]:
    return {"input": {"value": number}}


async def _asked(
    site: Site,
    sizes: Sizes,
    many: Ask,
    single: Ask,
) -> tuple[float, list[float]]:
    """Return requests a second over many connections, and the times of single ones."""
    lines = [await Line.open(site) for _ in range(_AT_ONCE)]
    count = max(1, sizes.answers // _AT_ONCE) * 4

    async def work(line: Line) -> None:
        for number in range(count):
            await many(site, line, number)

    began = time.perf_counter()
    await asyncio.gather(*map(work, lines))
    rate = count * len(lines) / (time.perf_counter() - began)
    times: list[float] = []
    for number in range(sizes.answers):
        began = time.perf_counter()
        await single(site, lines[0], number)
        times.append(time.perf_counter() - began)
    for line in lines:
        line.writer.close()
    return rate, times


# ------------------------------------------------------------------------------ stream
async def stream(directory: Path, sizes: Sizes, note: Note) -> Result:
    """Tokens a second to one, a hundred and a thousand clients, and how late one token is."""
    ours: dict[str, list[float]] = {}
    floors: dict[str, list[float]] = {}
    async with server("ours", directory) as us, server("bare", directory) as bare:
        for number in range(sizes.rounds):
            for clients in sizes.stream_clients:
                note(f"round {number + 1} of {sizes.rounds}, {clients} clients")
                count = max(sizes.stream_tokens_min, sizes.stream_tokens // clients)
                for burst, how in ((1, "singly"), (10, "merged")):
                    name = f"{how}_to_{clients}_per_second"
                    rate, _ = await _streamed(_our_stream(us, burst, 0.0), clients, count)
                    ours.setdefault(name, []).append(rate)
                rate, _ = await _streamed(_bare_stream(bare, 1, 0.0), clients, count)
                floors.setdefault(f"singly_to_{clients}_per_second", []).append(rate)
            paced = ((_our_stream(us, 1, _PACE_SECONDS), ours),
                     (_bare_stream(bare, 1, _PACE_SECONDS), floors))  # fmt: skip
            for broadcast, found in paced:
                _, late = await _streamed(broadcast, 1, _PACED_TOKENS)
                found.setdefault("paced_p50_ms", []).append(quantile(late, 0.5) * 1e3)
                found.setdefault("paced_p99_ms", []).append(quantile(late, 0.99) * 1e3)
    most = max(sizes.stream_clients)
    singly, merged = f"singly_to_{most}_per_second", f"merged_to_{most}_per_second"
    added = statistics.median(ours["paced_p50_ms"]) - statistics.median(floors["paced_p50_ms"])
    return Result(
        profile="stream",
        settings={"tokens": sizes.stream_tokens, "rounds": sizes.rounds, "clients": most},
        ours={name: statistics.median(values) for name, values in ours.items()},
        floor={name: statistics.median(values) for name, values in floors.items()},
        ratio=ratio_of(ours[singly], floors[singly]),
        bars=[
            Bar("tokens/s written singly", statistics.median(ours[singly]), 34_000, True),
            Bar("tokens/s merged a turn", statistics.median(ours[merged]), 80_000, True),
            Bar("ms added at p50", added, 1.0),
        ],
    )


@dataclass(frozen=True, slots=True)
class _Broadcast:
    """A stream to read: `prepare` makes it, `begin` has it spoken."""

    site: Site
    prepare: Callable[[Line], Awaitable[str]]
    begin: Callable[[Line, str, int], Awaitable[None]]


def _our_stream(site: Site, burst: int, pause: float) -> _Broadcast:
    async def prepare(line: Line) -> str:
        body = {"input": {"burst": burst, "pause": pause}}
        made = await line.ask(site.request("POST", "/v1/workflows/bench.story/runs", body))
        run: object = msgspec.json.decode(made, type=dict[str, object])["id"]
        return f"/v1/runs/{run}/streams/bench.tokens"

    async def begin(line: Line, path: str, count: int) -> None:
        run = path.split("/")[3]
        path = f"/v1/runs/{run}/signals/bench.begin"
        await line.ask(site.request("POST", path, {"value": count}))

    return _Broadcast(site, prepare, begin)


def _bare_stream(site: Site, burst: int, pause: float) -> _Broadcast:
    async def prepare(_: Line) -> str:
        return "/stream"

    async def begin(line: Line, _: str, count: int) -> None:
        body = {"count": count, "burst": burst, "pause": pause}
        await line.ask(site.request("POST", "/begin", body))

    return _Broadcast(site, prepare, begin)


async def _streamed(broadcast: _Broadcast, clients: int, count: int) -> tuple[float, list[float]]:
    """Return tokens a second over all clients, and how late each token came to the first."""
    line = await Line.open(broadcast.site)
    path = await broadcast.prepare(line)
    readers = [await _listening(broadcast.site, path) for _ in range(clients)]
    late: list[float] = []
    began = time.perf_counter()
    await broadcast.begin(line, path, count)
    reading = [_read(each, count, late if n == 0 else None) for n, each in enumerate(readers)]
    await asyncio.gather(*reading)
    seconds = time.perf_counter() - began
    for each in (line, *readers):
        each.writer.close()
    return clients * count / seconds, late


async def _listening(site: Site, path: str) -> Line:
    line = await Line.open(site)
    line.writer.write(site.request("GET", path))
    await line.reader.readuntil(b":\n\n")
    return line


async def _read(line: Line, count: int, late: list[float] | None) -> None:
    """Read until `count` tokens have come; each begins with a tilde."""
    seen = 0
    while seen < count:
        data = await line.reader.read(1 << 18)
        now = time.monotonic_ns()
        if not data:
            raise RuntimeError("the server ended the stream")
        seen += data.count(b"~")
        if late is not None:
            written = [part[: part.index(b'"')] for part in data.split(b"~")[1:] if b'"' in part]
            # The head of an HTTP chunk may stand in the middle of a number.
            late += [(now - int(text)) / 1e9 for text in written if text.isdigit()]
