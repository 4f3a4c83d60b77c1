"""The file of API tokens: one user's alone, holding hashes, and refused if it is anything else."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from outlast._server.tokenfile import TokenFile
from outlast.errors import UsageError
from tests.unit.wire.served import Served


def test_a_directory_in_the_place_of_the_token_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is a directory"):
        TokenFile(tmp_path).admin()


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


def test_a_token_can_be_added_to_a_missing_file_beside_an_admin_token_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("OUTLAST_TOKEN", "x" * 40)
    path = tmp_path / "token"
    TokenFile(path).add("ann", "operator")

    assert [(t.name, t.role) for t in TokenFile(path).known()] == [
        ("admin", "admin"),
        ("ann", "operator"),
    ]
    assert "x" * 40 not in path.read_text()


def test_a_token_cannot_be_removed_from_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no API token named 'ann'"):
        TokenFile(tmp_path / "token").remove("ann")


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
