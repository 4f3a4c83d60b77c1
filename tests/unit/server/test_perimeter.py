"""What is refused before a handler sees it, and what only an admin or the engine itself may do."""

from __future__ import annotations

import pytest

from outlast._server.guard import Addresses
from outlast.client import Client
from outlast.errors import ServerRefused
from tests.unit.wire.served import Served

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


async def test_a_long_request_line_is_refused(server: Served) -> None:
    reply = await server.request("GET", "/v1/runs?query=" + "x" * 20_000)
    assert (reply.status, reply.json()["type"]) == (414, "/problems/url-too-long")


async def test_a_body_with_two_lengths_is_refused(server: Served) -> None:
    headers = {"Content-Length": "2", "Transfer-Encoding": "chunked"}
    reply = await server.request("POST", "/v1/bulk", {}, headers=headers)
    assert reply.status == 400


@pytest.mark.parametrize("kind", ["outlast.Supervisor", "Supervisor"])
@pytest.mark.parametrize("mode", ["ask", "tell"])
async def test_supervisors_take_no_messages_of_their_protocol_from_outside(
    server: Served, kind: str, mode: str
) -> None:
    path = f"/v1/actors/{kind}/crew/stop_all?mode={mode}"
    reply = await server.request("POST", path, {})
    assert (reply.status, reply.json()["type"]) == (403, "/problems/actor-of-the-engine")
    assert (await server.request("GET", "/v1/actors")).json()["actors"] == []


async def test_ending_many_runs_at_once_takes_an_admin(server: Served) -> None:
    token = server.tokens.add("ann", "operator")
    async with Client(f"http://127.0.0.1:{server.port}", token=token) as client:
        with pytest.raises(ServerRefused, match="needs the role admin"):
            await client.bulk("terminate", "", expected=0)
        assert (await client.bulk("cancel", "", expected=0)).done == 0


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
