"""HTTP/1.1 to one server: h11 speaks it, asyncio carries it, a few connections are kept.

Invariants:
  * what may have been done is never sent twice: only requests that change nothing are tried again
    when a kept connection turns out to be closed;
  * an answer is bounded, and so is the wait for it.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias
from urllib.parse import urlsplit

import h11

from outlast import limits
from outlast._wire.unixsocket import address_of, socket_path
from outlast._wording.plurals import counted
from outlast.client.tracing import traceparent
from outlast.errors import EngineClosed, PayloadTooLarge, StoreUnavailable, UsageError, WaitTimeout

_READ_BYTES = 64 * 1024
_KEPT_MAX = 8
_DATABASE_SUFFIXES = (".db", ".sqlite", ".sqlite3")
_ANSWER_BYTES_MAX = 64 * 1024 * 1024
_ROOT = re.compile(r"(/[\w.~!$&'()*+,;=:@%-]+)*", re.ASCII)
_Failure = (OSError, h11.RemoteProtocolError, EOFError)


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer."""

    status: int
    body: bytes


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """One server-sent event."""

    kind: str
    id: str
    data: str


class _Connection:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._http = h11.Connection(h11.CLIENT)

    async def send(self, request: h11.Request, body: bytes) -> h11.Response:
        """Send a request and return the head of the answer."""
        data = self._http.send(request) or b""
        if body:
            data += self._http.send(h11.Data(data=body)) or b""
        data += self._http.send(h11.EndOfMessage()) or b""
        self._writer.write(data)
        await self._writer.drain()
        while True:
            event = await self._next()
            if isinstance(event, h11.Response):
                return event

    async def body(self) -> AsyncGenerator[bytes, None]:
        """Iterate over the parts of the answer's body."""
        while True:
            event = await self._next()
            if isinstance(event, h11.Data):
                yield bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                return

    async def _next(self) -> h11.Event:
        while True:
            event = self._http.next_event()
            if isinstance(event, h11.Event):
                if isinstance(event, h11.ConnectionClosed):
                    raise EOFError("the server closed the connection")
                return event
            if event is h11.PAUSED:
                raise EOFError("the server says more than one answer")
            data = await self._reader.read(_READ_BYTES)
            self._http.receive_data(data)

    def can_be_kept(self) -> bool:
        """Whether another request can follow on it; prepares for that."""
        if self._http.our_state is h11.DONE and self._http.their_state is h11.DONE:
            self._http.start_next_cycle()
            return True
        return False

    def close(self) -> None:
        """Hang up."""
        self._writer.close()


@dataclass(frozen=True, slots=True)
class _Address:
    """Where a server listens on TCP; `name` is what the Host header says.

    `root` is where the application is mounted: empty for a server of its own.
    """

    host: str
    port: int
    name: str
    is_secure: bool
    root: str


_Place: TypeAlias = _Address | Path


def _place_of(url: str) -> _Place:
    """Return the address of a server, or the Unix socket beside the database at a path.

    Raises:
        UsageError: it is neither.
    """
    if "://" not in url:
        path = Path(url)
        # A client may be made before its engine has made the database.
        if path.exists() or path.name != url or path.suffix in _DATABASE_SUFFIXES:
            return socket_path(url)
        raise UsageError(
            f"{url!r} is not the URL of a server, such as http://127.0.0.1:8787, and there is no "
            "database of this path"
        )
    parts = urlsplit(url)
    root = parts.path.rstrip("/")
    is_plain = not parts.query and not parts.fragment and _ROOT.fullmatch(root) is not None
    if parts.scheme not in ("http", "https") or not parts.hostname or not is_plain:
        raise UsageError(
            f"{url!r} is not the URL of a server, such as http://127.0.0.1:8787, or of an "
            "application in another one, such as https://example.org/outlast"
        )
    try:
        parts.hostname.encode("idna")
    except UnicodeError as error:
        raise UsageError(f"{url!r} has no valid host name: {error}") from None
    is_secure = parts.scheme == "https"
    port = parts.port or (443 if is_secure else 80)
    return _Address(parts.hostname, port, parts.netloc.rpartition("@")[2], is_secure, root)


