"""Actors over HTTP: asked, told, shown and stopped; supervisors take no orders from outside."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from tests.unit.wire.served import Served


@pytest.mark.parametrize("kind", ["outlast.Supervisor", "Supervisor"])
@pytest.mark.parametrize("mode", ["ask", "tell"])
async def test_supervisors_take_no_messages_of_their_protocol_from_outside(
    server: Served, kind: str, mode: str
) -> None:
    path = f"/v1/actors/{kind}/crew/stop_all?mode={mode}"
    reply = await server.request("POST", path, {})
    assert (reply.status, reply.json()["type"]) == (403, "/problems/actor-of-the-engine")
    assert (await server.request("GET", "/v1/actors")).json()["actors"] == []


ASK = "/v1/actors/ServedNotebook/k/add"


async def test_an_ask_takes_one_place(server: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server.service.wait_graph, "_places", 1)
    assert (await server.request("POST", ASK, {"text": "x"})).status == 200


async def test_actors_are_asked_told_shown_and_stopped(server: Served) -> None:
    path = "/v1/actors/ServedNotebook/al%2Fice"
    asked = await server.request("POST", f"{path}/add", {"text": "one"})
    told = await server.request("POST", f"{path}/add?mode=tell&dedup=k", {"text": "two"})
    again = await server.request("POST", f"{path}/add?mode=tell&dedup=k", {"text": "two"})
    counted = await server.request("POST", f"{path}/add", {"text": "three"})

    assert (asked.status, asked.json()) == (200, {"result": 1})
    assert (told.status, again.status) == (202, 202)
    assert counted.json() == {"result": 3}
    shown = (await server.request("GET", path)).json()
    assert shown["state"] == {"items": ["one", "two", "three"]}
    handlers = shown["handlers"]
    assert [h["name"] for h in handlers] == ["add", "fail"]
    failed = await server.request("POST", f"{path}/fail")
    assert (failed.status, failed.json()["type"]) == (422, "/problems/handler-failed")
    assert failed.json()["title"] == "Handler failed"
    listed = (await server.request("GET", "/v1/actors?type=ServedNotebook")).json()["actors"]
    assert [a["key"] for a in listed] == ["al/ice"]
    assert (await server.request("POST", f"{path}/stop", {})).status == 202
    late = await server.request("POST", f"{path}/add", {"text": "four"})
    assert (late.status, late.json()["type"]) == (409, "/problems/actor-stopped")
    ended = await server.request("GET", f"/v1/runs/{quote(shown['id'], safe='')}/result")
    assert ended.json()["result"] is None


async def test_the_types_of_actors_are_told_before_there_is_one(server: Served) -> None:
    listed = (await server.request("GET", "/v1/actors")).json()

    handlers = {each["name"]: each["handlers"] for each in listed["types"]}
    assert handlers["tests.unit.wire.served.ServedNotebook"] == ["add", "fail"]
    assert not [name for name in handlers if name.startswith("outlast.")]


async def test_actors_are_found_by_words_type_and_status(server: Served) -> None:
    for key in ("alice", "bob", "alicia"):
        await server.request("POST", f"/v1/actors/ServedNotebook/{key}/add", {"text": "x"})
    await server.request("POST", "/v1/actors/ServedNotebook/bob/stop")

    async def keys(query: str) -> list[str]:
        found = (await server.request("GET", f"/v1/actors?{query}")).json()["actors"]
        return sorted(one["key"] for one in found)

    assert await keys("query=ALI") == ["alice", "alicia"]
    assert await keys("query=workflow:ServedNotebook%20bob") == ["bob"]
    assert await keys("query=alicia&type=ServedNotebook") == ["alicia"]
    assert await keys("query=alicia&type=Other") == []
    assert await keys("query=status:completed") == ["bob"]
    assert await keys("query=since:1h") == ["alice", "alicia", "bob"]
    odd = await server.request("GET", "/v1/actors?query=status:nothing")
    assert (odd.status, odd.json()["type"]) == (422, "/problems/query-error")
