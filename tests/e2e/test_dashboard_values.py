"""What is stored is what is shown: characters that nobody sees, and numbers of any size."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.e2e.commands import until
from tests.e2e.dashboards import (
    Browser,
    Seat,
    Server,
    built,
    dialog_button,
    fields_of,
    run_link,
    served,
    settled,
    shows,
    text_of,
)

TURNED = "Pay \u202e00001 €\u2066 to A\u200bnn"
SHOWN = "Pay U+202E00001 €U+2066 to AU+200Bnn"
LARGE = 9_007_199_254_740_993
HUGE = 9_223_372_036_854_775_807


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, chromium: Browser) -> Iterator[Server]:
    built()
    with served(tmp_path_factory.mktemp("served")) as found:
        yield found


# Characters without width, or that turn text, in anything that is seen or read out.
UNSEEN = r"""
() => {
  const hidden = /[\u200b-\u200f\u202a-\u202e\u2060-\u206f\u00ad\ufeff\u{e0000}-\u{e0fff}]/u
  const found = hidden.test(document.title) ? ['title of the page'] : []
  const kinds = NodeFilter.SHOW_ELEMENT | NodeFilter.SHOW_TEXT
  const walker = document.createTreeWalker(document.body, kinds)
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    if (node.nodeType === Node.TEXT_NODE) {
      if (hidden.test(node.data)) found.push('text ' + node.data)
      continue
    }
    for (const name of ['title', 'aria-label', 'placeholder']) {
      const text = node.getAttribute(name) ?? ''
      if (hidden.test(text)) found.push(name + ' ' + text)
    }
  }
  return found
}
"""


def test_no_stored_text_hides_anything_on_any_page(seat: Seat) -> None:
    body = {"id": "turned", "input": {"text": TURNED, "amount": 1}, "attributes": {"note": TURNED}}
    seat.server.ask("/v1/workflows/app.pay/runs", body)
    seat.server.ask(
        "/v1/workflows/app.fails/runs",
        {"id": "turned-fails", "input": {"text": TURNED}, "attributes": {"note": TURNED}},
    )
    seat.server.start("parks", "turned-parks", text=TURNED)
    seat.server.start("digest", "turned-digest", topic=TURNED)
    seat.server.ask("/v1/actors/app.Notebook/turned/add?mode=ask", {"text": TURNED})
    until(lambda: seat.server.run("turned-parks")["status"] == "parked")
    until(lambda: "go_on" in str(seat.server.run("turned-digest")["why"]))
    page = seat.open("#/approvals")
    shows(page, SHOWN)
    seat.shot(page, "turned-approval")
    places = ["#/", "#/runs", "#/approvals", "#/actors/app.Notebook%2Fturned"]
    places += ["#/logs", "#/audit", "#/workflows/app.fails"]
    for run in ("turned", "turned-fails", "turned-parks", "turned-digest"):
        places += [run_link(run) + end for end in ("", "?tab=journal", "?tab=streams", "?at=2")]
    places.append("#/diff?a=turned&b=turned-digest")
    for place in places:
        seat.go(page, place)
        page.locator("main h1").wait_for()
        settled(page)
        assert page.evaluate(UNSEEN) == [], place
    seat.go(page, run_link("turned"))
    shows(page, SHOWN)
    seat.shot(page, "turned-run")
    page.locator(".hidden-character").first.wait_for()
    assert page.evaluate("document.querySelector('.hidden-character').title") == (
        "right-to-left override, U+202E"
    )


def test_a_field_says_what_is_hidden_in_it(seat: Seat) -> None:
    seat.server.start("pay", "field", text=TURNED, amount=1)
    until(lambda: seat.server.run("field")["status"] == "waiting")
    page = seat.open(run_link("field"))
    page.get_by_role("button", name="Fork", exact=True).click()
    page.get_by_label("Change the input").check()
    page.get_by_text("Contains invisible characters").wait_for()
    assert SHOWN in page.locator("dialog").inner_text()


def test_integers_are_shown_as_they_are_stored(seat: Seat) -> None:
    seat.server.start("pay", "large", text="Pay it", amount=LARGE)
    until(lambda: seat.server.run("large")["status"] == "waiting")
    page = seat.open("#/approvals")
    shows(page, f"{LARGE}")
    shows(page, "1.0")
    seat.shot(page, "large-approval")
    for place in (run_link("large"), run_link("large") + "?tab=journal"):
        seat.go(page, place)
        shows(page, f"{LARGE}")
    seat.go(page, "#/diff?a=large&b=large")
    shows(page, f"{LARGE}")
    seat.server.start("order", "attributes", order={"item": "x", "cents": HUGE})
    seat.go(page, run_link("attributes"))
    shows(page, f"{HUGE}")


def test_a_fork_with_another_input_changes_only_what_was_changed(seat: Seat) -> None:
    seat.server.start("pay", "origin", text="Pay it", amount=LARGE, share=1.5)
    until(lambda: seat.server.run("origin")["status"] == "waiting")
    page = seat.open(run_link("origin"))
    page.get_by_role("button", name="Fork", exact=True).click()
    page.get_by_label("Change the input").check()
    page.get_by_label("text", exact=True).fill("Pay it now")
    seat.shot(page, "large-fork")
    dialog_button(page, "Fork")

    until(lambda: page.locator("h1").inner_text() != "origin")
    fork = page.locator("h1").inner_text()
    found = seat.server.run(fork)["input"]
    assert found == {"text": "Pay it now", "amount": LARGE, "share": 1.5}


def test_integers_are_sent_as_they_are_typed(seat: Seat) -> None:
    page = seat.open("#/runs?start=app.pay")
    page.get_by_label("text", exact=True).fill("Pay it")
    page.get_by_label("amount").fill("12e")
    shows_in_dialog = page.locator("dialog").get_by_text("This is not a number.")
    shows_in_dialog.wait_for()
    page.get_by_label("amount").fill(f"{LARGE}")
    dialog_button(page, "Start")
    page.locator(".run-title").wait_for()
    run = page.locator("h1").inner_text()
    until(lambda: seat.server.run(run)["status"] == "waiting")
    assert seat.server.run(run)["input"] == {"text": "Pay it", "amount": LARGE, "share": 1.0}

    seat.server.start("quote", f"quote-{run}", text="x")
    seat.go(page, "#/approvals")
    page.locator("form.answer").locator("input.number, textarea").first.fill(f"{HUGE}")
    page.get_by_role("button", name="Answer", exact=True).first.click()
    until(lambda: seat.server.run(f"quote-{run}")["result"] == HUGE)


def test_of_a_large_value_there_is_the_beginning_and_the_rest_on_request(seat: Seat) -> None:
    text = "begin" + "x" * 300_000 + "the-end"
    seat.server.start("digest", "large-input", topic=text, size=0)
    until(lambda: "go_on" in str(seat.server.run("large-input")["why"]))
    page = seat.open(run_link("large-input"))
    page.get_by_text("Only the beginning of 293 KiB").wait_for()
    assert "the-end" not in text_of(page)
    seat.shot(page, "large-input")

    # A fork is given the whole of it, not the beginning that is shown.
    page.get_by_role("button", name="Fork", exact=True).click()
    page.get_by_label("Change the input").check()
    page.get_by_label("size").fill("1")
    dialog_button(page, "Fork")
    until(lambda: page.locator("h1").inner_text() != "large-input")
    fork = page.locator("h1").inner_text()
    record = seat.server.ask(f"/v1/runs/{fork}/journal/1")
    assert fields_of(fields_of(record["value"])["input"]) == {"topic": text, "size": 1}

    seat.go(page, run_link("large-input"))
    page.get_by_role("button", name="Load all").click()
    page.locator(".run-side .json-text button").click()
    until(lambda: "the-end" in text_of(page))


NESTED = {
    "lines": [{"sku": f"sku-{n}", "cents": LARGE + n, "odd name": [TURNED]} for n in range(110)],
    "customer": {"name": "Ada", "tags": ["a", "b"]},
}

SAVING = """
() => {
  const make = URL.createObjectURL
  URL.createObjectURL = (blob) => {
    blob.text().then((text) => { window.saved = text })
    return make.call(URL, blob)
  }
  HTMLAnchorElement.prototype.click = function () { window.savedAs = this.download }
}
"""


@pytest.fixture(scope="module")
def nested(server: Server) -> str:
    server.ask("/v1/workflows/app.keeps/runs", {"id": "nested", "input": {"value": NESTED}})
    until(lambda: server.run("nested")["status"] == "completed")
    return run_link("nested")


def test_a_value_is_searched_in_names_and_values(seat: Seat, nested: str) -> None:
    page = seat.open(nested)
    page.get_by_role("button", name="Search the input").click()
    search = page.get_by_label("Text to find in the input")
    search.fill("SKU-109")
    shows(page, "1 match")
    seat.shot(page, "json-search")

    side = page.locator(".run-side .json").first
    assert "sku-109" in side.inner_text()  # it is the last of 110, and 100 are shown at once
    assert "sku-108" not in side.inner_text()
    assert side.locator("mark").count() == 1
    search.fill("customer")
    until(lambda: "Ada" in side.inner_text())  # below a name that matches all is shown
    search.fill("nowhere")
    shows(page, "No matches")
    search.press("Escape")
    until(lambda: "110 items" in side.inner_text())
    assert search.count() == 0


def test_a_value_is_shown_as_text_and_downloaded_exactly(seat: Seat, nested: str) -> None:
    page = seat.open(nested)
    page.get_by_role("button", name="Show the input as text").click()
    until(lambda: f'"cents": {LARGE + 109}' in page.locator(".run-side .json pre").inner_text())
    page.evaluate(SAVING)
    page.get_by_role("button", name="Download the input").click()
    until(lambda: page.evaluate("window.saved") is not None)

    assert page.evaluate("window.savedAs") == "input.json"
    assert json.loads(str(page.evaluate("window.saved"))) == {"value": NESTED}


def test_the_path_of_a_part_is_copied(seat: Seat, nested: str) -> None:
    page = seat.open(nested)
    page.get_by_role("button", name="Search the input").click()
    page.get_by_label("Text to find in the input").fill("sku-7")
    button = page.get_by_role("button", name="Copy the path $.value.lines[7].sku", exact=True)
    button.press("Enter")
    until(lambda: "Copied" in button.inner_text())