class Connections:
    """Connections to one server."""

    def __init__(
        self, url: str, token: str, *, timeout_seconds: float, ca_file: str | None = None
    ) -> None:
        self._place: _Place = _place_of(url)
        self.url: str = url.rstrip("/")
        self._tls: ssl.SSLContext | None = None
        if isinstance(self._place, _Address) and self._place.is_secure:
            self._tls = _tls(ca_file)
        self._token = token
        self._timeout_seconds = timeout_seconds
        self._kept: list[_Connection] = []
        self._is_closed = False

    @property
    def is_local(self) -> bool:
        """Whether they are to a Unix socket here."""
        return isinstance(self._place, Path)

    async def request(
        self, method: str, path: str, body: bytes = b"", *, wait_seconds: float = 0.0
    ) -> Reply:
        """Return the answer to a request; `wait_seconds` is how long the server may wait for it.

        Raises:
            EngineClosed: the client is closed.
            StoreUnavailable: the server cannot be reached.
            WaitTimeout: it does not answer.
        """
        if len(body) > limits.HTTP_BODY_BYTES_MAX:
            raise PayloadTooLarge("the request as JSON", len(body), limits.HTTP_BODY_BYTES_MAX)
        head = self._head(method, path, len(body))
        return await self._answer(head, body, wait_seconds, may_repeat=method == "GET")

    async def post_once(self, path: str, body: bytes, kind: str) -> Reply:
        """Return the answer to a body of any size that is done once however often it is sent.

        Raises:
            As `request`.
        """
        head = self._head("POST", path, len(body), {"Content-Type": kind})
        return await self._answer(head, body, 0.0, may_repeat=True)

    async def _answer(
        self, head: h11.Request, body: bytes, wait_seconds: float, *, may_repeat: bool
    ) -> Reply:
        self._check()
        seconds = self._timeout_seconds + wait_seconds
        try:
            async with asyncio.timeout(seconds):
                return await self._request(head, body, may_repeat=may_repeat)
        except TimeoutError:
            text = f"{self.url} did not answer within {counted(seconds, 'second')}"
            raise WaitTimeout(text) from None
        except _Failure as error:
            raise self.unreachable(error) from None

    async def _request(self, head: h11.Request, body: bytes, *, may_repeat: bool) -> Reply:
        while self._kept and may_repeat:
            try:
                return await self._on(self._kept.pop(), head, body)
            except _Failure:
                continue  # closed meanwhile
        return await self._on(await self._open(), head, body)

    async def _on(self, connection: _Connection, head: h11.Request, body: bytes) -> Reply:
        is_kept = False
        try:
            response = await connection.send(head, body)
            parts: list[bytes] = []
            size = 0
            async with aclosing(connection.body()) as pieces:
                async for piece in pieces:
                    parts.append(piece)
                    size += len(piece)
                    if size > _ANSWER_BYTES_MAX:
                        raise EOFError(f"the answer has more than {_ANSWER_BYTES_MAX:,} bytes")
            is_wanted = len(self._kept) < _KEPT_MAX and not self._is_closed
            is_kept = is_wanted and connection.can_be_kept()
            return Reply(response.status_code, b"".join(parts))
        finally:
            if is_kept:
                self._kept.append(connection)
            else:
                connection.close()

    @asynccontextmanager
    async def pass_on(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes
    ) -> AsyncGenerator[tuple[h11.Response, AsyncGenerator[bytes, None]]]:
        """Send another's request, and give the head of the answer and the parts of its body.

        Raises:
            StoreUnavailable: the server cannot be reached, or hung up.
        """
        connection: _Connection | None = None
        head = self._head(method, path, len(body), headers)
        try:
            async with asyncio.timeout(limits.HTTP_WAIT_SECONDS_MAX + self._timeout_seconds):
                connection = await self._open()
                response = await connection.send(head, body)
            async with aclosing(connection.body()) as pieces:
                yield response, pieces
        except (TimeoutError, *_Failure) as error:
            raise self.unreachable(error) from None
        finally:
            if connection is not None:
                connection.close()

    async def events(
        self, path: str, last_id: str, *, body: bytes = b""
    ) -> AsyncGenerator[Reply | ServerEvent, None]:
        """Iterate over the events of one connection; what is no stream comes as one `Reply`.

        With a body it is asked for by POST.

        Raises:
            StoreUnavailable: the server cannot be reached, or hung up.
        """
        self._check()
        extra = {"Last-Event-ID": last_id} if last_id else {}
        connection: _Connection | None = None
        try:
            async with asyncio.timeout(self._timeout_seconds):
                connection = await self._open()
                method = "POST" if body else "GET"
                response = await connection.send(self._head(method, path, len(body), extra), body)
            kind = dict(response.headers).get(b"content-type", b"")
            if not kind.startswith(b"text/event-stream"):
                async with aclosing(connection.body()) as pieces:
                    yield Reply(response.status_code, b"".join([piece async for piece in pieces]))
                return
            async with aclosing(self._lines(connection)) as lines:
                async for event in _events(lines):
                    yield event
        except (TimeoutError, *_Failure) as error:
            raise self.unreachable(error) from None
        finally:
            if connection is not None:
                connection.close()

    async def _lines(self, connection: _Connection) -> AsyncGenerator[str, None]:
        """Iterate over lines; a server that is silent beyond its heartbeats is gone."""
        rest = b""
        body = connection.body()
        async with aclosing(body):
            while True:
                try:
                    async with asyncio.timeout(3 * limits.SSE_HEARTBEAT_SECONDS):
                        rest += await anext(body)
                except StopAsyncIteration:
                    return
                *lines, rest = rest.split(b"\n")
                for line in lines:
                    yield line.decode()

    async def _open(self) -> _Connection:
        place = self._place
        if isinstance(place, _Address):
            reader, writer = await asyncio.open_connection(place.host, place.port, ssl=self._tls)
        else:
            with address_of(place) as address:
                reader, writer = await asyncio.open_unix_connection(address)
        return _Connection(reader, writer)

    def _head(
        self, method: str, path: str, size: int, extra: Mapping[str, str] | None = None
    ) -> h11.Request:
        headers = {
            "Host": self._place.name if isinstance(self._place, _Address) else "localhost",
            "Accept": "application/json, text/event-stream",
            **({"Authorization": f"Bearer {self._token}"} if self._token else {}),
            **({"Content-Type": "application/json"} if method == "POST" else {}),
            **({"Content-Length": f"{size}"} if method == "POST" else {}),
            **({"traceparent": traced} if (traced := traceparent()) else {}),
            **(extra or {}),
        }
        target = f"{self._place.root}{path}" if isinstance(self._place, _Address) else path
        return h11.Request(method=method, target=target, headers=list(headers.items()))

    def unreachable(self, error: BaseException) -> StoreUnavailable:
        """Return what is said when the server is not there."""
        if isinstance(error, ssl.SSLCertVerificationError):
            return StoreUnavailable(
                f"the certificate of {self.url} is not trusted ({error.verify_message}): pass "
                "the certificate of its authority, or its own if it is self-signed, with "
                "`--ca-file`, `ca_file=` or OUTLAST_CA_FILE"
            )
        is_cut = isinstance(error, h11.RemoteProtocolError)
        why = "the connection ended" if is_cut else f"{error}" or type(error).__name__
        if isinstance(self._place, Path):
            return StoreUnavailable(
                f"the engine that owns {self.url} cannot be reached, or stopped before it "
                f"answered ({why}): check with `outlast show` whether the request took effect, "
                "and otherwise try again"
            )
        return StoreUnavailable(
            f"cannot reach the server at {self.url} ({why}): check that `outlast serve` is "
            "running there"
        )

    def open(self) -> None:
        """Allow requests, again if it was closed."""
        self._is_closed = False

    def _check(self) -> None:
        if self._is_closed:
            raise EngineClosed(
                f"this client of {self.url} is closed: use it inside of its `async with` block, "
                f"or open another with Client({self.url!r})"
            )

    def close(self) -> None:
        """Hang up, and refuse further requests."""
        self._is_closed = True
        while self._kept:
            self._kept.pop().close()


def _tls(ca_file: str | None) -> ssl.SSLContext:
    """Return what checks the server: by the system's certificates, or by those of a file alone."""
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:  # the errors of ssl are below it
        reason = error.strerror or f"{error}"
        raise UsageError(
            f"{ca_file} cannot be used to check the server ({reason}): give a PEM file of the "
            f"certificates that it is checked by"
        ) from None


async def _events(lines: AsyncIterator[str]) -> AsyncIterator[ServerEvent]:
    kind, event_id, data = "message", "", list[str]()
    async for line in lines:
        if line:
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if name == "event":
                kind = value
            elif name == "id":
                event_id = value
            elif name == "data":
                data.append(value)
        elif data:
            yield ServerEvent(kind, event_id, "\n".join(data))
            kind, data = "message", []
