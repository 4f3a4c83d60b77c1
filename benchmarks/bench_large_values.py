"""How long does a large value make others wait?

Serves an engine in this process, sends and shows the worst values that a client may, one after the
other, and asks for `/healthz` all the time meanwhile, from another process. Prints for each kind
of value and request how long it took, and the longest that `/healthz` took beside it. A figure to
reach is 50 ms; what a run itself decodes and encodes is on the loop, and counts.

Run it: python benchmarks/bench_large_values.py [CLIENTS]   (at once, 1 when it is not said)
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NODES = 199_000

PROGRAM = """
from dataclasses import dataclass

from outlast import Actor, actor, handler, workflow

@dataclass
class Item:
    name: str
    count: int = 0

@workflow
async def total(value: list[Item]) -> int:
    return sum(item.count for item in value)

@workflow
async def echo(value: object = None) -> object:
    return value

@actor
class Counter(Actor[int]):
    @classmethod
    def initial(cls) -> int:
        return 0

    @handler
    async def count(self, value: object) -> int:
        self.state += 1
        return self.state
"""


def deep(levels: int) -> object:
    value: object = 1
    for _ in range(levels):
        value = {"a": value, "b": 1}
    return value


def kinds() -> dict[str, object]:
    empty: list[object] = [{}] * NODES
    refused: list[object] = [{}] * 1_300_000
    return {
        "refused": refused,
        "empty": empty,
        "numbers": list(range(NODES)),
        "deep": [deep(80)] * 1_200,
        "text": "," * 1_900_000,
        "typed": [{"name": "a", "count": 1}] * (NODES // 3),
        "members": {f"{n}": n for n in range(95_000)},
    }


async def request(port: int, token: str, method: str, path: str, data: bytes = b"") -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {token}\r\n"
        f"Connection: close\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(data)}\r\n\r\n"
    )
    writer.write(head.encode() + data)
    answer = await reader.read()
    writer.close()
    return answer


async def beside(port: int, token: str, work: asyncio.Future[list[bytes]]) -> float:
    """Return the longest that a small request took until the work was done."""
    longest = 0.0
    while not work.done():
        began = time.perf_counter()
        await request(port, token, "GET", "/healthz")
        longest = max(longest, time.perf_counter() - began)
    return longest


async def measure(port: int, token: str, clients: int) -> None:
    print(f"{'value':10} {'request':8} {'took ms':>9} {'others ms':>10}")
    for kind, value in kinds().items():
        workflow = "total" if kind == "typed" else "echo"
        for name, method, path, sent in (
            ("start", "POST", f"/v1/workflows/{workflow}/runs", {"value": value}),
            ("again", "POST", f"/v1/workflows/{workflow}/runs", {"value": value}),
            ("ask", "POST", "/v1/actors/Counter/ID/count", value),
            ("result", "GET", "/v1/runs/ID/result", None),
            ("show", "GET", "/v1/runs/ID", None),
            ("journal", "GET", "/v1/runs/ID/journal", None),
        ):
            ids = [f"{kind}-{n}" for n in range(clients)]
            bodies = [body_of(name, id_, sent) for id_ in ids]
            began = time.perf_counter()
            work = asyncio.gather(
                *[
                    request(port, token, method, path.replace("ID", id_), body)
                    for id_, body in zip(ids, bodies, strict=True)
                ]
            )
            longest = await beside(port, token, work)
            took = time.perf_counter() - began
            print(f"{kind:10} {name:8} {took * 1e3:9.1f} {longest * 1e3:10.1f}", flush=True)


def body_of(name: str, id_: str, sent: object) -> bytes:
    if sent is None:
        return b""
    body = {"value": sent} if name == "ask" else {"id": id_, "input": sent}
    return json.dumps(body, separators=(",", ":")).encode()


async def main(clients: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        (directory / "program.py").write_text(PROGRAM, encoding="utf-8")
        port = 18_787
        command = [str(Path(sys.executable).with_name("outlast")), "serve", "program.py",
                   "--db", "values.db", "--port", f"{port}", "--token-file", "token"]  # fmt: skip
        server = subprocess.Popen(  # noqa: ASYNC220 - nothing else runs yet
            command, cwd=directory, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            await ready(port)
            lines = (directory / "token").read_text(encoding="utf-8").splitlines()
            token = next(line.split()[-1] for line in lines if line and line[0] != "#")
            await measure(port, token, clients)
        finally:
            server.terminate()
            server.wait(30)


async def ready(port: int) -> None:
    for _ in range(300):
        try:
            await request(port, "", "GET", "/healthz")
        except OSError:
            await asyncio.sleep(0.1)
        else:
            return
    raise TimeoutError("the server did not start")


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1))
