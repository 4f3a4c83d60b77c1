"""Finding things: the palette, queries, what can be done with many, pages that do not exist."""

from __future__ import annotations

import re
from collections.abc import Iterator
from uuid import uuid4

import msgspec
import pytest

from tests.e2e.commands import until
from tests.e2e.dashboards import (
    NARROW,
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
    until_seen,
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, chromium: Browser) -> Iterator[Server]:
    built()
    with served(tmp_path_factory.mktemp("served")) as found:
        found.start("fails", "find-failed", text="the Route is closed")
        found.start("quick", "find-quick", n=1)
        found.start("digest", "find-open", topic="seen")
        found.ask("/v1/actors/app.Notebook/alice/add?mode=ask", {"text": "hello"})
        until(lambda: found.run("find-failed")["status"] == "failed")
        until(lambda: "go_on" in str(found.run("find-open")["why"]))
        yield found


def palette(page: Page, typed: str) -> None:
    page.keyboard.press("Control+k")
    page.get_by_role("dialog", name="Go to").locator("input:focus").wait_for()
    page.keyboard.type(typed)
    until(lambda: "Searching" not in page.locator("dialog").inner_text())


def test_the_palette_finds_what_exists_by_any_of_its_words(seat: Seat) -> None:
    page = seat.open()
    for typed, found in (
        ("find-q", "find-quick"),
        ("route closed", "find-failed"),
        ("app.digest find", "find-open"),
        ("app.Notebook/alice", "app.Notebook/alice"),
    ):
        palette(page, typed)
        page.locator("[role=option]").get_by_text(found, exact=True).wait_for()
        seat.shot(page, "palette")
        page.keyboard.press("Escape")
    palette(page, "no-such-thing")
    page.get_by_text("No results.").wait_for()
    assert page.locator("[role=option]").count() == 0
    page.keyboard.press("Escape")

    palette(page, "find-failed")
    page.keyboard.press("Enter")
    until(lambda: page.locator("h1").inner_text() == "find-failed")
    # The keyboard goes on where the new page begins.
    assert page.evaluate("document.activeElement.id") == "main"


def test_a_wrong_query_is_told_of_once_and_where_it_is(seat: Seat) -> None:
    page = seat.open("#/runs?query=status:nothing")
    page.get_by_text("there is no status 'nothing'").first.wait_for()
    seat.shot(page, "wrong-query")

    assert text_of(page).count("no status") == 1
    assert page.locator(".query input[aria-invalid=true]").count() == 1
    page.locator(".query input").fill("status:failed route")
    page.keyboard.press("Enter")
    shows(page, "find-failed")
    assert "no status" not in text_of(page)


def test_a_wrong_query_is_sent_once(seat: Seat) -> None:
    page = seat.open("#/runs")
    page.locator(".feed-live").wait_for(state="attached")
    shows(page, "find-failed")
    settled(page)
    page.locator(".query input").fill("status:nothing")
    page.keyboard.press("Enter")
    page.get_by_text("there is no status 'nothing'").first.wait_for()
    settled(page)

    assert len([url for url in seat.requests if "nothing" in url]) == 1


def test_a_query_that_finds_nothing_says_what_it_was_taken_for(seat: Seat) -> None:
    page = seat.open("#/runs?query=statuss:failed")
    shows(page, "Did you mean status:failed?")
    seat.shot(page, "slip")
    seat.go(page, "#/runs?query=total:%3E5")
    shows(page, "tested for equality")


def test_every_way_to_end_is_one_click_away(seat: Seat) -> None:
    page = seat.open("#/runs")
    chips = page.get_by_role("group", name="Status")
    for name in ("timed out", "cancelled", "terminated"):
        chips.get_by_role("button", name=name).click()
        query = f"status%3A{name.replace(' ', '_')}"
        until_seen(page, lambda: query in page.url)  # noqa: B023  # called in this turn
    seat.shot(page, "chips")


def test_only_verbs_that_fit_are_offered(seat: Seat) -> None:
    page = seat.open("#/runs?query=id:find-")
    bulk = page.get_by_role("group", name="Bulk actions")

    def verbs() -> list[str]:
        names = ("Pause", "Resume", "Retry", "Cancel", "Terminate")
        return [name for name in names if bulk.get_by_role("button", name=name).count()]

    shows(page, "find-quick")
    until(lambda: verbs() == ["Pause", "Retry", "Cancel", "Terminate"])
    page.get_by_label("Mark find-failed").check()
    until(lambda: verbs() == ["Retry"])
    page.get_by_label("Mark find-open").check()
    until(lambda: verbs() == ["Pause", "Retry", "Cancel", "Terminate"])
    seat.go(page, "#/runs?query=id:find- status:completed")
    bulk.get_by_text("no action applies").wait_for()


