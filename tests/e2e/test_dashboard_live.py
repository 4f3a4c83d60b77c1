"""What a page says of the server while it is gone, and of what went on meanwhile."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.e2e.commands import until
from tests.e2e.dashboards import (
    Browser,
    Page,
    Seat,
    Server,
    built,
    run_link,
    served,
    shows,
    until_seen,
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, chromium: Browser) -> Iterator[Server]:
    built()
    with served(tmp_path_factory.mktemp("served")) as found:
        start: dict[str, object] = {"id": "out", "input": {}, "timeout": 0.01}
        found.ask("/v1/workflows/app.runs_out/runs", start)
        until(lambda: found.run("out")["status"] == "timed_out")
        yield found


@pytest.fixture
def talking(server: Server, request: pytest.FixtureRequest) -> str:
    name = re.sub(r"\W", "-", f"talks-{request.node.name}")
    server.start("talks", name, count=300)
    until(lambda: "go_on" in str(server.run(name)["why"]))
    return name


TO_END = "() => { const it = document.querySelector('.stream-box'); return %s }"
LEFT = TO_END % "it.scrollHeight - it.scrollTop - it.clientHeight"


def left(page: Page) -> float:
    return float(str(page.evaluate(LEFT)))


def test_a_live_stream_is_shown_from_its_end_and_followed(seat: Seat, talking: str) -> None:
    page = seat.open(run_link(talking) + "?tab=streams")
    shows(page, "line 299")
    until_seen(page, lambda: left(page) < 2)
    seat.server.ask(f"/v1/runs/{talking}/signals/go_on", {"value": "!"})
    shows(page, "600 values")
    until_seen(page, lambda: left(page) < 2)
    seat.shot(page, "stream-end")


def test_who_scrolled_up_stays_there_until_they_ask_to_follow(seat: Seat, talking: str) -> None:
    page = seat.open(run_link(talking) + "?tab=streams")
    shows(page, "line 299")
    until_seen(page, lambda: left(page) < 2)
    page.evaluate(TO_END % "it.scrollTop = 40")
    follow = page.get_by_role("button", name="Follow")
    follow.wait_for()
    seat.server.ask(f"/v1/runs/{talking}/signals/go_on", {"value": "!"})
    shows(page, "600 values")
    assert page.evaluate(TO_END % "it.scrollTop") == 40

    follow.click()
    until_seen(page, lambda: left(page) < 2)


def test_a_stream_whose_server_is_gone_does_not_say_that_it_is_live(
    chromium: Browser, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with served(tmp_path_factory.mktemp("gone")) as server:
        server.start("talks", "gone", count=3)
        until(lambda: "go_on" in str(server.run("gone")["why"]))
        seat = Seat(chromium, server)
        page = seat.open(run_link("gone") + "?tab=streams")
        mark = page.locator(".stream .live-mark")
        until_seen(page, lambda: mark.inner_text().strip() == "live")
    until_seen(page, lambda: "reconnecting" in mark.inner_text())
    seat.shot(page, "gone")
    seat.context.close()


def test_what_ran_out_of_time_is_not_counted_as_failed(seat: Seat) -> None:
    page = seat.open()
    figure = page.locator(".figure").get_by_text("timed out")
    figure.wait_for()
    seat.shot(page, "home")

    text = page.locator("[aria-label='Runs']").inner_text()
    assert re.search(r"Failed, last hour\s+0\s+1 timed out", text), text


def test_a_person_who_ends_a_run_is_told_that_it_can_be_retried(seat: Seat, talking: str) -> None:
    page = seat.open(run_link(talking))
    for verb in ("Cancel", "Terminate"):
        page.get_by_role("group", name="Actions").get_by_role("button", name=verb).click()
        dialog = page.locator("dialog[open]")
        dialog.wait_for()
        assert "You can retry it later" in dialog.inner_text()
        page.keyboard.press("Escape")
        dialog.wait_for(state="detached")


def test_an_answer_to_anything_ends_the_wait_for_the_feed(seat: Seat) -> None:
    page = seat.open("#/runs")
    until_seen(page, lambda: page.locator(".feed-live").count() == 1)
    page.route(re.compile(r"/v1/events"), lambda route: route.abort())
    page.reload()
    banner = page.locator(".banner")
    # After some failures the pauses are long enough to tell who ended one.
    until_seen(page, lambda: re.search(r"in [678] s", banner.inner_text()) is not None)
    page.unroute(re.compile(r"/v1/events"))
    seat.go(page, "#/actors")
    banner.wait_for(state="detached", timeout=3_000)
    assert page.locator(".feed-live").count() == 1
