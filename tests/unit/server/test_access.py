from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from outlast import limits
from outlast._server.access import Access
from outlast._server.tokenfile import TokenFile, new_token
from outlast._wire.formats.problems import Problem
from outlast._wire.routes import ROUTES, Route
from outlast._wire.security.callers import ROLES, Role
from outlast.errors import UsageError
from tests.unit.wire.served import Served

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


# ------------------------------------------------------------------------------- the file
def test_the_file_is_its_users_alone_and_made_once(tmp_path: Path) -> None:
    path = tmp_path / "below" / "token"
    old = os.umask(0)
    try:
        first = TokenFile(path).admin()
    finally:
        os.umask(old)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert TokenFile(path).admin() == first
    assert len(first) >= 64


def test_a_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "token"
    TokenFile(path).admin()
    path.chmod(0o644)
    with pytest.raises(UsageError, match="chmod 600"):
        TokenFile(path).admin()


def test_a_link_in_the_place_of_the_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "token").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError):
        TokenFile(tmp_path / "token").admin()


def test_of_other_tokens_only_hashes_are_kept(tmp_path: Path) -> None:
    file = TokenFile(tmp_path / "token")
    token = file.add("ann", "operator")

    assert token not in (tmp_path / "token").read_text()
    assert [(t.name, t.role) for t in file.known()] == [("admin", "admin"), ("ann", "operator")]
    with pytest.raises(UsageError, match="already"):
        file.add("ann", "viewer")
    with pytest.raises(UsageError, match="no API token"):
        file.remove("bob")


@pytest.mark.parametrize("name", ["", "two words", "#x", "x\ny", "admin"])
def test_a_name_that_would_spoil_the_file_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError):
        TokenFile(tmp_path / "token").add(name, "viewer")


@pytest.mark.parametrize(
    "line",
    [
        "ann operator",
        "ann king sha256:" + "0" * 64,
        "ann viewer md5:0",
        "ann viewer sha256:" + "x" * 64,
    ],
)
def test_a_line_that_is_no_token_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "token"
    TokenFile(path).admin()
    with path.open("a") as file:
        file.write(f"{line}\n")
    with pytest.raises(UsageError, match="ann"):
        TokenFile(path).known()


async def test_a_line_that_is_no_token_keeps_no_removed_token_alive(
    server: Served, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    token = server.tokens.add("ann", "viewer")
    with (tmp_path / "token").open("a") as file:
        file.write("bob king sha256:0\n")
    assert (await server.request("GET", "/v1/session", token=token)).status == 200

    faults = server.tokens.remove("ann")

    assert (await server.request("GET", "/v1/session", token=token)).status == 401
    assert (await server.request("GET", "/v1/session")).status == 200
    assert "bob" in faults[0]
    assert "ignoring an invalid line" in caplog.text


@pytest.mark.parametrize("how", ["deleted", "emptied", "opened to others"])
async def test_a_file_that_cannot_be_used_any_more_opens_nothing(
    server: Served, tmp_path: Path, how: str
) -> None:
    path = tmp_path / "token"
    match how:
        case "deleted":
            path.unlink()
        case "emptied":
            path.write_text("")
        case _:
            path.chmod(0o644)

    assert (await server.request("GET", "/v1/session")).status == 401


# One interpreter that becomes twenty: all begin in the same moment, when the pipe is closed.
TWENTY = """
import os, sys
from pathlib import Path
from outlast._server.tokenfile import TokenFile
gate, opener = os.pipe()
children = []
for number in range(20):
    child = os.fork()
    if child == 0:
        os.close(opener)
        os.read(gate, 1)
        TokenFile(Path(sys.argv[1])).add(f"user{number}", "viewer")
        os._exit(0)
    children.append(child)
os.close(opener)
sys.exit(any([os.waitpid(child, 0)[1] for child in children]))
"""


def test_twenty_processes_that_add_at_once_lose_none(tmp_path: Path) -> None:
    path = tmp_path / "token"
    command = [sys.executable, "-c", TWENTY, str(path)]
    assert subprocess.run(command, timeout=60, check=False).returncode == 0

    names = {token.name for token in TokenFile(path).known()}
    assert names == {"admin", *(f"user{n}" for n in range(20))}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_another_user_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "token"
    TokenFile(path).admin()
    os.chown(path, 12345, -1)
    with pytest.raises(UsageError, match="belongs to user 12345"):
        TokenFile(path).admin()


def test_a_pipe_in_the_place_of_the_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "token", 0o600)
    with pytest.raises(UsageError, match="not a regular file"):
        TokenFile(tmp_path / "token").admin()


def test_the_environment_stands_for_the_admins_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OUTLAST_TOKEN", "x" * 40)
    file = TokenFile(tmp_path / "token")
    assert file.admin() == "x" * 40
    assert not (tmp_path / "token").exists()
    monkeypatch.setenv("OUTLAST_TOKEN", "short")
    with pytest.raises(UsageError, match="OUTLAST_TOKEN"):
        file.admin()


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
