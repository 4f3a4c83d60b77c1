from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import quote

import pytest

from tests.unit.actors.busy import Busy
from tests.unit.wire.served import Served, ServedNotebook, at_work, until

START = "/v1/workflows/served_checkout/runs"


ORDER = {"order": {"id": "7", "cents": 999}}


async def test_a_start_is_answered_201_then_200_and_the_run_can_be_read(server: Served) -> None:
    first = await server.request("POST", START, {"input": ORDER, "id": "a/7"})
    again = await server.request("POST", START, {"input": ORDER, "id": "a/7"})

    assert (first.status, again.status) == (201, 200)
    assert (first.json()["created"], again.json()["created"]) == (True, False)
    result = await server.request("GET", f"/v1/runs/{quote('a/7', safe='')}/result")
    assert result.json() == {"id": "a/7", "status": "completed", "result": "charged 999"}
    shown = (await server.request("GET", "/v1/runs/a%2F7")).json()
    assert shown["input"] == {"order": {"id": "7", "cents": 999, "tags": []}, "note": ""}
    assert shown["result"] == "charged 999"
    assert shown["values"] == ["served_share"]
    assert shown["actions"] == ["fork"]
    value = await server.request("GET", "/v1/runs/a%2F7/values/served_share")
    assert value.json() == {"value": 0.5}


async def test_what_does_not_fit_is_refused_with_every_path_and_nothing_is_stored(
    server: Served,
) -> None:
    body = {"input": {"order": {"id": 7, "cents": "x"}, "zz": 1}, "id": "bad"}
    reply = await server.request("POST", START, body)

    assert reply.status == 422
    assert reply.headers["content-type"] == "application/problem+json"
    problem = reply.json()
    assert problem["type"] == "/problems/decoding-error"
    assert problem["faults"] == [
        {"path": "$.order.id", "message": "declared str, got int"},
        {"path": "$.order.cents", "message": "declared int, got str"},
        {"path": "$.zz", "message": "unknown argument"},
    ]
    assert (await server.request("GET", "/v1/runs/bad")).status == 404


@pytest.mark.parametrize(
    ("path", "body", "status", "kind"),
    [
        ("/v1/workflows/nobody/runs", {}, 404, "unknown-workflow"),
        (START, {"input": ORDER, "colour": 1}, 422, "decoding-error"),
        (START, [], 422, "decoding-error"),
        (START, {"input": ORDER, "id": "x" * 201}, 422, "usage-error"),
        (START, {"input": ORDER, "on_conflict": "maybe"}, 422, "decoding-error"),
        (START, {"input": ORDER, "delay": "soon"}, 422, "duration-error"),
        ("/v1/runs/nobody/cancel", {}, 404, "run-not-found"),
        ("/v1/runs/nobody/signals/x", {"value": 1}, 404, "run-not-found"),
        ("/v1/actors/Nobody/k/add", {}, 404, "unknown-actor"),
        ("/v1/tokens/nobody", {"value": True}, 404, "token-not-found"),
        ("/v1/actors/ServedNotebook/nobody/stop", {}, 404, "actor-not-found"),
        ("/v1/dead-letters/7/redrive", {}, 404, "dead-letter-not-found"),
        ("/v1/dead-letters/x/redrive", {}, 404, "dead-letter-not-found"),
    ],
)
async def test_a_mistake_is_a_problem_with_a_stable_type(
    server: Served, path: str, body: object, status: int, kind: str
) -> None:
    reply = await server.request("POST", path, body)

    assert (reply.status, reply.json()["type"]) == (status, f"/problems/{kind}")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (START, {"input": {"order": {"id": "7", "cents": True}}}),
        (START, {"input": ORDER, "id": "x" * 201}),
        (START, {"input": ORDER, "delay": "soon"}),
        ("/v1/runs/sums/updates/served_add_up", {"value": True}),
        ("/v1/runs/sums/updates/served_add_up", {"value": -1}),
        ("/v1/runs/sums/updates/served_add_up", {"value": 13}),
        ("/v1/runs/sums/signals/served_number", {"value": True}),
        ("/v1/runs/sums/signals/served_numbers", {"value": [True]}),
        ("/v1/runs/sums/signals/served_og", {"value": "x"}),
        ("/v1/runs/sums/fork", {"at": 1, "input": {"start": True}}),
        ("/v1/runs/sums/result?wait=1", None),
        ("/v1/runs?limit=0", None),
        ("/v1/bulk", {"action": "cancel", "query": "status:nothing", "expected": 0}),
        ("/v1/actors/ServedNotebook/k/add", []),
        ("/v1/actors/ServedNotebook/k/add", {"text": True}),
        ("/v1/actors/ServedNotebook/k/fail", {}),
    ],
)
async def test_every_422_says_where(server: Served, path: str, body: object) -> None:
    await server.request("POST", "/v1/workflows/served_sums/runs", {"id": "sums"})

    reply = await server.request("GET" if body is None else "POST", path, body)

    assert reply.status == 422, reply.body
    faults = reply.json()["faults"]
    assert faults
    for fault in faults:
        assert fault.keys() == {"path", "message"}
        assert fault["path"].startswith(("$", "?"))
        assert fault["message"]


