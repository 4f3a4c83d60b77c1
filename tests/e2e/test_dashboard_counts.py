"""Numbers that agree with each other, and lists that follow what happens."""

from __future__ import annotations

import re
from collections.abc import Iterator
from uuid import uuid4

import msgspec
import pytest

from tests.e2e.commands import until
from tests.e2e.dashboards import (
    Browser,
    Page,
    Seat,
    Server,
    built,
    served,
    text_of,
    until_seen,
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, chromium: Browser) -> Iterator[Server]:
    built()
    with served(tmp_path_factory.mktemp("served")) as found:
        yield found


def spoil(server: Server) -> str:
    """Have a dead letter, and return what it says."""
    key = uuid4().hex
    server.ask(f"/v1/actors/app.Notebook/{key}/spoil?mode=tell", {"text": f"milk of {key}"})
    return f"milk of {key} is spoilt"


def dead_numbers(server: Server) -> list[int]:
    found = msgspec.convert(
        server.ask("/v1/dead-letters?limit=1000")["dead_letters"], list[dict[str, object]]
    )
    return [msgspec.convert(each["number"], int) for each in found]


def test_a_letter_that_fails_again_comes_back_to_the_list(seat: Seat) -> None:
    text = spoil(seat.server)
    page = seat.open("#/actors?tab=dead")
    until_seen(page, lambda: page.locator(".feed-live").count() == 1)
    until_seen(page, lambda: text in text_of(page))
    last = dead_numbers(seat.server)[-1]
    page.get_by_role("button", name=f"Redrive message {last}", exact=True).click()
    page.locator(".notice").get_by_text("If it fails again, it returns").wait_for()
    until(lambda: max(dead_numbers(seat.server), default=0) > last)
    again = dead_numbers(seat.server)[-1]
    page.get_by_role("button", name=f"Redrive message {again}", exact=True).wait_for()
    seat.shot(page, "redriven")

    assert page.get_by_role("button", name=f"Redrive message {last}", exact=True).count() == 0


HEARS_NAN = """
() => {
  window.sawNaN = false
  const look = () => { window.sawNaN ||= document.body.innerText.includes('NaN') }
  const all = { subtree: true, childList: true, characterData: true }
  new MutationObserver(look).observe(document.body, all)
}
"""


def waiting(page: Page) -> tuple[int, list[int]]:
    """Return how many wait for a person, and of what kinds they are."""
    figure = page.locator(".figure").last
    total = int(figure.locator(".figure-value").inner_text())
    return total, [
        int(it) for it in re.findall(r"\d+", figure.locator(".figure-note").inner_text())
    ]


def test_what_waits_for_a_person_adds_up(seat: Seat) -> None:
    page = seat.open("#/")
    until_seen(page, lambda: page.locator(".feed-live").count() == 1)
    page.evaluate(HEARS_NAN)
    before = waiting(page)[1][0]
    spoil(seat.server)
    seat.server.start("refund", f"refund-{uuid4().hex}", cents=40)
    seat.server.start("parks", f"parks-{uuid4().hex}", text="x")

    def counted() -> bool:
        requests, parked, dead = waiting(page)[1]
        return requests > before and parked > 0 and dead > 0

    until_seen(page, counted)
    seat.shot(page, "waiting")
    total, parts = waiting(page)
    assert total == sum(parts)
    assert "a timer, a message or an answer" in text_of(page)
    assert page.evaluate("window.sawNaN") is False


def number_of(server: Server, error: str) -> int:
    """Return the number of the dead letter with this error, once there is one."""
    found: list[int] = []

    def look() -> bool:
        letters = msgspec.convert(
            server.ask("/v1/dead-letters?limit=1000")["dead_letters"], list[dict[str, object]]
        )
        found[:] = [msgspec.convert(it["number"], int) for it in letters if error in str(it)]
        return bool(found)

    until(look)
    return found[0]


def test_several_letters_are_discarded_with_a_reason(seat: Seat) -> None:
    numbers = [number_of(seat.server, spoil(seat.server)) for _ in range(3)]
    page = seat.open("#/actors?tab=dead")
    for number in numbers[:2]:
        page.get_by_label(f"Select message {number}", exact=True).check()
    seat.shot(page, "dead-letters")
    selected = page.get_by_role("group", name="Selected messages")
    selected.get_by_role("button", name="Discard").click()
    page.locator("dialog[open] input").fill("test orders")
    page.locator("dialog[open]").get_by_role("button", name="Discard 2 messages").click()
    page.locator(".notice").get_by_text("2 messages discarded").wait_for()

    until(lambda: not {*numbers[:2]} & {*dead_numbers(seat.server)})
    assert numbers[2] in dead_numbers(seat.server)
    audit = str(seat.server.ask("/v1/audit"))
    assert "test orders" in audit


def test_letters_are_found_by_their_arguments_and_redriven_together(seat: Seat) -> None:
    errors = [spoil(seat.server) for _ in range(2)]
    numbers = [number_of(seat.server, error) for error in errors]
    page = seat.open("#/actors?tab=dead")
    key = errors[0].split()[2]
    page.get_by_label("Filter dead letters").fill(f"milk of {key}")
    until_seen(page, lambda: page.locator(".letters tbody tr").count() == 1)
    page.locator(".letter-input summary").click()
    page.locator(".letter-input .json-text").get_by_text(f"milk of {key}").wait_for()
    page.get_by_label("Select all").check()
    page.get_by_role("group", name="Selected messages").get_by_role(
        "button", name="Redrive"
    ).click()
    page.locator("dialog[open]").get_by_role("button", name="Redrive 1 message").click()
    page.locator(".notice").get_by_text("1 message sent again").wait_for()

    until(lambda: numbers[0] not in dead_numbers(seat.server))
    assert numbers[1] in dead_numbers(seat.server)
    page.get_by_label("Filter dead letters").fill("no such letter")
    page.get_by_text("No message matches.").wait_for()


def test_a_letter_that_somebody_else_discarded_is_told_and_the_others_are_done(seat: Seat) -> None:
    numbers = [number_of(seat.server, spoil(seat.server)) for _ in range(2)]
    page = seat.open("#/actors?tab=dead")
    for number in numbers:
        page.get_by_label(f"Select message {number}", exact=True).check()
    selected = page.get_by_role("group", name="Selected messages")
    selected.get_by_role("button", name="Discard").click()
    seat.server.ask(f"/v1/dead-letters/{numbers[0]}/discard", {})
    page.locator("dialog[open]").get_by_role("button", name="Discard 2 messages").click()
    page.locator(".notice").get_by_text("Discard: 1 message done, 1 failed").wait_for()
    until(lambda: not {*numbers} & {*dead_numbers(seat.server)})
