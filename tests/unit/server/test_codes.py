"""The codes of links: each is exchanged for the token once, and soon."""

from __future__ import annotations

from pathlib import Path

from outlast import limits
from outlast._server.codes import SignInCodes
from tests.unit.wire.served import Served

NO_TOKEN = {"Authorization": ""}


async def sign_in(server: Served, code: str) -> tuple[int, dict[str, object]]:
    reply = await server.request("POST", "/v1/session", {"code": code}, headers=NO_TOKEN)
    return reply.status, reply.json()


async def test_a_code_is_exchanged_for_the_token_once(server: Served) -> None:
    code = server.codes.new()

    status, told = await sign_in(server, code)
    assert (status, told["token"], told["role"]) == (200, server.token, "admin")

    status, told = await sign_in(server, code)
    assert (status, "token" in told) == (401, False)
    assert str(told["type"]).endswith("code-spent")


async def test_guessed_codes_count_as_wrong_tokens(server: Served) -> None:
    statuses = [
        (await sign_in(server, f"guess{n}"))[0] for n in range(limits.LOGIN_FAILURES_MAX + 2)
    ]

    assert statuses == [401] * limits.LOGIN_FAILURES_MAX + [429] * 2
    assert (await sign_in(server, server.codes.new()))[0] == 200


async def test_a_code_gives_nothing_once_the_token_opens_nothing(
    server: Served, tmp_path: Path
) -> None:
    code = server.codes.new()
    (tmp_path / "token").unlink()

    status, told = await sign_in(server, code)
    assert (status, "token" in told) == (401, False)


async def test_who_has_no_token_yet_sends_a_short_body(server: Served) -> None:
    assert (await sign_in(server, "x" * 2_000))[0] == 413


def test_a_code_ends_by_itself_and_a_new_one_is_offered() -> None:
    now = 0.0
    offered: list[str] = []
    codes = SignInCodes("the token", lambda: now, offered.append)
    code = codes.new()
    now = limits.SIGN_IN_CODE_SECONDS

    assert codes.take(code) is False
    assert codes.take("never was") is None
    assert len(offered) == 1
    assert codes.take(offered[0]) is True


def test_a_spent_code_that_is_sent_again_and_again_prints_one_link() -> None:
    now = 0.0
    offered: list[str] = []
    codes = SignInCodes("the token", lambda: now, offered.append)
    spent, other = codes.new(), codes.new()
    assert codes.take(spent) is True

    assert [codes.take(spent) for _ in range(3)] == [False] * 3
    assert offered == []  # the other link is still good
    assert codes.take(other) is True
    assert [codes.take(code) for code in (spent, other, spent, other)] == [False] * 4
    assert len(offered) == 1
    now = limits.SIGN_IN_CODE_SECONDS
    assert [codes.take(code) for code in (spent, other, spent, other)] == [False] * 4
    assert len(offered) == 2


def test_the_oldest_codes_are_forgotten() -> None:
    codes = SignInCodes("the token", lambda: 0.0)
    made = [codes.new() for _ in range(limits.SIGN_IN_CODES_MAX + 1)]

    assert codes.take(made[0]) is None
    assert codes.take(made[-1]) is True
