"""What holds for every request before anybody looks at it: which Host, which Origin, which headers.

A page of another site must not reach us through a person's browser: neither by a name that it has
pointed at our address (Host), nor by a request from its own pages (Origin, Sec-Fetch-Site).

Invariant:
  * every answer carries the headers that keep a browser from doing more than it was meant to.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from urllib.parse import unquote, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from outlast._wire.formats.problems import Problem
from outlast.errors import UsageError

_HEADERS: dict[str, str] = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}
# A name or an address, IPv6 in brackets, and a port: RFC 9110, 7.2.
_HOST = re.compile(r"(?P<name>[^\[\]:/@\s]+|\[[0-9a-f:.]+\])(?::(?P<port>[0-9]{1,5}))?")
_ABSOLUTE = re.compile(rb"(?i:https?)://(?P<host>[^/?#]*)(?P<path>/[^?#]*)?")
_PORTS = {"http": 80, "https": 443}
_HSTS = "max-age=31536000"
_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


@dataclass(frozen=True, slots=True)
class Addresses:
    """By which names the server may be called, and from which pages.

    `hosts` are names with or without a port; one without is right with any. The port that a scheme
    implies is left out by clients. None means that somebody else looks, but for what comes to a
    loopback address: there, a name that is none of this machine is a page of another site that has
    pointed its own name here, unless it is that of a proxy, which must be said. `remedy` says how.
    `proxied` are those of `hosts` that were allowed: a proxy may do TLS for them.
    """

    hosts: frozenset[str] | None
    origins: frozenset[str] = frozenset()
    remedy: str = "allow it with `--allow-host NAME`"
    proxied: frozenset[str] = frozenset()

    @classmethod
    def of(
        cls, host: str, port: int, *, allowed: Collection[str] = (), origins: Collection[str] = ()
    ) -> Addresses:
        """Return the addresses of a server that listens on `host` and `port`."""
        own = f"[{host}]" if ":" in host else host
        names = {f"{name}:{port}" for name in (own, *_LOOPBACK)}
        proxied = _names(allowed)
        return cls(frozenset(names) | proxied, _sites(origins), proxied=proxied)

    @classmethod
    def anywhere(cls, allowed: Collection[str] | None, origins: Collection[str]) -> Addresses:
        """Return the addresses of what is a part of another application."""
        hosts = None if allowed is None else _names(allowed)
        remedy = "allow it with `outlast.asgi(engine, allow_hosts=[NAME])`"
        return cls(hosts, _sites(origins), remedy, proxied=hosts or frozenset())

    def knows_host(self, host: str, scheme: str = "http", *, came_to: str = "") -> bool:
        """Whether a Host header means this server; `came_to` is the address that was connected."""
        found = _HOST.fullmatch(host.lower())
        if found is None:
            return False
        if self.hosts is None:
            return found["name"] in _LOOPBACK or not _is_loopback_address(came_to)
        name, port = found["name"], found["port"]
        if name in self.hosts:
            return True
        return f"{name}:{port or _PORTS[scheme]}" in self.hosts

    def knows_origin(self, origin: str, host: str, scheme: str = "http") -> bool:
        """Whether an Origin header is of our own pages, or of a site that was allowed.

        The scheme counts: a page that came without TLS may be anybody's. What comes to us without
        it has come with it to a proxy perhaps, under a name that was allowed.
        """
        own = {f"{scheme}://{host.lower()}"}
        if self._is_proxied(host):
            own.add(f"https://{host.lower()}")
        return origin in self.origins or origin.lower() in own

    def _is_proxied(self, host: str) -> bool:
        found = _HOST.fullmatch(host.lower())
        if found is None:
            return False
        if self.hosts is None:
            return found["name"] not in _LOOPBACK
        return found["name"] in self.proxied or f"{found['name']}:{found['port'] or 443}" in (
            self.proxied
        )


def _names(allowed: Collection[str]) -> frozenset[str]:
    for name in allowed:
        if not name or set("/@ ") & set(name):
            raise UsageError(f"{name!r} is not a host name such as outlast.example:8787")
    return frozenset(name.lower() for name in allowed)


def _sites(origins: Collection[str]) -> frozenset[str]:
    for origin in origins:
        scheme, netloc = _site_of(origin)
        is_site = scheme in ("http", "https") and bool(netloc)
        if not is_site or origin != f"{scheme}://{netloc}":
            raise UsageError(f"{origin!r} is not an origin such as https://shop.example")
    return frozenset(origins)


class Guard:
    """The outermost layer of the application."""

    def __init__(self, app: ASGIApp, addresses: Addresses) -> None:
        self._app = app
        self._addresses = addresses

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            raise RuntimeError(f"this server speaks HTTP only, not {scope['type']}")
        scope, named = _in_origin_form(scope)
        headers = Headers(scope=scope)
        origin = headers.get("origin")
        is_foreign = origin is not None and origin in self._addresses.origins

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    answer.setdefault(name, value)
                answer.setdefault("cache-control", "no-store")
                if scope["scheme"] == "https" and not _is_loopback(headers):
                    answer.setdefault("strict-transport-security", _HSTS)
                if is_foreign and origin is not None:
                    answer["access-control-allow-origin"] = origin
                    answer["cross-origin-resource-policy"] = "cross-origin"
                    answer.add_vary_header("Origin")
            await send(message)

        try:
            self._check(scope, headers, named)
        except Problem as problem:
            await problem.response()(scope, receive, send_guarded)
            return
        if is_foreign and scope["method"] == "OPTIONS":
            await _preflight(scope, receive, send_guarded)
            return
        await self._app(scope, receive, send_guarded)

    def _check(self, scope: Scope, headers: Headers, named: str | None) -> None:
        hosts = headers.getlist("host")
        if named is not None and hosts != [named]:
            hosts.append(named)  # what it asks for goes by another name than its header says
        addresses, came_to = self._addresses, _server_address(scope)
        is_known = len(hosts) == 1 and addresses.knows_host(
            hosts[0], scope["scheme"], came_to=came_to
        )
        if not is_known:
            raise Problem(
                421,
                "wrong-host",
                f"this server does not serve the host {', '.join(hosts)[:100]!r}; "
                f"{addresses.remedy}",
            )
        origins = headers.getlist("origin")
        origin = ", ".join(origins) if origins else None  # two are none of ours
        site = headers.get("sec-fetch-site", "none")
        if origin is None and site in ("same-origin", "none"):
            return
        if origin is not None and addresses.knows_origin(origin, hosts[0], scope["scheme"]):
            return
        if origin is None and scope["method"] in ("GET", "HEAD") and _is_navigation(headers):
            return  # a link on another page that leads here: the page itself holds no data
        raise Problem(403, "wrong-origin", "requests from other origins are not allowed")


def _in_origin_form(scope: Scope) -> tuple[Scope, str | None]:
    """Return a request as if it named a path alone, and the host that its target named beside it.

    A target may be a whole address, as those who speak to a proxy send it (RFC 9112, 3.2.2). The
    parser in C has left only the path of it.
    """
    raw: bytes = scope.get("raw_path") or b""
    root: bytes = scope.get("root_path", "").encode()
    found = _ABSOLUTE.fullmatch(raw.removeprefix(root))
    if found is None:
        return scope, None
    path = root + (found["path"] or b"/")
    changed = {**scope, "raw_path": path, "path": unquote(path.decode("ascii", "replace"))}
    return changed, found["host"].decode("ascii", "replace")


def _site_of(origin: str) -> tuple[str, str]:
    """Return the scheme and the place of an origin; nothing of what is none."""
    try:
        parts = urlsplit(origin)
    except ValueError:
        return "", ""
    return parts.scheme, parts.netloc


def _server_address(scope: Scope) -> str:
    """Return the address that a request came to; "" for that of a Unix socket, or one not known."""
    server: object = scope.get("server")
    match server:
        case (str(address), int()) | [str(address), int()]:
            return address
        case _:
            return ""


def _is_loopback_address(text: str) -> bool:
    if text == "localhost":
        return True
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_loopback


def _is_loopback(headers: Headers) -> bool:
    """Whether we are called as this machine: such a name is shared by servers without TLS."""
    found = _HOST.fullmatch(headers.get("host", "").lower())
    return found is not None and found["name"] in _LOOPBACK


def _is_navigation(headers: Headers) -> bool:
    return headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == (
        "document"
    )


async def _preflight(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a browser that asks whether an allowed site may send a request."""
    await send(
        {
            "type": "http.response.start",
            "status": 204,
            "headers": [
                (b"access-control-allow-methods", b"GET, POST"),
                (b"access-control-allow-headers", b"Authorization, Content-Type, Last-Event-ID"),
                (b"access-control-max-age", b"600"),
            ],
        }
    )
    await send({"type": "http.response.body", "body": b""})
