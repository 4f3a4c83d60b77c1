"""Who did what over HTTP is written down with it, and who may read that."""

from __future__ import annotations

import logging

import pytest

from outlast import AuditInfo, TokenInfo, limits
from outlast.errors import UsageError
from tests.unit.wire.served import Served

WAITS = "tests.unit.wire.served.served_wait"


async def audit(server: Served, run: str | None = None) -> list[AuditInfo]:
    return [info async for info in server.engine.audit(run=run)]


async def start(server: Served, run: str, token: str | None = None) -> None:
    made = await server.request("POST", f"/v1/workflows/{WAITS}/runs", {"id": run}, token=token)
    assert made.status == 201


async def test_a_verb_is_written_with_caller_reason_and_outcome(server: Served) -> None:
    ann = server.tokens.add("ann", "operator")
    await start(server, "r", ann)
    ended = await server.request("POST", "/v1/runs/r/terminate", {"reason": "spam"}, token=ann)
    assert ended.status == 202

    last, first = await audit(server)
    assert (first.verb, first.target, first.run, first.caller) == ("start", WAITS, "r", "ann")
    assert (last.verb, last.target, last.run, last.role) == ("terminate", "r", "r", "operator")
    assert (last.reason, last.outcome, last.via) == ("spam", "done", "http")


@pytest.mark.parametrize("verb", ["cancel", "pause", "terminate"])
async def test_every_operator_s_verb_has_one_row(server: Served, verb: str) -> None:
    await start(server, "r")
    assert (await server.request("POST", f"/v1/runs/r/{verb}", {})).status == 202

    assert [info.verb for info in await audit(server, "r")] == [verb, "start"]


async def test_a_run_that_was_not_paused_is_not_resumed(server: Served) -> None:
    await start(server, "r")
    refused = await server.request("POST", "/v1/runs/r/resume", {})
    assert refused.status == 422
    async with server.client() as client:
        with pytest.raises(UsageError, match="run 'r' is neither paused"):
            await client.get("r").resume()
        await client.get("r").pause()
        await client.get("r").resume()

    told = [(info.verb, info.outcome) for info in await audit(server, "r")]
    assert told[:2] == [("resume", "done"), ("pause", "done")]
    assert told[2:] == [("resume", "usage-error"), ("resume", "usage-error"), ("start", "done")]


async def test_operators_say_why(server: Served) -> None:
    await start(server, "r")
    async with server.client() as client:
        run = client.get("r")
        await run.pause(reason="a bad deploy")
        await run.resume(reason="the deploy is mended")
        await run.fork(2, reason="to look at it")
        await run.terminate()
        await run.retry(reason="ended by mistake")
        with pytest.raises(UsageError, match="the reason must have at most"):
            await run.pause(reason="x" * (limits.REASON_CHARS_MAX + 1))
        with pytest.raises(UsageError, match="discard"):
            await run.discard(reason="nobody can read it")

    told = {info.verb: info.reason for info in await audit(server) if info.outcome == "done"}
    assert told == {
        "start": "",
        "pause": "a bad deploy",
        "resume": "the deploy is mended",
        "fork": "to look at it",
        "terminate": "",
        "retry": "ended by mistake",
    }
    refused = [info for info in await audit(server) if info.verb == "discard"]
    assert [info.reason for info in refused] == ["nobody can read it"]


@pytest.mark.parametrize("verb", ["cancel", "terminate"])
async def test_who_ends_what_has_ended_did_nothing(server: Served, verb: str) -> None:
    await start(server, "r")
    await server.request("POST", "/v1/runs/r/terminate", {})
    assert (await server.request("POST", f"/v1/runs/r/{verb}", {})).status == 202

    assert [(info.verb, info.outcome) for info in await audit(server, "r")] == [
        (verb, "closed"),
        ("terminate", "done"),
        ("start", "done"),
    ]


