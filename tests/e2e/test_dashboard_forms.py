"""Forms: what they ask for, what they refuse, and where the keyboard goes on."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest

from tests.e2e.commands import until
from tests.e2e.dashboards import (
    Browser,
    Page,
    Seat,
    Server,
    built,
    dialog_button,
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
        yield found


def start_form(seat: Seat, workflow: str) -> Page:
    page = seat.open(f"#/runs?start=app.{workflow}")
    page.locator("dialog[open] fieldset").first.wait_for()
    settled(page)
    return page


def can_start(page: Page) -> bool:
    return page.locator("dialog[open] button[type=submit]:enabled").count() == 1


def test_an_empty_text_is_only_sent_when_it_is_meant(seat: Seat) -> None:
    page = start_form(seat, "digest")
    dialog = page.locator("dialog[open]")
    dialog.get_by_text("topic is required").wait_for()
    seat.shot(page, "empty-text")
    assert not can_start(page)

    dialog.get_by_label("empty text").check()
    until_seen(page, lambda: can_start(page))
    dialog.get_by_label("topic").first.fill("x")
    until_seen(page, lambda: dialog.get_by_label("empty text").count() == 0)
    dialog.get_by_label("topic").first.fill("")
    dialog.get_by_text("topic is required").wait_for()


def test_a_fault_that_the_server_finds_is_told_at_its_field(seat: Seat) -> None:
    page = start_form(seat, "parcel")
    dialog = page.locator("dialog[open]")
    dialog.get_by_label("code").first.fill("x")
    dialog.get_by_role("button", name="Add").click()
    dialog.get_by_text("labels item 1 is required").wait_for()
    assert not can_start(page)
    dialog.get_by_label("item 1", exact=True).fill("fragile")
    dialog_button(page, "Start")
    fault = dialog.locator(".labelled > .field-fault")
    fault.wait_for()
    seat.shot(page, "fault-at-field")

    assert "3" in fault.inner_text()
    dialog.get_by_label("code").first.fill("x-1")
    dialog_button(page, "Start")
    shows(page, "x-1:['fragile']")


def test_a_delay_that_is_none_is_told_at_delay(seat: Seat) -> None:
    page = start_form(seat, "quick")
    dialog = page.locator("dialog[open]")
    dialog.get_by_label("n", exact=True).fill("1")
    dialog.get_by_text("Id, attributes, delay").click()
    dialog.get_by_label("Delay").fill("soon")
    dialog_button(page, "Start")
    fault = dialog.locator(".labelled:has(#start-delay) .field-fault")
    fault.wait_for()
    seat.shot(page, "delay")

    assert "is not a duration" in fault.inner_text()
    assert dialog.locator("fieldset .field-fault").count() == 0


def test_a_parameter_has_its_own_name_and_its_items_are_counted_as_they_are_shown(
    seat: Seat,
) -> None:
    page = start_form(seat, "ships")
    dialog = page.locator("dialog[open]")
    for _ in range(2):
        dialog.get_by_role("button", name="Add").click()
    dialog.get_by_text("lines item 2: cents is required").wait_for()
    chosen = "document.querySelector('dialog[open] select:not(#start-workflow)').value"
    seat.shot(page, "parameters")

    assert dialog.get_by_label("pace").count() == 1
    assert dialog.get_by_text("Speed", exact=True).count() == 0
    assert page.evaluate(chosen) == "1", "the default is shown"


def test_a_question_has_the_form_of_its_type_and_the_focus_goes_on(seat: Seat) -> None:
    run = f"decided-{uuid4().hex}"
    seat.server.start("decided", run, text="x")
    until(lambda: seat.server.run(run)["asks"] != [])
    page = seat.open(run_link(run))
    page.get_by_role("link", name="Answer").click()
    page.get_by_label("amount").fill("7")
    page.get_by_label("approved").check()
    page.get_by_label("note").fill("fine")
    assert "Asks for" in text_of(page)
    seat.shot(page, "question")
    page.get_by_role("button", name="Answer").click()
    until_seen(page, lambda: "answered" in text_of(page))

    assert seat.server.run(run)["result"] == "True 7 fine"
    assert page.evaluate("document.activeElement.tagName") == "H1"


def test_a_dead_letter_shows_what_it_brought(seat: Seat) -> None:
    key = uuid4().hex
    seat.server.ask(f"/v1/actors/app.Notebook/{key}/spoil?mode=tell", {"text": f"milk of {key}"})
    page = seat.open("#/actors?tab=dead")
    until_seen(page, lambda: f"milk of {key} is spoilt" in text_of(page))
    seat.shot(page, "dead-letter")

    row = page.locator(".letter-input").last
    assert f"milk of {key}" in row.inner_text()


SPILLS = """
() => { const it = document.querySelector('dialog[open]'); return it.scrollWidth - it.clientWidth }
"""


def test_no_dialog_is_wider_than_its_screen(seat: Seat) -> None:
    run = f"digest-{uuid4().hex}"
    seat.server.start("digest", run, topic="a topic with quite a long name, longer than a phone")
    until(lambda: "go_on" in str(seat.server.run(run)["why"]))
    page = seat.open(run_link(run))
    for verb in ("Fork", "Signal", "Cancel", "Compare"):
        page.get_by_role("group", name="Actions").get_by_role("button", name=verb).click()
        page.locator("dialog[open]").wait_for()
        settled(page)
        seat.shot(page, f"dialog-{verb.lower()}")
        assert page.evaluate(SPILLS) == 0, verb
        page.keyboard.press("Escape")
        page.locator("dialog[open]").wait_for(state="detached")


def test_who_has_no_token_is_told_where_it_is(seat: Seat) -> None:
    page = seat.context.new_page()
    page.goto(seat.server.url + "/")
    page.get_by_label("Token").wait_for()
    seat.shot(page, "where-the-token-is")

    text = page.locator("main").inner_text()
    assert "head -1 .outlast/token" in text
    assert "outlast token add" in text