async def test_a_signal_of_an_undeclared_name_is_refused_with_the_nearest(server: Served) -> None:
    await server.request("POST", "/v1/workflows/served_sums/runs", {"id": "sums"})

    path = "/v1/runs/sums/signals/served_og"
    refused = await server.request("POST", path, {"value": "x"})
    taken = await server.request("POST", path, {"value": "x", "allow_undeclared": True})

    assert (refused.status, refused.json()["type"]) == (422, "/problems/unknown-signal")
    assert refused.json()["facts"] == {"name": "served_og", "nearest": "served_go"}
    assert taken.status == 202


async def test_declared_signals_are_listed_with_the_type_of_their_value(server: Served) -> None:
    vic = server.tokens.add("vic", "viewer")
    found = (await server.request("GET", "/v1/signals", token=vic)).json()["signals"]

    assert [each["name"] for each in found] == sorted(each["name"] for each in found)
    schemas = {each["name"]: each["schema"] for each in found}
    assert schemas["served_go"] == {"type": "string"}
    assert schemas["served_number"]["type"] == "integer"
    assert schemas["served_numbers"]["items"] == schemas["served_number"]
    assert schemas["served_either"] is None, "it is declared with two types"


async def test_true_is_no_int_in_an_answer_to_a_token(server: Served) -> None:
    await server.request("POST", "/v1/workflows/served_token/runs", {"id": "t"})
    open_ones: list[dict[str, str]] = []
    while not open_ones:
        open_ones = (await server.request("GET", "/v1/approvals")).json()["approvals"]
    path = f"/v1/tokens/{open_ones[0]['id']}"

    refused = await server.request("POST", path, {"value": {"id": "7", "cents": True}})
    taken = await server.request("POST", path, {"value": {"id": "7", "cents": 1}})

    assert refused.status == 422
    assert refused.json()["faults"] == [{"path": "$.cents", "message": "declared int, got bool"}]
    assert taken.status == 200