@pytest.mark.parametrize(("how", "verb"), [("terminate", "terminate"), ("replace", "cancel")])
async def test_a_start_that_ends_another_run_first_is_done(
    server: Served, how: str, verb: str
) -> None:
    await start(server, "r")
    body = {"id": "r", "on_conflict": how}
    made = await server.request("POST", f"/v1/workflows/{WAITS}/runs", body)
    assert made.status == 201
    assert made.json()["created"]

    told = [(info.verb, info.outcome) for info in await audit(server, "r")]
    assert told == [("start", "done"), (verb, "done"), ("start", "done")]


async def test_a_start_that_attaches_made_nothing(server: Served) -> None:
    await start(server, "r")
    again = await server.request("POST", f"/v1/workflows/{WAITS}/runs", {"id": "r"})
    assert again.status == 200
    assert [info.outcome for info in await audit(server, "r")] == ["exists", "done"]


async def test_a_fork_is_found_under_both_runs(server: Served) -> None:
    await start(server, "r")
    made = await server.request("POST", "/v1/runs/r/fork", {"at": 2, "reason": "to look"})
    fork = made.json()["id"]

    for run in ("r", fork):
        [row] = [info for info in await audit(server, run) if info.verb == "fork"]
        assert (row.target, row.reason, row.outcome) == (f"r {fork}", "to look", "done")


async def test_what_is_refused_is_written_too(server: Served) -> None:
    vic = server.tokens.add("vic", "viewer")
    await start(server, "r")
    assert (await server.request("POST", "/v1/runs/r/cancel", {}, token=vic)).status == 403
    assert (await server.request("POST", "/v1/runs/none/cancel", {})).status == 404
    assert (await server.request("POST", "/v1/runs/r/retry", {})).status == 422
    assert (await server.request("POST", "/v1/runs/r/retry", {"dry_run": True})).status == 422

    told = [(i.caller, i.verb, i.run, i.outcome) for i in await audit(server)]
    assert told == [
        ("admin", "retry", "r", "usage-error"),
        ("admin", "cancel", "none", "run-not-found"),
        ("vic", "cancel", "r", "role-missing"),
        ("admin", "start", "r", "done"),
    ]


async def test_refusals_do_not_fill_the_disk(
    server: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "AUDIT_REFUSALS_MAX", 3)
    vic = server.tokens.add("vic", "viewer")
    for _ in range(6):
        assert (await server.request("POST", "/v1/runs/r/cancel", {}, token=vic)).status == 403

    assert len(await audit(server)) == 3


async def test_many_runs_have_a_row_each(server: Served) -> None:
    for run in ("a", "b"):
        await start(server, run)
    body = {"action": "cancel", "query": "status:running,waiting,pending", "expected": 2}
    done = await server.request("POST", "/v1/bulk", {**body, "reason": "over"})
    assert done.json()["done"] == 2

    found = {(info.verb, info.run, info.target, info.reason) for info in await audit(server)}
    assert {("bulk cancel", "a", "a", "over"), ("bulk cancel", "b", "b", "over")} <= found
    assert ("bulk cancel", None, body["query"], "over") in found


async def test_looking_has_no_row(server: Served) -> None:
    await start(server, "r")
    await server.request("GET", "/v1/runs/r")
    await server.request("POST", "/v1/runs/r/fork", {"at": 2, "dry_run": True})

    assert [info.verb for info in await audit(server)] == ["start"]


async def test_a_viewer_reads_of_a_run_and_an_admin_reads_all(server: Served) -> None:
    vic = server.tokens.add("vic", "viewer")
    await start(server, "a")
    await start(server, "b")

    of_run = await server.request("GET", "/v1/audit?run=a", token=vic)
    assert [row["run"] for row in of_run.json()["audit"]] == ["a"]
    assert (await server.request("GET", "/v1/audit", token=vic)).status == 403
    assert (await server.request("GET", "/v1/audit?run=a&caller=admin", token=vic)).status == 403
    page = (await server.request("GET", "/v1/audit?limit=1")).json()
    assert [row["run"] for row in page["audit"]] == ["b"]
    rest = (await server.request("GET", f"/v1/audit?limit=9&after={page['next']}")).json()
    assert ([row["run"] for row in rest["audit"]], rest["next"]) == (["a"], None)


