"""What a server says of itself is true, and nothing that anybody sends makes it fail or grow."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from outlast._wire.routes import ROUTES
from tests.crash.serving import Server

IS_FULL = os.environ.get("OUTLAST_TEST_FULL") == "1"
EXAMPLES = 60 if IS_FULL else 8
REQUESTS = 100_000 if IS_FULL else 6_000
PROGRAM = Path(__file__).with_name("described_program.py")
STREAMS = "/streams/|/v1/events"


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return Server(tmp_path, PROGRAM)


def test_schemathesis_finds_no_failure_and_no_status_that_is_not_described(
    server: Server, tmp_path: Path
) -> None:
    server.start()
    try:
        asyncio.run(server.ready())
        done = subprocess.run(
            [
                *(sys.executable, "-m", "schemathesis.cli", "run", f"{server.url}/openapi.json"),
                *("--header", f"Authorization: Bearer {server.token}"),
                *("--checks", "not_a_server_error,status_code_conformance"),
                *("--exclude-path-regex", STREAMS, "--phases", "coverage,fuzzing"),
                *("--max-examples", f"{EXAMPLES}", "--seed", "7", "--no-color"),
                *("--generation-database", "none", "--suppress-health-check", "too_slow"),
            ],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
    finally:
        server.kill()
    assert done.returncode == 0, done.stdout[-8_000:] + done.stderr[-2_000:]


# ------------------------------------------------------------------------------ fuzzing
PIECES = (
    b"/", b"v1", b"runs", b"a", b"%2F", b"%00", b"%ff", b"..", b"streams", b"x", b"?", b"limit=",
    b"9" * 30, b"&", b"query=", b"status:", b"'", b"after=", b"workflows", b"described.add",
    b"result", b"journal", b"%", b"\xc3\xa9", b"actors", b"tokens", b"-1", b"timeout=0",
)  # fmt: skip
BODIES = (
    b"", b"{}", b"[]", b"null", b"{", b'{"input": {"a": 1, "b": 2}}', b'{"input": {"a": "x"}}',
    b'{"id": "a", "input": {"a": 1, "b": 2}}', b'{"value": 1}', b"\xff", b'{"a":' * 200, b"1" * 500,
    b'{"input": {"a": 1e400}}', b'{"at": 1}', b'{"action":"cancel","query":"","expected":0}',
)  # fmt: skip
NAMES = (b"a", b"a%2Fb", b"described.add", b"Counter", b"add", b"%E2%82%AC", b"1", b"x" * 300)


def fuzzed(chance: random.Random, server: Server) -> bytes:
    """Return a request that is more or less right."""
    route = chance.choice([r for r in ROUTES if not r.is_stream and r.path != "/v1/bulk"])
    path = route.path.encode()
    if chance.random() < 0.8:
        while b"{" in path:
            start, end = path.index(b"{"), path.index(b"}")
            path = path[:start] + chance.choice(NAMES) + path[end + 1 :]
        query = b"&".join(
            q.encode() + b"=" + chance.choice((b"", b"0", b"x", b"1", b"-1", b"%00", b"99999999"))
            for q in route.query
            if chance.random() < 0.3 and q != "timeout"
        )
        path += b"?timeout=0&" + query if query or route.load == "wait" else b""
    else:
        path = b"/" + b"".join(chance.choices(PIECES, k=chance.randint(1, 8)))
    body = chance.choice(BODIES)
    kind = chance.choice((b"application/json", b"application/json", b"text/plain", b""))
    token = server.token if chance.random() < 0.95 else "wrong" * 8
    lines = [
        chance.choice((route.method.encode(), b"GET", b"POST", b"PUT", b"HEAD")) + b" " + path
        + b" HTTP/1.1",
        b"Host: 127.0.0.1:%d" % server.port,
        b"Authorization: Bearer " + token.encode(),
        b"Content-Type: " + kind,
        b"Content-Length: %d" % len(body),
        b"Connection: close",
        b"X-Junk: " + bytes(chance.choices(range(0x20, 0x7F), k=chance.randint(0, 200))),
    ]  # fmt: skip
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


async def status_of(request: bytes, server: Server) -> int:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        writer.write(request)
        answer = await asyncio.wait_for(reader.read(), 30)
    finally:
        writer.close()
    return int(answer[9:12]) if answer[:5] == b"HTTP/" else 0


async def bombard(server: Server, chance: random.Random, count: int) -> Counter[int]:
    found: Counter[int] = Counter()

    async def work(number: int) -> None:
        for _ in range(number):
            found[await status_of(fuzzed(chance, server), server)] += 1

    await asyncio.gather(*(work(count // 16) for _ in range(16)))
    return found


def resident_bytes(pid: int) -> int:
    pages = Path(f"/proc/{pid}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(sys.platform != "linux", reason="reads memory as Linux tells it")
async def test_whatever_is_sent_gives_no_failure_and_leaves_memory_as_it_was(
    server: Server,
) -> None:
    chance = random.Random(5)
    server.start()
    try:
        await server.ready()
        await bombard(server, chance, REQUESTS // 3)
        before = resident_bytes(server.pid)
        found = await bombard(server, chance, REQUESTS)
        grown = resident_bytes(server.pid) - before
    finally:
        server.kill()
    assert {status for status in found if status >= 500} <= {504}, found
    assert all(found[status] for status in (200, 404, 422, 429)), found
    assert grown < 16 * 1024 * 1024, f"{grown:,} bytes more after {REQUESTS:,} requests"
