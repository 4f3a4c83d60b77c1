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


async def test_a_discarded_letter_is_gone_and_the_audit_says_why(server: Served) -> None:
    await server.request("POST", FAIL, {"why": "the shop is closed"})
    number = (await buried(server))["number"]
    address = f"/v1/dead-letters/{number}"

    done = await server.request("POST", f"{address}/discard", {"reason": "a test order"})
    again = await server.request("POST", f"{address}/discard")
    redriven = await server.request("POST", f"{address}/redrive")

    assert (done.status, again.status, redriven.status) == (202, 404, 404)
    assert again.json()["type"] == "/problems/dead-letter-not-found"
    assert (await server.request("GET", "/v1/dead-letters")).json()["dead_letters"] == []
    did = (await server.request("GET", "/v1/audit")).json()["audit"]
    discards = [(one["verb"], one["target"], one["reason"], one["outcome"]) for one in did]
    assert ("discard", f"{number}", "a test order", "done") in discards


async def test_a_redelivery_may_say_why(server: Served) -> None:
    await server.request("POST", FAIL, {"why": "the shop is closed"})
    number = (await buried(server))["number"]
    await server.request("POST", f"/v1/dead-letters/{number}/redrive", {"reason": "it is open"})
    did = (await server.request("GET", "/v1/audit")).json()["audit"]
    assert "it is open" in [one["reason"] for one in did if one["verb"] == "redrive"]


async def test_a_discard_of_what_is_no_number_finds_no_letter(server: Served) -> None:
    odd = await server.request("POST", "/v1/dead-letters/x/discard")
    assert (odd.status, odd.json()["type"]) == (404, "/problems/dead-letter-not-found")
