"""The live feed: every change once it is there, or the word to read again."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest

from outlast import limits
from outlast._wire.live import feed
from outlast._wire.live.feed import FeedClient
from outlast.errors import StoreUnavailable
from tests.unit.wire.live.test_runstreams import Event, parsed
from tests.unit.wire.served import Served


class Listener:
    """A client of the feed in the same process."""

    def __init__(self, client: FeedClient) -> None:
        self._pieces = client.pieces()
        self.events: list[Event] = []
        self._unheard: list[Event] = []

    async def until(self, kind: str, run: str = "", status: str = "") -> Event:
        """Return the next event that tells this."""
        async with asyncio.timeout(30):
            while True:
                while self._unheard:  # a piece may hold several events
                    event = self._unheard.pop(0)
                    self.events.append(event)
                    if event.kind == kind and (not run or self._tells(event, run, status)):
                        return event
                self._unheard = list(parsed((await anext(self._pieces)).decode()))

    @staticmethod
    def _tells(event: Event, run: str, status: str) -> bool:
        runs = msgspec.convert(event.data["runs"], list[dict[str, object]])
        return any(r["id"] == run and r["status"] == status for r in runs)


async def test_a_run_is_told_from_its_start_to_its_end(server: Served) -> None:
    listener = Listener(server.service.feed.open(""))
    hello = await listener.until("hello")
    body = {"input": {"count": 2, "waits": True}, "id": "s"}
    await server.request("POST", "/v1/workflows/served_story/runs", body)
    await listener.until("runs", "s", "waiting")
    await server.request("POST", "/v1/runs/s/signals/served_go", {"value": "x"})
    await listener.until("runs", "s", "completed")
    overview = await listener.until("overview")

    assert hello.data["epoch"] == server.service.feed.epoch
    assert "counts" in overview.data
    numbers = [msgspec.convert(e.data["seq"], int) for e in listener.events[1:]]
    assert numbers == sorted(set(numbers))


async def test_who_was_away_goes_on_behind_the_last_event(server: Served) -> None:
    stays = Listener(server.service.feed.open(""))
    first = Listener(server.service.feed.open(""))
    await stays.until("hello")
    await first.until("hello")
    await server.request("POST", "/v1/workflows/served_wait/runs", {"id": "a"})
    last = await first.until("runs", "a", "waiting")
    await server.request("POST", "/v1/workflows/served_wait/runs", {"id": "b"})
    await stays.until("runs", "b", "waiting")

    again = Listener(server.service.feed.open(last.id))
    await again.until("runs", "b", "waiting")

    assert "hello" not in [event.kind for event in again.events]


@pytest.mark.parametrize("last_id", ["unknown-3", "x", "-", "unknown-99999999999999999999"])
async def test_an_id_of_another_server_begins_anew(server: Served, last_id: str) -> None:
    listener = Listener(server.service.feed.open(last_id))
    await listener.until("hello")


async def test_who_is_too_far_behind_is_told_to_read_again(
    server: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed = server.service.feed
    stays = Listener(feed.open(""))
    hello = await stays.until("hello")
    for number in range(limits.FEED_EVENTS_MAX + 5):
        feed.tell("actors", {"ids": [f"{number}"]})

    late = Listener(feed.open(hello.id))
    await late.until("reset")


async def test_nothing_is_gathered_while_nobody_listens(server: Served) -> None:
    feed = server.service.feed
    await server.request("POST", "/v1/workflows/served_wait/runs", {"id": "a"})
    await server.request("GET", "/v1/runs/a/result?timeout=0")
    assert feed.ring.end == 0
    assert feed.clients == 0


async def test_figures_are_told_in_three_forms(server: Served) -> None:
    body = {"input": {"order": {"id": "1", "cents": 5}}, "id": "f"}
    await server.request("POST", "/v1/workflows/served_checkout/runs", body)
    await server.request("GET", "/v1/runs/f/result")

    overview = (await server.request("GET", "/v1/overview")).json()
    history = (await server.request("GET", "/v1/history")).json()
    metrics = (await server.request("GET", "/metrics")).body.decode()

    assert overview["counts"] == {"completed": 1}
    latency = overview["latency"]
    assert latency["step"]["p50"] > 0
    assert history["step_seconds"] == limits.HISTORY_SECONDS
    assert "outlast_steps_executed_total 1\n" in metrics
    assert 'outlast_step_seconds_bucket{le="+Inf"} 1' in metrics


async def test_a_log_is_given_page_by_page_where_one_is_kept(
    server: Served, tmp_path: Path
) -> None:
    none = await server.request("GET", "/v1/logs")
    assert (none.status, none.json()["type"]) == (404, "/problems/not-found")

    file = tmp_path / "log"
    line = '{"at": "2026-03-01T12:00:00Z", "level": "info", "logger": "x", "message": "%s"}\n'
    file.write_text(line % "a" + line % "b")
    server.service.log_file = file
    first = (await server.request("GET", "/v1/logs?limit=1")).json()
    assert ([one["message"] for one in first["lines"]], first["has_more"]) == (["a"], True)
    second = (await server.request("GET", f"/v1/logs?after={first['next']}")).json()
    assert ([one["message"] for one in second["lines"]], second["has_more"]) == (["b"], False)
    last = (await server.request("GET", "/v1/logs?tail=end&limit=1")).json()
    assert ([one["message"] for one in last["lines"]], last["has_more"]) == (["b"], True)
    earlier = (await server.request("GET", f"/v1/logs?tail={last['previous']}")).json()
    assert ([one["message"] for one in earlier["lines"]], earlier["has_more"]) == (["a"], False)
    later = (await server.request("GET", "/v1/logs?since=2026-03-01T12:00:01Z")).json()
    assert (later["lines"], later["has_more"]) == ([], False)
    for query in ("after=here", "tail=here", "since=soon", "tail=end&since=1h"):
        odd = await server.request("GET", f"/v1/logs?{query}")
        assert (odd.status, odd.json()["type"]) == (422, "/problems/query-error"), query


async def test_every_actor_that_changed_is_told(
    server: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "_RUNS_MAX", 2)
    listener = Listener(server.service.feed.open(""))
    await listener.until("hello")
    keys = [f"k{number}" for number in range(7)]
    for key in keys:
        await server.request("POST", f"/v1/actors/ServedNotebook/{key}/add", {"text": "x"})

    told: set[str] = set()
    while len(told) < len(keys):
        ids = (await listener.until("actors")).data["ids"]
        told |= {f"{actor}".rpartition("/")[2] for actor in ids}
    assert told == set(keys)


async def test_the_overview_is_told_again_when_the_store_is_back(
    server: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = server.service.core.store
    count_dead, is_away = store.count_dead, True

    async def counted() -> int:
        if is_away:
            raise StoreUnavailable("the disk is away")
        return await count_dead()

    monkeypatch.setattr(store, "count_dead", counted)
    listener = Listener(server.service.feed.open(""))
    await listener.until("hello")
    await asyncio.sleep(1.2)
    is_away = False
    assert (await listener.until("overview")).data["dead_letters"] == 0