@pytest.mark.parametrize(
    ("body", "key"),
    [
        (b'{"id": "a", "id": "b"}', "'id'"),
        (b'{"input": {"order": {"cents": 1, "c\\u0065nts": 2}}}', "'cents'"),
        (b'{"input": [{"a": 1}, {"b": {}, "\\"": "\\":", "b": 1}]}', "'b'"),
        (b'{"a": ' + b"1" * 4_000 + b', "a": 1}', "'a'"),
    ],
)
async def test_a_key_that_is_given_twice_is_malformed(
    server: Served, body: bytes, key: str
) -> None:
    head = (
        f"POST {START} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nConnection: close\r\n"
        f"Authorization: Bearer {server.token}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )

    reply = await server.raw(head.encode() + body)

    assert (reply.status, reply.json()["type"]) == (400, "/problems/malformed")
    assert f"the key {key} twice" in reply.json()["detail"]


async def test_keys_and_colons_inside_of_texts_are_no_keys(server: Served) -> None:
    note = 'say "a": 1, "a": 2 \\" : "a" :'
    body = {"input": {**ORDER, "note": note}, "id": "n", "attributes": {"a": note}}

    reply = await server.request("POST", START, body)

    assert reply.status == 201, reply.body


async def test_a_query_parameter_that_no_route_takes_is_refused_with_those_it_takes(
    server: Served,
) -> None:
    some = await server.request("GET", "/v1/runs?status=failed&limit=1")
    none = await server.request("GET", "/v1/overview?x=1")
    free = await server.request("GET", "/healthz?probe=1")

    assert (some.status, none.status, free.status) == (422, 422, 200)
    assert "known parameters: query, after, limit" in some.json()["detail"]
    assert some.json()["faults"][0]["path"] == "?status"
    assert "takes none" in none.json()["detail"]


async def test_the_same_id_with_other_input_is_a_conflict(server: Served) -> None:
    await server.request("POST", START, {"input": ORDER, "id": "c"})
    other = {"order": {"id": "7", "cents": 1}}
    reply = await server.request("POST", START, {"input": other, "id": "c"})

    assert (reply.status, reply.json()["type"]) == (409, "/problems/idempotency-mismatch")
    assert "999" in f"{reply.json()['detail']}"


async def test_pages_hold_every_run_once(server: Served) -> None:
    for number in range(7):
        body = {"input": ORDER, "id": f"p{number}"}
        assert (await server.request("POST", START, body)).status == 201

    seen: list[str] = []
    after = ""
    while True:
        page = (await server.request("GET", f"/v1/runs?limit=3&after={after}")).json()
        runs = page["runs"]
        seen += [run["id"] for run in runs]
        if page["next"] is None:
            break
        after = f"{page['next']}"

    assert sorted(seen) == [f"p{number}" for number in range(7)]


@pytest.mark.parametrize(
    "query",
    [
        "query=status:nothing",
        "limit=0",
        "limit=1001",
        "limit=x",
        "after=%00",
        "query=" + "x" * 2001,
    ],
)
async def test_a_query_that_does_not_parse_is_refused(server: Served, query: str) -> None:
    assert (await server.request("GET", f"/v1/runs?{query}")).status == 422


async def test_a_journal_is_paged_from_both_ends(server: Served) -> None:
    body = {"input": {"count": 9}, "id": "s"}
    await server.request("POST", "/v1/workflows/served_story/runs", body)
    await server.request("GET", "/v1/runs/s/result")
    whole = (await server.request("GET", "/v1/runs/s/journal")).json()
    last = whole["last_seq"]

    forward: list[int] = []
    following: object = 0
    while following is not None:
        page = (await server.request("GET", f"/v1/runs/s/journal?after={following}&limit=2")).json()
        forward += _seqs(page)
        following = page["next"]
    backward: list[int] = []
    following = last + 1
    while following is not None:
        path = f"/v1/runs/s/journal?before={following}&limit=2"
        page = (await server.request("GET", path)).json()
        backward = _seqs(page) + backward
        following = page["next"]

    assert forward == backward == list(range(1, last + 1))


async def test_the_journal_of_an_actor_begins_with_the_message_that_it_handles(
    server: Served,
) -> None:
    busy = server.engine.actor(Busy, "k")
    await busy.ask(Busy.sleep, 0.001)
    await busy.tell(Busy.sleep, 1_000.0)
    run = server.engine.get(busy.id)
    async with asyncio.timeout(10):
        while not (records := [record async for record in run.journal()]):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    first, last = records[0].seq, records[-1].seq
    path = f"/v1/runs/{quote(busy.id, safe='')}/journal"

    pages = [
        (await server.request("GET", f"{path}?{query}")).json()
        for query in ("", "after=0&limit=1", f"before={last + 1}&limit=100")
    ]

    assert first > 1
    assert [_seqs(page)[0] for page in pages] == [first] * 3
    assert pages[0]["next"] is None
    assert pages[2]["next"] is None


def _seqs(page: dict[str, Any]) -> list[int]:
    return [record["seq"] for record in page["records"]]


async def test_a_result_that_is_not_there_yet_is_202_with_the_reason(server: Served) -> None:
    await server.request("POST", "/v1/workflows/served_wait/runs", {"id": "w"})
    reply = await server.request("GET", "/v1/runs/w/result?timeout=0")
    assert reply.status == 202
    assert "served_go" in f"{reply.json()['why']}"

    sent = await server.request("POST", "/v1/runs/w/signals/served_go", {"value": "now"})
    assert sent.status == 202
    assert (await server.request("GET", "/v1/runs/w/result")).json()["result"] == "now"
    late = await server.request("POST", "/v1/runs/w/signals/served_go", {"value": "late"})
    assert (late.status, late.json()["type"]) == (409, "/problems/run-closed")


async def test_a_failed_run_tells_what_it_raised(server: Served) -> None:
    await server.request("POST", "/v1/workflows/served_fail/runs", {"id": "f"})
    reply = (await server.request("GET", "/v1/runs/f/result")).json()
    assert reply["status"] == "failed"
    shown = (await server.request("GET", "/v1/runs/f")).json()["failure"]
    assert (shown["type"], shown["message"]) == ("ValueError", "no luck")
    assert "served_fail" in shown["traceback"]


async def test_an_approval_is_answered_once_by_the_name_of_the_token(server: Served) -> None:
    await server.request("POST", "/v1/workflows/served_approve/runs", {"id": "a"})
    open_ones: list[Any] = []
    while not open_ones:
        open_ones = (await server.request("GET", "/v1/approvals")).json()["approvals"]
    asked = open_ones[0]
    assert (asked["title"], asked["detail"]) == ("Refund 40 EUR?", {"cents": 4_000})
    assert asked["schema"] == {"type": "boolean"}
    shown = (await server.request("GET", "/v1/runs/a")).json()
    assert shown["asks"] == [{"id": asked["id"], "kind": "approval", "title": "Refund 40 EUR?"}]
    path = f"/v1/tokens/{asked['id']}"

    wrong = await server.request("POST", path, {"value": True, "digest": "another"})
    assert wrong.json()["type"] == "/problems/digest-mismatch"
    ann = server.tokens.add("ann", "operator")
    body = {"value": True, "digest": asked["digest"], "reason": "fine"}
    first = await server.request("POST", path, body, token=ann)
    second = await server.request("POST", path, {"value": False})

    assert (first.status, first.json()["by"]) == (200, "ann")
    assert (second.status, second.json()["by"]) == (409, "ann")
    result = await server.request("GET", "/v1/runs/a/result")
    assert result.json()["result"] == "True ann fine"
    assert (await server.request("GET", "/v1/approvals")).json()["approvals"] == []


async def test_a_token_says_what_it_takes(server: Served) -> None:
    await server.request("POST", "/v1/workflows/served_token/runs", {"id": "t"})
    open_ones: list[Any] = []
    while not open_ones:
        open_ones = (await server.request("GET", "/v1/approvals")).json()["approvals"]
    path = f"/v1/tokens/{open_ones[0]['id']}"

    schema = (await server.request("GET", path)).json()["schema"]
    assert schema["$defs"]["Order"]["required"] == ["id", "cents"]
    assert (await server.request("POST", path, {"value": {"id": "1"}})).status == 422
    assert (await server.request("POST", path, {"value": {"id": "1", "cents": 5}})).status == 200
    assert (await server.request("GET", "/v1/runs/t/result")).json()["result"] == 5


async def test_the_description_names_every_route_and_the_types_of_workflows(
    server: Served,
) -> None:
    described = (await server.request("GET", "/openapi.json")).json()

    assert described["openapi"] == "3.1.0"
    paths = described["paths"]
    assert "/v1/runs/{id}/streams/{name}" in paths
    start = next(v for k, v in paths.items() if k.endswith("served_checkout/runs"))
    content = start["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert content["properties"]["input"]["properties"]["note"] == {"type": "string", "default": ""}


async def test_the_fault_of_a_query_that_does_not_parse_is_where_the_query_was_sent(
    server: Served,
) -> None:
    read = await server.request("GET", "/v1/runs?query=status:nothing")
    counted = await server.request("GET", "/v1/count?query=(:")
    bulk = {"action": "cancel", "query": "status:nothing", "expected": 0}
    sent = await server.request("POST", "/v1/bulk", bulk)

    replies = (read, counted, sent)
    assert {reply.json()["type"] for reply in replies} == {"/problems/query-error"}
    paths = [reply.json()["faults"][0]["path"] for reply in replies]
    assert paths == ["?query", "?query", "$.query"]


@pytest.mark.parametrize(
    ("path", "fault"),
    [
        ("/v1/runs?limit=1&limit=2", "?limit"),
        ("/v1/runs?limit=1_0", "?limit"),
        ("/v1/approvals?all=maybe", "?all"),
        ("/v1/runs/x/result?parked=maybe", "?parked"),
    ],
)
async def test_a_query_parameter_that_nobody_would_understand_is_refused(
    server: Served, path: str, fault: str
) -> None:
    reply = await server.request("GET", path)

    assert reply.status == 422
    assert reply.json()["type"] == "/problems/query-error"
    assert [f["path"] for f in reply.json()["faults"]] == [fault]


async def test_a_step_at_work_is_told_before_there_is_a_record_of_it(server: Served) -> None:
    at_work.clear()
    await server.request("POST", "/v1/workflows/served_slow/runs", {"input": {}, "id": "slow"})
    await until(lambda: bool(at_work))
    at_once = (await server.request("GET", "/v1/runs/slow")).json()
    records = (await server.request("GET", "/v1/runs/slow/journal?after=0")).json()["records"]
    at_work[0].set()
    await server.request("GET", "/v1/runs/slow/result")
    at_last = (await server.request("GET", "/v1/runs/slow")).json()

    assert [record["kind"] for record in records] == ["run_started"]
    (running,) = at_once["running"]
    assert running["name"].endswith(".served_hold")
    assert running["attempt"] == 1
    assert records[0]["at"] <= running["queued_at"] <= running["began_at"]
    assert at_last["running"] == []


async def test_a_cursor_is_the_next_of_a_page(server: Served) -> None:
    async with server.client() as client:
        for key in ("a", "b", "c"):
            await client.actor(ServedNotebook, key).ask(ServedNotebook.add, "x")
    for listing in ("runs", "actors", "approvals", "audit", "dead-letters"):
        reply = await server.request("GET", f"/v1/{listing}?after=zzz")
        assert (listing, reply.status) == (listing, 422)
        assert "after" in reply.json()["detail"]

    found: list[str] = []
    after = ""
    while True:
        path = f"/v1/actors?type=ServedNotebook&limit=1{after}"
        page = (await server.request("GET", path)).json()
        found += [info["key"] for info in page["actors"]]
        if page["next"] is None:
            break
        after = f"&after={page['next']}"
    assert found == ["c", "b", "a"]


async def test_a_comparison_needs_two_runs(server: Served) -> None:
    assert (await server.request("GET", "/v1/diff")).status == 422


async def test_statistics_count_the_runs_of_a_query(server: Served) -> None:
    for n in range(3):
        await server.request("POST", START, {"input": ORDER, "id": f"s-{n}"})
        await server.request("GET", f"/v1/runs/s-{n}/result")

    found = (await server.request("GET", "/v1/statistics?query=since:1h%20id:s-&points=4")).json()
    bad = [
        (await server.request("GET", f"/v1/statistics?{query}")).json()["type"]
        for query in ("points=0", "points=201", "query=status:nothing")
    ]

    assert (found["runs"], found["is_exact"], found["counts"]) == (3, True, {"completed": 3})
    assert (sum(found["started"]), len(found["started"])) == (3, 4)
    assert found["workflows"][0]["runs"] == 3
    assert bad == ["/problems/query-error"] * 3
