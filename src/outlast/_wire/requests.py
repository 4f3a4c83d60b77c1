"""One request as handlers see it: who asks, what is in the path, the query and the body.

Invariant:
  * whatever is malformed is a `Problem` that says where, never another error.
"""

from __future__ import annotations

import binascii
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import unquote

import msgspec
from starlette.requests import Request

from outlast import limits
from outlast._store.attributes import TRACEPARENT
from outlast._store.contract import Cursor
from outlast._wire.formats.conversions import Conversions
from outlast._wire.formats.jsonbodies import json_of
from outlast._wire.formats.problems import Problem, fault_at
from outlast._wire.security.callers import Caller, Callers
from outlast._wire.security.connections import place_of
from outlast._wording.durations import seconds_of
from outlast._wording.names import check_name
from outlast.errors import UsageError
from outlast.types import RunId

S = TypeVar("S")
T = TypeVar("T")
_TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")

_FAULTS_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Call:
    """A request whose token is known and whose role suffices."""

    request: Request
    caller: Caller
    callers: Callers
    path: Mapping[str, str]
    conversions: Conversions | None = None  # of who answers itself
    body: bytes = b""

    @property
    def holders(self) -> tuple[str, str]:
        """By which names shares are counted: the token's, and the address's."""
        client = self.request.client
        place = place_of(None if client is None else (client.host, client.port))
        return f"token {self.caller.name}", f"address {place}"

    def may_go_on(self) -> bool:
        """Whether the caller may still have what it began."""
        return self.callers.still_opens(self.caller)

    def run_id(self) -> RunId:
        """Return the run's id of the path."""
        return RunId(self.name("id", limits.ID_CHARS_MAX))

    def name(self, part: str, chars_max: int = limits.NAME_CHARS_MAX) -> str:
        """Return a part of the path, decoded.

        Raises:
            Problem: it cannot be a name.
        """
        try:
            text = unquote(self.path[part], errors="strict")
            return check_name(f"the {part} in the path", text, chars_max)
        except (UnicodeDecodeError, UsageError) as error:
            raise Problem(404, "not-found", f"{error}") from None

    @property
    def traceparent(self) -> str:
        """The W3C trace that the request belongs to, empty without one."""
        given = self.request.headers.get(TRACEPARENT, "")
        return given if _TRACEPARENT.fullmatch(given) else ""

    # --------------------------------------------------------------------------- query
    def check_query(self, known: Sequence[str]) -> None:
        """Refuse query parameters that the route does not take, and those that come twice.

        Raises:
            Problem: there is one.
        """
        unknown = sorted(set(self.request.query_params) - set(known))
        if unknown:
            there = f"known parameters: {', '.join(known)}" if known else "this route takes none"
            named = ", ".join(repr(name[:50]) for name in unknown[:_FAULTS_SHOWN])
            faults = [
                fault_at(f"?{name[:50]}", f"unknown query parameter; {there}")
                for name in unknown[:_FAULTS_SHOWN]
            ]
            detail = f"unknown query parameters for this path: {named}; {there}"
            raise Problem(422, "query-error", detail, facts={"faults": faults})
        for name in known:
            given = self.request.query_params.getlist(name)
            if len(given) > 1:
                raise bad_query(name, "given once", ", ".join(given))

    def text(self, name: str, default: str = "") -> str:
        """Return a query parameter."""
        return self.request.query_params.get(name, default)

    def choice(self, name: str, *choices: str) -> str:
        """Return a query parameter that is one of a few words; the first when it is absent.

        Raises:
            Problem: it is another word.
        """
        text = self.text(name) or choices[0]
        if text not in choices:
            raise bad_query(name, f"one of {', '.join(choices)}", text)
        return text

    def number(self, name: str, default: int, *, least: int = 0, most: int) -> int:
        """Return a whole number of the query.

        Raises:
            Problem: it is none, or out of bounds.
        """
        text = self.request.query_params.get(name)
        if not text:
            return default
        is_number = len(text) <= 20 and text.isascii() and text.isdigit()
        number = int(text) if is_number else least - 1
        if not least <= number <= most:
            raise bad_query(name, f"a whole number from {least} to {most}", text)
        return number

    def page_size(self) -> int:
        """Return how many items a page has."""
        return self.number("limit", 100, least=1, most=limits.HTTP_PAGE_MAX)

    def seconds(self, name: str, default: float) -> float:
        """Return a length of time of the query.

        Raises:
            Problem: it is none, or longer than a request may wait.
        """
        text = self.request.query_params.get(name)
        if text is None:
            return default
        try:
            seconds = seconds_of(float(text) if text.replace(".", "", 1).isdigit() else text)
        except ValueError:
            seconds = -1.0
        if not 0 <= seconds <= limits.HTTP_WAIT_SECONDS_MAX:
            most = f"{limits.HTTP_WAIT_SECONDS_MAX:g}"
            raise bad_query(name, f"a duration of at most {most} seconds", text)
        return seconds

    # ---------------------------------------------------------------------------- body
    async def json(self) -> object:
        """Return the body as JSON data; an empty one is an empty object.

        Raises:
            Problem: 415 not said to be JSON, 400 no JSON, 422 too many nodes.
        """
        data = self.body
        if not data:
            return {}
        kind = self.request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json" and not kind.endswith("+json"):
            # A page of another site can send forms and plain text without asking, JSON it cannot.
            raise Problem(
                415, "not-json", f"send the body as `Content-Type: application/json`, not {kind!r}"
            )
        return await self.converted(len(data), lambda: json_of(data))

    async def converted(self, size: int, work: Callable[[], T]) -> T:
        """Return what `work` makes of so many bytes, beside the loop when they are many."""
        if self.conversions is None:
            return work()
        return await self.conversions.of(self.holders[0], size, work)

    async def read(self, shape: type[S]) -> S:
        """Return the body as a struct.

        Raises:
            Problem: as `json`, and 422 with the path of what does not fit.
        """
        data = await self.json()
        try:
            return await self.converted(len(self.body), lambda: msgspec.convert(data, shape))
        except msgspec.ValidationError as error:
            reason, _, path = f"{error}".partition(" - at `")
            fault = fault_at(path.rstrip("`") or "$", reason)
            raise Problem(
                422, "decoding-error", f"{fault['path']}: {reason}", facts={"faults": [fault]}
            ) from None


