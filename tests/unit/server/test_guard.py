"""Hosts and origins: which are ours, by which scheme and port, and which could never match."""

from __future__ import annotations

import pytest

from outlast._server.guard import Addresses
from outlast.errors import UsageError
from tests.unit.wire.served import Served


@pytest.mark.parametrize("origin", ["garbage", "https://ok.example/", "ftp://x", "https://"])
def test_an_origin_that_could_never_match_is_refused(origin: str) -> None:
    with pytest.raises(UsageError, match="not an origin"):
        Addresses.of("127.0.0.1", 1, allowed=(), origins=(origin,))


@pytest.mark.parametrize("name", ["http://x/", "", "a b"])
def test_a_host_that_could_never_match_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="not a host name"):
        Addresses.of("127.0.0.1", 1, allowed=(name,), origins=())


@pytest.mark.parametrize("origin", ["http://[", "null", "http://127.0.0.1:1@evil"])
async def test_what_is_no_origin_of_ours_is_refused(server: Served, origin: str) -> None:
    reply = await server.request("GET", "/healthz", headers={"Origin": origin})
    assert (reply.status, reply.json()["type"]) == (403, "/problems/wrong-origin")


async def test_a_page_that_came_by_another_scheme_is_none_of_ours(server: Served) -> None:
    host = f"127.0.0.1:{server.port}"
    plain = await server.request("GET", "/healthz", headers={"Origin": f"http://{host}"})
    other = await server.request("GET", "/healthz", headers={"Origin": f"https://{host}"})
    assert (plain.status, other.status) == (200, 403)


async def test_of_two_origins_none_is_ours(server: Served) -> None:
    own = f"http://127.0.0.1:{server.port}"
    head = f"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nConnection: close\r\n"
    one = await server.raw(f"{head}Origin: {own}\r\n\r\n".encode())
    two = await server.raw(f"{head}Origin: {own}\r\nOrigin: http://evil.example\r\n\r\n".encode())
    assert (one.status, two.status) == (200, 403)


OURS = Addresses.of("127.0.0.1", 8901, allowed=("shop.example",))


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1:8901", "localhost:8901", "LOCALHOST:8901", "[::1]:8901", "shop.example",
     "shop.example:1", "shop.example:443"],
)  # fmt: skip
def test_a_host_of_ours_is_known(host: str) -> None:
    assert OURS.knows_host(host)


@pytest.mark.parametrize(
    "host",
    ["localhost", "localhost:8901:80", "localhost:8902", "[::1]", "::1:8901", "shop.example:1:2",
     "shop.example:", "shop.example:x", "x@shop.example", "shop.example/", " shop.example", "",
     "shop.example:999999", "[::1]:8901:80", "evil.example"],
)  # fmt: skip
def test_a_host_that_is_none_of_ours_is_refused(host: str) -> None:
    assert not OURS.knows_host(host)


@pytest.mark.parametrize(("port", "scheme"), [(443, "https"), (80, "http")])
def test_the_port_that_a_scheme_implies_may_be_left_out(port: int, scheme: str) -> None:
    addresses = Addresses.of("127.0.0.1", port)
    assert addresses.knows_host("localhost", scheme)
    assert addresses.knows_host(f"localhost:{port}", scheme)
    assert not addresses.knows_host("localhost", "http" if scheme == "https" else "https")


@pytest.mark.parametrize(
    ("origin", "host", "scheme", "is_known"),
    [
        ("http://127.0.0.1:8901", "127.0.0.1:8901", "http", True),
        ("https://127.0.0.1:8901", "127.0.0.1:8901", "http", False),
        ("http://127.0.0.1:8901", "127.0.0.1:8901", "https", False),
        ("https://127.0.0.1:8901", "127.0.0.1:8901", "https", True),
        ("http://shop.example", "shop.example", "http", True),
        ("https://shop.example", "shop.example", "http", True),  # a proxy does TLS
        ("https://shop.example", "shop.example", "https", True),
        ("http://shop.example", "shop.example", "https", False),
        ("https://shop.example:1", "shop.example", "http", False),
        ("ftp://shop.example", "shop.example", "http", False),
    ],
)
def test_an_origin_has_the_scheme_by_which_the_server_is_reached(
    origin: str, host: str, scheme: str, is_known: bool
) -> None:
    assert OURS.knows_origin(origin, host, scheme) is is_known


def test_a_part_of_another_application_may_stand_behind_a_proxy() -> None:
    anywhere = Addresses.anywhere(None, ())
    named = Addresses.anywhere(("shop.example",), ())

    assert anywhere.knows_origin("https://shop.example", "shop.example", "http")
    assert not anywhere.knows_origin("https://localhost:80", "localhost:80", "http")
    assert named.knows_origin("https://shop.example", "shop.example", "http")
    assert not named.knows_origin("http://shop.example", "shop.example", "https")
