"""Dead letters over HTTP: a person sees what a message brought before it is sent again."""

from __future__ import annotations

from typing import Any

from outlast import limits
from tests.unit.wire.served import Served

FAIL = "/v1/actors/ServedNotebook/mine/fail?mode=tell"


async def buried(server: Served) -> dict[str, Any]:
    found: list[dict[str, Any]] = []
    while not found:
        found = (await server.request("GET", "/v1/dead-letters")).json()["dead_letters"]
    return found[0]


async def test_a_dead_letter_is_told_with_its_arguments_by_name(server: Served) -> None:
    sent = await server.request("POST", FAIL, {"why": "the shop is closed"})
    letter = await buried(server)

    assert sent.status == 202
    assert (letter["handler"], letter["kind"], letter["reason"]) == ("fail", "tell", "failed")
    assert letter["error"] == "ValueError: the shop is closed"
    assert (letter["input"], letter["input_bytes"]) == ({"why": "the shop is closed"}, None)


async def test_of_a_large_one_the_beginning_is_told_and_how_large_it_is(server: Served) -> None:
    await server.request("POST", FAIL, {"why": "x" * (2 * limits.HTTP_VALUE_BYTES)})
    letter = await buried(server)

    assert letter["input"].startswith('{"why":"xxx')
    assert len(letter["input"]) < limits.HTTP_VALUE_BYTES
    assert letter["input_bytes"] > limits.HTTP_VALUE_BYTES