@pytest.mark.parametrize("name", ["constructor", "__proto__", "toString", "nothing"])
def test_a_page_that_does_not_exist_says_so(seat: Seat, name: str) -> None:
    page = seat.open(f"#/{name}")
    page.get_by_role("heading", name="Page not found").wait_for()


def test_an_idle_actor_is_idle(seat: Seat) -> None:
    page = seat.open("#/actors")
    until(lambda: re.search(r"idle\s+app.Notebook/alice", text_of(page)) is not None)
    seat.go(page, "#/actors/app.Notebook%2Falice")
    until(lambda: page.locator(".run-title .status").inner_text() == "idle")


def test_a_new_page_has_the_focus_and_the_first_one_begins_at_the_top(seat: Seat) -> None:
    page = seat.open()
    assert page.evaluate("document.activeElement === document.body") is True
    page.get_by_role("navigation", name="Main").get_by_role("link", name="Actors").press("Enter")
    page.get_by_role("heading", name="Actors").wait_for()
    until(lambda: page.evaluate("document.activeElement.id") == "main")
    seat.go(page, run_link("find-quick"))
    page.locator(".run-title").wait_for()
    until(lambda: page.evaluate("document.activeElement.id") == "main")
    # A page that has its own place to begin with keeps it.
    page.keyboard.press("/")
    page.locator(".query input:focus").wait_for()


def test_a_second_click_does_not_answer_the_request_that_moved_under_it(seat: Seat) -> None:
    seat.server.needs("/v1/approvals")
    tag = uuid4().hex[:6]
    for number in range(4):
        seat.server.start("refund", f"moved-{tag}-{number}", cents=40)
    page = seat.open("#/approvals")
    shows(page, f"moved-{tag}-0")
    shows(page, f"moved-{tag}-3")
    before = int(text_of(page).partition(" open")[0].split()[-1])
    button = "[...document.querySelectorAll('button')].find(b => b.textContent.includes('Approve'))"
    place = page.evaluate(f"(() => {{ const r = {button}.getBoundingClientRect(); "
                          "return [r.x + r.width / 2, r.y + r.height / 2] })()")  # fmt: skip
    x, y = msgspec.convert(place, tuple[float, float])
    page.mouse.click(x, y)
    until_seen(page, lambda: f"{before - 1} open" in text_of(page))
    page.mouse.click(x, y)  # at once, where the next one is now
    page.wait_for_timeout(300)
    assert f"{before - 1} open" in text_of(page)

    page.get_by_role("button", name="Approve").first.click()  # when it may be pressed again
    until_seen(page, lambda: f"{before - 2} open" in text_of(page))


def test_an_actor_is_found_by_a_part_of_its_name(seat: Seat) -> None:
    page = seat.open()
    palette(page, "notebook ALI")
    page.locator("[role=option]").get_by_text("app.Notebook/alice", exact=True).click()
    until(lambda: page.locator("h1").inner_text() == "app.Notebook/alice")

    seat.go(page, "#/actors")
    page.get_by_label("Filter actors").fill("lic")
    until_seen(page, lambda: page.locator(".actor-row a").count() == 1)
    seat.shot(page, "actors-filtered")
    assert "1 actor" in text_of(page)
    page.get_by_label("Filter actors").fill("nobody")
    until_seen(page, lambda: page.locator(".actor-row a").count() == 0)
    page.get_by_role("button", name="Show all actors").click()
    until_seen(page, lambda: page.locator(".actor-row a").count() > 0)


def test_every_status_has_a_chip(seat: Seat) -> None:
    page = seat.open("#/runs")
    chips = page.get_by_role("group", name="Status")
    for status in ("pending", "paused"):
        chips.get_by_role("button", name=status, exact=True).click()
        query = f"status%3A{status}"
        until_seen(page, lambda: query in page.url)  # noqa: B023  # called in this turn


def test_a_run_in_the_list_says_what_it_is_and_what_went_wrong_on_a_phone_too(
    chromium: Browser, server: Server
) -> None:
    seat = Seat(chromium, server, "phone-", viewport=NARROW)
    page = seat.open("#/runs?query=id:find-failed")
    row = page.locator(".run-row:not(.head)").first
    row.get_by_text("fails", exact=True).wait_for()
    row.get_by_text("Route is closed").wait_for()
    seat.shot(page, "list")
    seat.context.close()


def test_a_name_that_is_its_role_is_shown_once(seat: Seat) -> None:
    page = seat.open()
    who = seat.server.ask("/v1/session")
    assert who["name"] == who["role"] == "admin"
    until_seen(page, lambda: page.evaluate(WHO) == "admin")


WHO = "document.querySelector('.who').textContent.trim()"
