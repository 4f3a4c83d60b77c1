"""What the pages count: over a chosen time, by workflow and error, and a page per workflow."""

from __future__ import annotations

import re
from collections.abc import Iterator
from uuid import uuid4

import msgspec
import pytest

from tests.e2e.commands import until
from tests.e2e.dashboards import (
    Browser,
    Seat,
    Server,
    built,
    served,
    settled,
    shows,
    text_of,
    until_seen,
)

TIMES = "\N{MULTIPLICATION SIGN}"
RUNS = ["buy-1", "buy-2", "parent-1", *(f"quick-{n}" for n in range(4))]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, chromium: Browser) -> Iterator[Server]:
    built()
    with served(tmp_path_factory.mktemp("served")) as found:
        found.start("buy", "buy-1", order_id="7")
        found.start("buy", "buy-2", order_id="8")
        found.start("parent", "parent-1", order_id="7")
        for n in range(4):
            found.start("quick", f"quick-{n}", n=n)
        found.start("logs", "logs-1", text="a")
        until(lambda: "waiting" in str(found.run("parent-1")["status"]))
        until(lambda: all(found.run(run)["status"] != "running" for run in RUNS))
        until(lambda: found.run("logs-1")["status"] == "completed")
        yield found


def test_failures_are_grouped_by_workflow_and_error(seat: Seat) -> None:
    page = seat.open("#/")
    page.locator(".failure-groups li").first.wait_for()
    settled(page)
    seat.shot(page, "home")

    groups = page.locator(".failure-groups li")
    assert groups.count() == 1
    assert f"2{TIMES}" in groups.inner_text()
    assert "no answer for" in groups.inner_text()
    assert "buy" in groups.inner_text()
    page.get_by_role("link", name=f"2{TIMES}").click()
    until_seen(page, lambda: page.locator(".run-row:not(.head)").count() == 2)


def test_the_time_that_is_counted_is_chosen_and_kept(seat: Seat) -> None:
    page = seat.open("#/")
    shows(page, "Started, last hour")
    page.get_by_role("button", name="24 h").click()
    shows(page, "Started, last 24 hours")
    page.reload()
    shows(page, "Started, last 24 hours")
    assert any("since%3A1d" in url for url in seat.requests if "/v1/statistics" in url)

    seat.go(page, "#/workflows")
    page.locator(".workflows").wait_for()
    assert page.locator("[aria-pressed=true]").inner_text() == "24 h"


def test_what_happens_is_counted_without_a_reload(seat: Seat) -> None:
    page = seat.open("#/")
    page.locator(".feed").wait_for(state="attached")
    figure = page.get_by_role("link", name=re.compile("Started, last hour"))
    value = figure.locator(".figure-value")
    until_seen(page, lambda: value.inner_text().isdigit())
    before = int(value.inner_text())
    seat.server.start("quick", f"more-{uuid4().hex}", n=1)
    until_seen(page, lambda: int(value.inner_text()) > before)


def test_all_workflows_are_listed_those_that_failed_first(seat: Seat) -> None:
    page = seat.open("#/workflows")
    page.locator(".workflows tbody tr").first.wait_for()
    settled(page)
    seat.shot(page, "workflows")

    names = [line for line in text_of(page).splitlines() if line in ("buy", "quick", "refund")]
    assert names[0] == "buy"
    assert {"buy", "quick", "refund"} <= set(names)
    assert "none in the last hour" in text_of(page)  # of those that have not run
    page.get_by_role("link", name="quick", exact=True).click()
    shows(page, "Success rate")


def test_a_workflow_has_a_page_with_its_rate_steps_versions_and_runs(seat: Seat) -> None:
    page = seat.open("#/workflows/app.buy")
    page.locator(".flow-box").first.wait_for()
    settled(page)
    seat.shot(page, "workflow")

    text = text_of(page)
    for part in (
        "0 %",
        "receipt",
        "charge",
        "failed attempts in all",
        "current",
        "buy-2",
        "no answer",
    ):
        assert part in text, part
    assert "older code" not in text
    assert page.locator(".flow > li").count() == 2  # the receipt first, then the charge


def test_open_runs_on_older_code_are_told(seat: Seat) -> None:
    page = seat.open("#/")
    run = seat.server.run("parent-1")
    known = msgspec.convert(seat.server.ask("/v1/workflows")["workflows"], list[dict[str, object]])
    newer = [it | {"version": "new"} if it["name"] == run["workflow"] else it for it in known]
    page.route(
        re.compile(r"/v1/workflows$"), lambda route: route.fulfill(json={"workflows": newer})
    )
    seat.go(page, f"#/workflows/{run['workflow']}")
    shows(page, "1 open run is on older code.")


def test_a_workflow_that_does_not_exist_says_so(seat: Seat) -> None:
    page = seat.open("#/workflows/app.nothing")
    shows(page, "Workflow not found")
    seat.go(page, "#/workflows/%22%20status%3A")
    shows(page, "Workflow not found")


def test_a_page_without_statistics_says_why_and_can_try_again(seat: Seat) -> None:
    page = seat.open("#/")
    page.route(re.compile(r"/v1/statistics"), lambda route: route.abort())
    seat.go(page, "#/workflows")
    shows(page, "The server is not responding")
    page.unroute(re.compile(r"/v1/statistics"))
    page.get_by_role("button", name="Try again").click()
    page.locator(".workflows tbody tr").first.wait_for()


def test_a_name_of_markup_is_text(seat: Seat) -> None:
    page = seat.open("#/workflows/<img src=x onerror=window.hit=1>")
    shows(page, "Workflow not found")
    assert page.evaluate("window.hit") is None


def test_the_palette_and_keys_lead_to_workflows_and_logs(seat: Seat) -> None:
    page = seat.open("#/")
    page.keyboard.press("g")
    page.keyboard.press("w")
    shows(page, "Workflows")
    page.keyboard.press("Control+k")
    page.keyboard.type("Workflow app.quick")
    page.keyboard.press("Enter")
    until_seen(page, lambda: "workflows/app.quick" in page.url)
    page.keyboard.press("g")
    page.keyboard.press("l")
    shows(page, "Logs")


def test_a_list_of_runs_is_narrowed_to_a_time_with_one_click(seat: Seat) -> None:
    page = seat.open("#/runs?query=status:failed")
    created = page.get_by_role("group", name="Created")
    created.get_by_role("button", name="24 h").click()
    until_seen(page, lambda: "since%3A1d+status%3Afailed" in page.url)
    until_seen(page, lambda: created.locator("[aria-pressed=true]").inner_text() == "24 h")
    until_seen(page, lambda: page.locator(".run-row:not(.head)").count() == 2)
    created.get_by_role("button", name="Any time").click()
    until_seen(page, lambda: "since" not in page.url)
