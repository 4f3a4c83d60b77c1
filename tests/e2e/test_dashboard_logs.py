"""The log of one run, and of all: found, followed, and never all of it in the document."""

from __future__ import annotations

import re
from collections.abc import Iterator
from uuid import uuid4

import pytest

from tests.e2e.commands import until
from tests.e2e.dashboards import (
    TURNING,
    Browser,
    Page,
    Seat,
    Server,
    built,
    run_link,
    served,
    settled,
    shows,
    text_of,
)

MANY = 10_000
LOGGED = ("many-1", "logs-1", "logs-2")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, chromium: Browser) -> Iterator[Server]:
    built()
    with served(tmp_path_factory.mktemp("served")) as found:
        found.start("logs", "many-1", text="many", count=MANY)
        found.start("logs", "logs-1", text="first")
        found.start("logs", "logs-2", text=f"second {TURNING}")
        found.start("quick", "silent-1", n=1)
        until(lambda: all(found.run(run)["status"] == "completed" for run in LOGGED))
        yield found


def rows_of(page: Page) -> int:
    return page.locator(".log-row:not(.head)").count()


def test_a_run_has_its_own_log_lines_and_no_others(seat: Seat) -> None:
    page = seat.open(run_link("logs-1") + "?tab=logs")
    shows(page, "first line 2")
    seat.shot(page, "run-logs")

    text = text_of(page)
    assert "first begins" in text
    assert "second" not in text
    assert "5 lines" in text


def test_a_line_opens_with_its_traceback(seat: Seat) -> None:
    page = seat.open(run_link("logs-1") + "?tab=logs")
    page.locator(".log-row").get_by_text("first is cut off").wait_for()
    page.locator(".log-row:not(.head) button").last.press("Enter")

    detail = page.get_by_role("region", name="Log line")
    detail.wait_for()
    until(lambda: "in says" in detail.inner_text())
    assert "ConnectionError: no line for first" in detail.inner_text()
    seat.shot(page, "log-line")
    detail.get_by_role("button", name="Close the line").click()
    until(lambda: detail.count() == 0)


def test_lines_are_searched_and_filtered_by_level(seat: Seat) -> None:
    page = seat.open(run_link("logs-1") + "?tab=logs")
    shows(page, "5 lines")
    page.get_by_label("Search logs").fill("first LINE 1")
    shows(page, "1 of 5 lines")
    page.get_by_label("Search logs").fill("")
    page.evaluate(
        "() => { const it = document.querySelector('.logs select'); it.value = 'error';"
        " it.dispatchEvent(new Event('change', { bubbles: true })) }"
    )
    shows(page, "1 of 5 lines")
    assert "first is cut off" in text_of(page)


def test_a_run_that_logged_nothing_says_so(seat: Seat) -> None:
    page = seat.open(run_link("silent-1") + "?tab=logs")
    shows(page, "No log lines")


def test_ten_thousand_lines_are_read_and_few_are_in_the_document(seat: Seat) -> None:
    page = seat.open(run_link("many-1") + "?tab=logs")
    shows(page, f"{MANY + 2:,} lines")
    settled(page)
    assert 0 < rows_of(page) < 120


def test_the_log_of_all_follows_its_end_until_it_is_scrolled_up(seat: Seat) -> None:
    tag = uuid4().hex[:8]
    page = seat.open("#/logs")
    page.get_by_role("button", name="Following").wait_for()
    seat.server.start("logs", f"{tag}-1", text=f"live-{tag}", count=1)
    shows(page, f"live-{tag} is cut off")
    seat.shot(page, "logs")

    page.locator(".logs .rows").press("Home")
    page.get_by_role("button", name=re.compile("^Follow$")).wait_for()
    seat.server.start("logs", f"{tag}-2", text=f"more-{tag}", count=1)
    page.get_by_label("Search logs").fill(f"more-{tag}")
    shows(page, f"more-{tag} is cut off")
    page.get_by_label("Search logs").fill("")
    until(lambda: f"more-{tag}" not in text_of(page))
    page.get_by_role("button", name=re.compile("^Follow$")).click()
    shows(page, f"more-{tag} is cut off")


def test_earlier_lines_come_on_request(seat: Seat) -> None:
    page = seat.open("#/logs")
    page.get_by_role("button", name="Load earlier lines").click()
    page.get_by_label("Search logs").fill("many line 0")
    while "many line 0" not in text_of(page):
        page.get_by_role("button", name="Load earlier lines").click()
        settled(page)


def test_markup_and_hidden_characters_in_lines_are_text(seat: Seat) -> None:
    page = seat.open(run_link("logs-2") + "?tab=logs")
    shows(page, "second")
    settled(page)
    assert page.evaluate("window.hit") is None
    assert page.locator(".hidden-character").count() > 0


def test_a_server_without_a_log_says_so(seat: Seat) -> None:
    page = seat.open()
    missing = {"type": "/problems/not-found", "title": "Not found", "status": 404, "detail": ""}
    page.route(re.compile(r"/v1/logs"), lambda route: route.fulfill(json=missing, status=404))
    seat.go(page, "#/logs")
    shows(page, "This server does not support a log")


def test_a_log_goes_on_when_the_server_is_back(seat: Seat) -> None:
    page = seat.open("#/logs")
    page.get_by_role("button", name="Following").wait_for()
    page.route(re.compile(r"/v1/logs"), lambda route: route.abort())
    shows(page, "The server is not responding")
    page.unroute(re.compile(r"/v1/logs"))
    until(lambda: "The server is not responding" not in text_of(page))
