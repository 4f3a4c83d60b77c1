"""Who may call which route, and until when."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from outlast import limits
from outlast._server.access import Access
from outlast._server.tokenfile import TokenFile, new_token
from outlast._wire.formats.problems import Problem
from outlast._wire.routes import ROUTES, Route
from outlast._wire.security.callers import ROLES, Role
from outlast.client import Client
from outlast.errors import ServerRefused
from outlast.types import RunId
from tests.unit.wire.live.test_runstreams import parsed, values_of
from tests.unit.wire.served import Served, served_story, until

FILLED = {
    "{id}": "some", "{name}": "some", "{type}": "Some", "{key}": "k", "{handler}": "h",
    "{number}": "1",
}  # fmt: skip


def path_of(route: Route) -> str:
    path = route.path
    for part, value in FILLED.items():
        path = path.replace(part, value)
    return path


def names(route: Route) -> str:
    return f"{route.method} {route.path}"


GUARDED = [route for route in ROUTES if route.role is not None]


def test_only_health_and_signing_in_need_no_token() -> None:
    open_ones = [names(route) for route in ROUTES if route.role is None]
    assert open_ones == ["GET /healthz", "POST /v1/session"]


def test_what_changes_anything_takes_more_than_a_viewer() -> None:
    assert [names(r) for r in ROUTES if r.method != "GET" and r.role == "viewer"] == []


@pytest.mark.parametrize("route", GUARDED, ids=names)
async def test_no_route_opens_without_the_right_token_host_and_origin(
    server: Served, route: Route
) -> None:
    path = path_of(route)

    async def status(token: str | None = None, headers: dict[str, str] | None = None) -> int:
        reply = await server.request(route.method, path, token=token, headers=headers)
        assert reply.headers["content-security-policy"].startswith("default-src 'none'")
        assert reply.headers["x-content-type-options"] == "nosniff"
        return reply.status

    assert await status(headers={"Authorization": ""}) == 401
    assert await status(token=new_token()) == 401
    assert await status(headers={"Authorization": f"Basic {server.token}"}) == 401
    assert await status(headers={"Host": "evil.example"}) == 421
    assert await status(headers={"Host": f"127.0.0.1.evil.example:{server.port}"}) == 421
    assert await status(headers={"Origin": "https://evil.example"}) == 403
    assert await status(headers={"Origin": "null"}) == 403
    assert await status(headers={"Sec-Fetch-Site": "cross-site"}) == 403
    for role in ROLES:
        if route.role is not None and ROLES.index(role) < ROLES.index(route.role):
            weak = server.tokens.add(f"weak-{role}", role)
            assert await status(token=weak) == (404 if route.is_local else 403)
    if route.is_local:
        assert await status() == 404


@pytest.mark.parametrize("path", ["/v1/nothing", "/v1", "/V1/runs", "/v1/runs/", "//v1/runs"])
async def test_a_path_without_a_route_tells_nothing_without_a_token(
    server: Served, path: str
) -> None:
    assert (await server.request("GET", path, headers={"Authorization": ""})).status == 401
    assert (await server.request("GET", path)).status == 404


async def test_a_method_that_a_path_does_not_take_is_405_and_says_which_it_takes(
    server: Served,
) -> None:
    for method in ("DELETE", "PUT", "PATCH", "OPTIONS", "TRACE"):
        reply = await server.request(method, "/v1/runs")
        assert (reply.status, reply.headers["allow"]) == (405, "GET")


async def test_the_page_is_served_without_a_token_and_holds_no_data(server: Served) -> None:
    page = await server.request("GET", "/", headers={"Authorization": ""})
    assert page.status == 200
    assert page.headers["content-type"].startswith("text/html")
    assert server.token.encode() not in page.body


@pytest.mark.parametrize(
    "path", ["/../token", "/assets/../../access.py", "/assets/%2e%2e/index.html", "/served.db"]
)
async def test_no_path_leads_to_other_files(server: Served, path: str) -> None:
    assert (await server.request("GET", path)).status == 404


async def test_a_token_that_is_taken_out_of_the_file_opens_nothing_any_more(
    server: Served,
) -> None:
    token = server.tokens.add("ann", "viewer")
    session = await server.request("GET", "/v1/session", token=token)
    asked = session.json()
    assert (asked["name"], asked["role"]) == ("ann", "viewer")

    server.tokens.remove("ann")

    assert (await server.request("GET", "/v1/session", token=token)).status == 401


async def test_too_many_wrong_tokens_are_refused_and_the_right_one_still_opens(
    server: Served,
) -> None:
    wrong = new_token()
    statuses = [
        (await server.request("GET", "/v1/session", token=wrong)).status
        for _ in range(limits.LOGIN_FAILURES_MAX + 3)
    ]
    assert statuses == [401] * limits.LOGIN_FAILURES_MAX + [429] * 3
    assert (await server.request("GET", "/v1/session")).status == 200


def test_roles_include_those_below(tmp_path: Path) -> None:
    file = TokenFile(tmp_path / "token")
    admin = file.admin()
    roles: tuple[Role, ...] = ("viewer", "operator")
    tokens = {role: file.add(role, role) for role in roles}
    access = Access(file, lambda: 0.0)

    caller = access.caller(f"Bearer {tokens['operator']}", "1.1.1.1")
    assert (caller.may("viewer"), caller.may("operator"), caller.may("admin")) == (
        True,
        True,
        False,
    )
    assert access.caller(f"bearer  {admin} ", "1.1.1.1").may("admin")
    with pytest.raises(Problem):
        access.caller("Bearer ", "1.1.1.1")


async def test_a_token_that_is_taken_out_ends_the_streams_that_it_opened(server: Served) -> None:
    ann = server.tokens.add("ann", "viewer")
    async with server.client() as client:
        await client.start(served_story(1, waits=True), id="s")
        # What is stored when a reader comes is sent before it has a tail.
        while not await server.service.core.reader.streams.page(RunId("s"), "served_words", 0):
            pass
        reading = asyncio.create_task(
            server.request("GET", "/v1/runs/s/streams/served_words", token=ann)
        )
        await until(lambda: bool(server.service.streams.tails))
        server.tokens.remove("ann")
        for stream in list(server.service.clients.open):
            stream.beat(server.service.core.world.monotonic())
        reply = await reading
    assert values_of(parsed(reply.body.decode())) == ["word 0"]
    assert "end" not in [event.kind for event in parsed(reply.body.decode())]


async def test_ending_many_runs_at_once_takes_an_admin(server: Served) -> None:
    token = server.tokens.add("ann", "operator")
    async with Client(f"http://127.0.0.1:{server.port}", token=token) as client:
        with pytest.raises(ServerRefused, match="needs the role admin"):
            await client.bulk("terminate", "", expected=0)
        assert (await client.bulk("cancel", "", expected=0)).done == 0