def check_head(request: Request) -> None:
    """Refuse the head of a request that is too large, or says two lengths of the body.

    Raises:
        Problem: 431, 414 or 400.
    """
    raw: bytes = request.scope["raw_path"]
    query: bytes = request.scope["query_string"]
    size = sum(len(name) + len(value) for name, value in request.headers.raw)
    if size > limits.HTTP_HEADER_BYTES_MAX or len(request.headers.raw) > limits.HTTP_HEADERS_MAX:
        most = (
            f"at most {limits.HTTP_HEADERS_MAX} headers of {limits.HTTP_HEADER_BYTES_MAX:,} bytes"
        )
        raise Problem(431, "headers-too-large", f"request headers are limited to {most}")
    if len(raw) + len(query) > limits.HTTP_LINE_BYTES_MAX:
        most = f"at most {limits.HTTP_LINE_BYTES_MAX:,} bytes"
        raise Problem(414, "url-too-long", f"the path and query of a request are limited to {most}")
    if "transfer-encoding" in request.headers and "content-length" in request.headers:
        # Whoever is in front of us may read another length: RFC 9112, 6.1.
        raise Problem(
            400, "malformed", "a request must not have both a Content-Length and a chunked body"
        )


def bad_query(name: str, wanted: str, given: str) -> Problem:
    """Return what is said of a query parameter that is not what it should be."""
    reason = f"{name} is {wanted}"
    fault = fault_at(f"?{name}", reason)
    return Problem(422, "query-error", f"{reason}, not {given[:50]!r}", facts={"faults": [fault]})


def cursor_in(call: Call) -> Cursor | None:
    """Return behind which run or actor a page begins; None for the first page.

    Raises:
        Problem: `after` is not the `next` of a page.
    """
    text = call.text("after")
    if not text:
        return None
    try:
        at, _, run = urlsafe_b64decode(text.encode()).decode().partition(" ")
        if at.isascii() and at.isdigit() and len(at) <= 18:  # more is no time that a store has
            return Cursor(int(at), RunId(run))
    except (binascii.Error, ValueError):
        pass  # said below
    raise bad_query("after", "the `next` of a page", text)


def text_of_cursor(cursor: Cursor) -> str:
    """Return a cursor as the `next` of a page."""
    return urlsafe_b64encode(f"{cursor.created_at} {cursor.id}".encode()).decode()