async def test_a_client_reads_it_too(server: Served) -> None:
    async with server.client() as client:
        await client.start(WAITS, id="r")
        assert [info.caller async for info in client.audit(run="r")] == ["admin"]


async def test_what_the_program_does_itself_has_no_row(server: Served) -> None:
    await start(server, "r")
    await server.engine.get("r").cancel("mine")

    assert [info.verb for info in await audit(server, "r")] == ["start"]


async def test_wrong_tokens_are_logged_within_a_limit(
    server: Served, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "outlast.server")
    for _ in range(limits.LOGIN_FAILURES_MAX + 5):
        await server.request("GET", "/v1/runs", token="wrong" * 8)

    said = [record.message for record in caplog.records]
    assert said.count("invalid API token received from 127.0.0.1") == limits.LOGIN_FAILURES_MAX
    assert any("further invalid API tokens" in line for line in said)
    assert not any("wrongwrong" in line for line in said)
    assert (await server.request("GET", "/v1/runs")).status == 200


async def test_what_had_nothing_to_do_does_not_fill_the_disk(
    server: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "AUDIT_REFUSALS_MAX", 3)
    await start(server, "r")
    await server.request("POST", "/v1/runs/r/terminate", {"reason": "x" * 9_000})
    for _ in range(6):
        assert (await server.request("POST", "/v1/runs/r/cancel", {})).status == 202

    found = await audit(server, "r")
    assert [info.verb for info in found] == ["cancel"] * 3 + ["terminate", "start"]
    assert len(found[3].reason) == limits.AUDIT_REASON_CHARS_MAX


@pytest.mark.parametrize(("value", "verb"), [(True, "approve"), (False, "reject")])
async def test_an_answer_to_an_approval_says_which_and_of_which_run(
    server: Served, value: bool, verb: str
) -> None:
    path = "/v1/workflows/tests.unit.wire.served.served_approve/runs"
    assert (await server.request("POST", path, {"id": "asks"})).status == 201
    found: list[TokenInfo] = []
    while not found:
        found = [info async for info in server.engine.tokens()]
    body = {"value": value, "reason": "too much", "digest": found[0].digest}
    assert (await server.request("POST", f"/v1/tokens/{found[0].id}", body)).status == 200

    last = (await audit(server))[0]
    assert (last.verb, last.run, last.target) == (verb, "asks", found[0].id)
    assert (last.reason, last.outcome) == ("too much", "done")


async def test_a_refused_answer_is_written_with_the_type_of_its_problem(server: Served) -> None:
    path = "/v1/workflows/tests.unit.wire.served.served_approve/runs"
    await server.request("POST", path, {"id": "asks"})
    found: list[TokenInfo] = []
    while not found:
        found = [info async for info in server.engine.tokens()]
    wrong = {"value": True, "digest": "deadbeef"}
    refused = await server.request("POST", f"/v1/tokens/{found[0].id}", wrong)

    assert refused.json()["type"] == "/problems/digest-mismatch"
    assert (await audit(server))[0].outcome == "digest-mismatch"


async def test_a_signal_that_is_sent_again_is_a_duplicate(server: Served) -> None:
    sums = "tests.unit.wire.served.served_sums"
    await server.request("POST", f"/v1/workflows/{sums}/runs", {"id": "r"})
    for _ in range(2):
        body = {"value": 3, "dedup": "once"}
        sent = await server.request("POST", "/v1/runs/r/signals/served_number", body)
        assert sent.status == 202
    await server.request("POST", "/v1/runs/r/terminate", {})

    outcomes = [info.outcome for info in await audit(server, "r") if info.verb == "signal"]
    assert outcomes == ["duplicate", "done"]
