"""External actions on the server, and actors by name, type and status."""

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
    served,
    settled,
    shows,
    text_of,
    until_seen,
)

MANY = 700  # more than a page of the audit log
KEYS = ("alice", "alicia", "bob")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, chromium: Browser) -> Iterator[Server]:
    built()
    with served(tmp_path_factory.mktemp("served")) as found:
        for key in KEYS:
            found.ask(f"/v1/actors/app.Notebook/{key}/add", {"text": "x"})
        found.ask("/v1/actors/app.Notebook/bob/stop", {})
        found.start("parent", "parent-1", order_id="7")
        until(lambda: found.run("parent-1")["status"] == "waiting")
        for n in range(MANY):
            found.ask("/v1/runs/parent-1/pause", {"reason": f"pause {n}"})
        found.ask("/v1/runs/parent-1/resume", {"reason": f"enough {TURNING}"})
        yield found


def rows(page: Page) -> int:
    return page.locator(".audit-row:not(.head)").count()


def choose(page: Page, label: str, value: str) -> None:
    """Choose an option of the select in a label."""
    page.evaluate(
        "([label, value]) => { const it = [...document.querySelectorAll('label.choice')]"
        ".find((each) => each.textContent.startsWith(label)).querySelector('select');"
        " it.value = value; it.dispatchEvent(new Event('change', { bubbles: true })) }",
        [label, value],
    )


def test_the_audit_log_tells_callers_actions_targets_and_reasons(seat: Seat) -> None:
    page = seat.open("#/audit")
    shows(page, "enough")
    settled(page)
    seat.shot(page, "audit")

    text = text_of(page)
    for part in ("resume", "pause", "parent-1", "admin", f"pause {MANY - 1}"):
        assert part in text, part
    assert page.evaluate("window.hit") is None
    page.get_by_label("Filter actions").fill("pause 650")
    until_seen(page, lambda: rows(page) == 1)
    page.locator(".audit-row a").first.click()
    until_seen(page, lambda: "#/runs/parent-1" in page.url)


def test_earlier_actions_are_read_as_they_come_into_sight(seat: Seat) -> None:
    page = seat.open("#/audit")
    shows(page, "enough")
    assert rows(page) < 120
    list_ = page.locator(".rows")
    for _ in range(4):
        list_.press("End")
        settled(page)
    shows(page, "Notebook alice")


def test_new_actions_appear_without_a_reload(seat: Seat) -> None:
    page = seat.open("#/audit")
    shows(page, "enough")
    tag = uuid4().hex
    seat.server.start("quick", f"quick-{tag}", n=1)
    seat.server.ask("/v1/runs/parent-1/pause", {"reason": f"now {tag}"})
    seat.server.ask("/v1/runs/parent-1/resume", {"reason": ""})
    shows(page, f"now {tag}")


def test_only_an_admin_reads_the_whole_log(seat: Seat) -> None:
    page = seat.open()
    refused = {"type": "/problems/role-missing", "title": "Forbidden", "status": 403, "detail": "-"}
    page.route(re.compile(r"/v1/audit"), lambda route: route.fulfill(json=refused, status=403))
    seat.go(page, "#/audit")
    shows(page, "The audit log needs the role admin")


def test_an_audit_log_that_cannot_be_read_can_be_tried_again(seat: Seat) -> None:
    page = seat.open()
    page.route(re.compile(r"/v1/audit"), lambda route: route.abort())
    seat.go(page, "#/audit")
    shows(page, "The server is not responding")
    page.unroute(re.compile(r"/v1/audit"))
    page.get_by_role("button", name="Try again").click()
    shows(page, "enough")


def test_actors_are_filtered_by_status_type_and_words(seat: Seat) -> None:
    page = seat.open("#/actors")
    links = page.locator(".actor-row a")
    until_seen(page, lambda: links.count() == len(KEYS))
    choose(page, "Status", "completed")
    until_seen(page, lambda: links.count() == 1)
    assert "bob" in text_of(page)
    seat.shot(page, "actors-by-status")
    choose(page, "Status", "")
    choose(page, "Type", "app.Notebook")
    page.get_by_label("Filter actors").fill("ali")
    until_seen(page, lambda: links.count() == 2)
    page.reload()
    until_seen(page, lambda: links.count() == 2)
    page.get_by_label("Filter actors").fill("status:nothing")
    shows(page, "there is no status 'nothing'")
