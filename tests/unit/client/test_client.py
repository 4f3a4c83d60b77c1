"""A client has the verbs of an engine."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import cast

import pytest

from outlast._handles.actor_ref import Handler
from outlast._wire.formats.problems import Problem
from outlast.client import Client
from outlast.errors import (
    DeadLetterNotFound,
    DecodingError,
    EncodingError,
    EngineClosed,
    HandlerFailed,
    QueryError,
    RunFailed,
    ServerRefused,
    StoreUnavailable,
    UnknownActor,
    UnknownTopic,
    UsageError,
)
from tests.unit.server.certificates import self_signed
from tests.unit.wire.served import (
    Order,
    Served,
    ServedListener,
    ServedNotebook,
    news,
    served_checkout,
    served_fail,
    served_wait,
    serving,
)


async def test_a_run_is_started_and_waited_for_by_its_call_and_by_its_name(server: Served) -> None:
    async with server.client() as client:
        typed = await client.run(served_checkout(Order("7", 999)), id="a")
        named = await client.run("served_checkout", {"order": {"id": "7", "cents": 1}})
        with pytest.raises(RunFailed, match="no luck"):
            await client.run(served_fail())
        with pytest.raises(DecodingError) as refused:
            await client.run("served_checkout", {"order": {"id": "7", "cents": True}})

    assert (typed, named) == ("charged 999", "charged 1")
    assert "declared int, got bool" in f"{refused.value}"


async def test_a_fork_and_a_retry_are_planned_and_done(server: Served) -> None:
    async with server.client() as client:
        run = await client.start(served_checkout(Order("7", 999)), id="origin")
        await run.result()
        plan = await run.fork_plan("served_charge")
        forked = await run.fork("served_charge", keys="new", signals="copy")
        with pytest.raises(RunFailed):
            await client.run(served_fail(), id="failed")
        again = await client.get("failed").retry_plan()

        assert await forked.result() == "charged 999"
        assert [s.idempotency_key for s in plan.steps] == [f"origin/{plan.steps[0].key}"]
        assert again.run_id == "failed"
        assert (await client.get("failed").info()).status == "failed"


async def test_a_topic_is_published_to_by_itself_and_by_its_name(server: Served) -> None:
    async with server.client() as client:
        listener = client.actor(ServedListener, "l")
        await listener.ask(ServedListener.heard)
        await client.publish(news, Order("typed", 1))
        await client.publish("served_news", {"id": "named", "cents": 1}, dedup="k")
        await client.publish("served_news", {"id": "named", "cents": 1}, dedup="k")
        with pytest.raises(UnknownTopic, match="did you mean 'served_news'"):
            await client.publish("served_new", 1)
        with pytest.raises(DecodingError):
            await client.publish("served_news", {"id": 1})
        await client.publish(news, Order("last", 1))
        async with asyncio.timeout(30):
            heard = ServedListener.heard
            while "last" not in await listener.ask(heard):  # noqa: ASYNC110  # it has no event
                await asyncio.sleep(0.01)

        assert await listener.ask(ServedListener.heard) == ["typed", "named", "last"]


async def handle(_: object) -> None: ...


anything: Handler[object, [], None] = Handler(handle)


async def test_an_actor_is_asked_and_told_by_its_class_and_by_its_name(server: Served) -> None:
    async with server.client() as client:
        ann = client.actor(ServedNotebook, "ann")
        await ann.tell(ServedNotebook.add, "one")
        typed = await ann.ask(ServedNotebook.add, text="two")
        named = await client.actor(ann.id.partition("/")[0], "ann").ask("add", text="three")
        twice = [await ann.options(dedup="k").ask(ServedNotebook.add, "four") for _ in range(2)]
        with pytest.raises(HandlerFailed, match="no luck"):
            await ann.ask(ServedNotebook.fail)
        with pytest.raises(UnknownActor):
            await client.actor(ann.id.partition("/")[0], "ann").ask("nothing")
        with pytest.raises(UsageError, match="given by its name"):
            await client.actor("ServedNotebook", "ann").ask(anything)
        info = await client.actor_info(ServedNotebook, "ann")
        with pytest.raises(DeadLetterNotFound):
            await client.redrive(7)
        with pytest.raises(DeadLetterNotFound):
            await client.discard_dead_letter(7)

    assert (typed, named, twice) == (2, 3, [4, 4])
    assert ann.key == "ann"
    assert info.id == ann.id


async def test_all_runs_of_a_query_are_cancelled_if_they_are_as_many_as_were_seen(
    server: Served,
) -> None:
    query = "status:waiting,running,pending workflow:served_wait"
    async with server.client() as client:
        runs = [await client.start(served_wait(), id=f"w{number}") for number in range(3)]
        seen = await client.count(query)
        with pytest.raises(ServerRefused, match="nothing was changed") as refused:
            await client.bulk("cancel", query, expected=30)
        done = await client.bulk("terminate", query, expected=seen, reason="enough")
        ends = {f"{(await run.why())}" for run in runs}
        with pytest.raises(QueryError):
            await client.bulk("cancel", "status:nothing", expected=0)

    assert (seen, refused.value.kind) == (3, "count-changed")
    assert (done.done, done.failed) == (3, ())
    assert all("enough" in end for end in ends)


async def test_a_server_that_signed_itself_is_trusted_by_its_certificate(tmp_path: Path) -> None:
    tls = self_signed(tmp_path)
    async with serving(tmp_path, tls=tls) as server:
        url = f"https://127.0.0.1:{server.port}"
        async with Client(url, token=server.token) as strange:
            with pytest.raises(StoreUnavailable, match="--ca-file") as refused:
                await strange.count()
        async with Client(url, token=server.token, ca_file=tls.certificate) as client:
            count = await client.count()
        by_option = await _counted(server, url, "--ca-file", f"{tls.certificate}")
        by_variable = await _counted(server, url, OUTLAST_CA_FILE=f"{tls.certificate}")
        neither = await _counted(server, url)

    assert "self-signed" in f"{refused.value}".replace("self signed", "self-signed")
    assert count == 0
    assert (by_option, by_variable) == ((0, "[]\n"), (0, "[]\n"))
    assert neither[0] == 4


async def _counted(server: Served, url: str, *options: str, **variables: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "outlast", "ls", "--json", "--url", url, *options),
        env={"OUTLAST_TOKEN": server.token, "PYTHONPATH": ":".join(sys.path), **variables},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    return process.returncode or 0, out.decode()


async def test_a_ca_file_that_cannot_be_used_is_said_at_once(tmp_path: Path) -> None:
    (tmp_path / "empty.pem").touch()
    for name in ("none.pem", "empty.pem"):
        with pytest.raises(UsageError, match="cannot be used to check the server"):
            Client("https://127.0.0.1:1", ca_file=tmp_path / name)
    with pytest.raises(UsageError, match="only to https"):
        Client("http://127.0.0.1:1", ca_file=tmp_path / "none.pem")


async def test_a_client_that_is_closed_says_so_at_each_verb(server: Served) -> None:
    async with server.client() as client:
        run = await client.start(served_checkout(Order("7", 999)), id="r")
        assert await run.result() == "charged 999"
    calls: dict[str, Callable[[], Awaitable[object]]] = {
        "start": lambda: client.start("served_wait"),
        "run": lambda: client.run("served_wait"),
        "runs": lambda: anext(aiter(client.runs())),
        "count": client.count,
        "tokens": lambda: anext(aiter(client.tokens())),
        "approve": lambda: client.approve("t"),
        "dead_letters": lambda: anext(aiter(client.dead_letters())),
        "publish": lambda: client.publish("news", "x"),
        "diff": lambda: client.diff("a", "b"),
        "result": run.result,
        "info": run.info,
        "why": run.why,
        "cancel": run.cancel,
        "signal": lambda: run.signal("go"),
        "journal": lambda: anext(aiter(run.journal())),
        "stream": lambda: anext(aiter(run.stream("s"))),
        "update": lambda: run.update("u"),
    }

    told: dict[str, str] = {}
    for name, call in calls.items():
        with pytest.raises(EngineClosed) as refused:
            await asyncio.wait_for(call(), 30)
        told[name] = f"{refused.value}"

    assert {text.partition(":")[0] for text in told.values()} == {"this client of http"}
    async with client:
        assert await client.get("r").why()


async def test_text_with_a_lone_surrogate_is_refused_before_it_is_sent(server: Served) -> None:
    bad = "a\ud800"
    async with server.client() as client:
        calls: list[Callable[[], Awaitable[object]]] = [
            lambda: client.start("served_wait", id=bad),
            lambda: client.start(bad),
            lambda: client.start("served_wait", attributes={"k": bad}),
            lambda: client.get("r").signal(bad),
            lambda: client.get("r").signal("go", bad),
            lambda: client.get("r").signal("go", dedup=bad),
            lambda: client.get("r").cancel(bad),
            lambda: client.get(bad).info(),
            lambda: client.get("r").read(bad),
            lambda: client.get("r").update(bad),
            lambda: client.approve(bad),
            lambda: client.approve("t", reason=bad),
            lambda: client.diff(bad, "r"),
            lambda: client.count(bad),
            lambda: anext(aiter(client.runs(bad))),
            lambda: client.ask_actor(bad, "k", "h", {}),
        ]
        for call in calls:
            with pytest.raises((UsageError, EncodingError)):
                await call()


async def test_a_client_asks_again_when_nothing_was_done(
    server: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    admission = server.service.admission
    real, refused = admission.place, list[int]()

    def place(holders: Sequence[str] = ()) -> AbstractAsyncContextManager[None]:
        if len(refused) < 2:
            refused.append(1)
            raise Problem(429, "overloaded", "too many requests are in work; nothing was changed")
        return real(holders)

    monkeypatch.setattr(admission, "place", place)
    async with server.client() as client:
        run = await client.start("tests.unit.wire.served.served_wait", id="again")

    assert (run.created, len(refused)) == (True, 2)


async def test_only_an_approval_is_approved(server: Served) -> None:
    await server.request("POST", "/v1/workflows/served_token/runs", {"id": "t"})
    async with server.client() as client:
        found = [info async for info in client.tokens()]
        while not found:
            found = [info async for info in client.tokens()]
        with pytest.raises(UsageError, match="not an approval"):
            await client.approve(found[0].id)


async def test_dead_letters_are_listed_by_the_client(server: Served) -> None:
    async with server.client() as client:
        assert [letter async for letter in client.dead_letters()] == []


async def test_what_is_no_json_is_refused_before_it_is_sent(server: Served) -> None:
    name = "tests.unit.wire.served.served_wait"
    async with server.client() as client:
        with pytest.raises(UsageError, match=r"mapping of the workflow's parameters, not \[1\]"):
            await client.start(name, cast("dict[str, object]", [1]))
        with pytest.raises(UsageError, match="cannot be sent as JSON"):
            await client.start(name, {"value": object()})
