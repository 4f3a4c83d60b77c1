"""The dashboard in a real browser, on a real server."""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Iterator
from datetime import UTC, datetime

import msgspec
import pytest

from tests.e2e.commands import until
from tests.e2e.dashboards import (
    HOSTILE,
    TURNING,
    Browser,
    Page,
    Route,
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
    until_live,
    until_seen,
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, chromium: Browser) -> Iterator[Server]:
    built()
    with served(tmp_path_factory.mktemp("served")) as found:
        yield found


@pytest.fixture
def seat(chromium: Browser, server: Server) -> Iterator[Seat]:
    made = Seat(chromium, server)
    yield made
    made.context.close()
    assert made.complaints == []


def test_a_wrong_token_is_refused_and_the_right_one_typed_opens_the_page(seat: Seat) -> None:
    page = seat.context.new_page()
    page.goto(seat.server.url + "/")
    page.get_by_label("Token").fill("nonsense")
    page.get_by_role("button", name="Sign in").click()
    page.get_by_text("Invalid API token").wait_for()
    seat.shot(page, "sign-in")
    page.get_by_label("Token").fill(seat.server.token)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("navigation", name="Main").wait_for()

    page.get_by_role("button", name="Sign out").click()
    page.get_by_label("Token").wait_for()
    assert page.evaluate("sessionStorage.length") == 0


def test_a_run_is_started_from_a_form_and_watched_live(seat: Seat) -> None:
    page = seat.open()
    page.keyboard.press("n")
    page.get_by_label("Workflow").wait_for()
    page.locator("#start-workflow").press("d")
    page.evaluate(
        "() => { const it = document.querySelector('#start-workflow');"
        " it.value = 'app.digest'; it.dispatchEvent(new Event('change', {bubbles: true})) }"
    )
    page.get_by_label("topic", exact=True).fill("live")
    page.get_by_text("Id, attributes, delay").click()
    page.get_by_label("Id", exact=True).fill("live-1")
    seat.shot(page, "start")
    dialog_button(page, "Start")

    shows(page, "waiting for signal 'go_on'")
    shows(page, "app.flaky")
    assert page.locator(".attempts").inner_text().endswith("2"), "both attempts are counted"
    seat.shot(page, "run-waiting")
    page.get_by_role("button", name="Signal").click()
    page.locator("#signal-name").wait_for()
    assert chosen(page, "#signal-name") == "go_on", "the run waits for it"
    page.get_by_label("Value", exact=True).fill("!")
    dialog_button(page, "Send")
    until(lambda: page.locator(".run-title .status").inner_text() == "completed")
    shows(page, "live!")


def chosen(page: Page, selector: str) -> object:
    return page.evaluate("(selector) => document.querySelector(selector).value", selector)


def test_a_signal_is_filled_in_by_its_declared_type(seat: Seat) -> None:
    seat.server.start("decides", "decides-1", text="x")
    until(lambda: "decision" in str(seat.server.run("decides-1")["why"]))
    page = seat.open(run_link("decides-1"))
    page.get_by_role("button", name="Signal").click()
    page.get_by_label("amount").fill("no number")
    page.get_by_text("amount is required").wait_for()
    assert page.locator("button:disabled").get_by_text("Send", exact=True).count() == 1
    page.get_by_label("amount").fill("9007199254740993")
    page.get_by_label("approved").check()
    page.get_by_label("note").fill("as agreed")
    seat.shot(page, "signal")
    dialog_button(page, "Send")

    until(lambda: seat.server.run("decides-1")["status"] == "completed")
    assert seat.server.run("decides-1")["result"] == "True 9007199254740993 as agreed"


def test_a_signal_of_another_name_is_json(seat: Seat) -> None:
    seat.server.start("decides", "decides-2", text="x")
    until(lambda: "decision" in str(seat.server.run("decides-2")["why"]))
    page = seat.open(run_link("decides-2"))
    page.get_by_role("button", name="Signal").click()
    page.locator("#signal-name").press("End")
    page.get_by_label("Other name").fill("later")
    page.get_by_label("Value, as JSON").fill('{"n": 1.0}')
    seat.shot(page, "signal-other")
    dialog_button(page, "Send")
    page.locator("dialog").wait_for(state="detached")

    page.get_by_role("tab", name="Journal").click()
    shows(page, "later")
    assert seat.server.run("decides-2")["status"] == "waiting"


def test_the_inspector_shows_a_record_that_a_link_names(seat: Seat) -> None:
    seat.server.start("digest", "inspect-1", topic="deep")
    until(lambda: "go_on" in str(seat.server.run("inspect-1")["why"]))
    page = seat.open(run_link("inspect-1"))
    page.get_by_role("button", name="app.flaky").click()

    shows(page, "2 records of this")
    assert "at=" in page.url
    seat.shot(page, "inspector")
    other = seat.open(page.url.split("/", 3)[3])
    shows(other, "ConnectionError: deep")

    page.get_by_role("tab", name="Journal").click()
    shows(page, "attempt_failed")
    seat.shot(page, "journal")
    page.get_by_role("tab", name="Streams and values").click()
    shows(page, "deep-0 ")
    shows(page, "0.5")
    seat.shot(page, "streams")


def test_what_a_failed_attempt_wrote_is_struck_out_while_one_reads(seat: Seat) -> None:
    seat.server.start("writes", "writes-1", text="writes")
    page = seat.open(run_link("writes-1") + "?tab=streams")
    shows(page, "lost")
    assert page.locator(".stream s").count() == 0

    (seat.server.directory / "may-fail").touch()
    shows(page, "kept")
    assert page.locator(".stream s").inner_text().strip() == "lost"
    shows(page, "1 value retracted")
    seat.shot(page, "retracted")


def test_a_run_is_cancelled_only_after_a_question(seat: Seat) -> None:
    seat.server.start("digest", "cancel-1", topic="cancel")
    page = seat.open(run_link("cancel-1"))
    page.get_by_role("button", name="Cancel").click()
    assert seat.server.run("cancel-1")["status"] != "cancelled"
    dialog_button(page, "Keep running")
    page.get_by_role("button", name="Cancel").click()
    page.get_by_label("Reason").fill("enough")
    dialog_button(page, "Cancel")

    until(lambda: seat.server.run("cancel-1")["status"] == "cancelled")
    until(lambda: page.locator(".run-title .status").inner_text() == "cancelled")


def test_a_run_is_forked_from_a_step_with_another_input(seat: Seat) -> None:
    seat.server.needs("/v1/runs/{id}/fork")
    seat.server.start("digest", "fork-1", topic="before")
    until(lambda: "go_on" in str(seat.server.run("fork-1")["why"]))
    page = seat.open(run_link("fork-1"))
    page.get_by_role("button", name="Fork").click()
    page.get_by_label("Change the input").check()
    page.get_by_label("topic", exact=True).fill("changed")
    page.get_by_label("Reason").fill("another topic")
    seat.shot(page, "fork")
    dialog_button(page, "Fork")

    until(lambda: page.locator("h1").inner_text() != "fork-1")
    assert reasons_of(seat.server, page.locator("h1").inner_text()) == ["another topic"]
    shows(page, "changed")
    page.get_by_role("button", name="Compare").click()
    seat.shot(page, "compare")
    dialog_button(page, "Compare")
    shows(page, "First difference: record")
    seat.shot(page, "diff")


def test_an_approval_is_given_and_the_second_hears_who_was_first(seat: Seat) -> None:
    seat.server.needs("/v1/approvals")
    seat.server.start("refund", "refund-1", cents=40)
    page, late = seat.open("#/approvals"), seat.open("#/approvals")
    shows(page, "Refund 40?")
    shows(late, "Refund 40?")
    shows(page, "1 open")
    seat.shot(page, "approvals")
    # The one who is late has not heard of it: as when both click at the same moment.
    late.route(re.compile(r"/v1/approvals"), lambda route: route.abort())
    page.get_by_role("button", name="Approve").click()
    until(lambda: seat.server.run("refund-1")["status"] == "completed")
    assert seat.server.run("refund-1")["result"] is True

    late.get_by_role("button", name="Reject").click()
    until(lambda: "Already answered by" in text_of(late))
    shows(page, "Nothing to approve")


def test_a_token_is_answered_from_the_form_of_its_type(seat: Seat) -> None:
    seat.server.needs("/v1/approvals")
    seat.server.start("quote", "quote-1", text="x")
    page = seat.open("#/approvals")
    # A number has a field of its own; what the server describes by no schema is given as JSON.
    page.locator("form.answer").locator("input.number, textarea").fill("7")
    page.get_by_role("button", name="Answer").click()

    until(lambda: seat.server.run("quote-1")["result"] == 7)


def test_the_filter_is_in_the_address_and_completes(seat: Seat) -> None:
    seat.server.start("fails", "filter-1", text="first reason")
    seat.server.start("quick", "filter-2", n=1)
    until(lambda: seat.server.run("filter-1")["status"] == "failed")
    page = seat.open("#/runs")
    page.keyboard.press("/")
    page.locator("main input:focus").wait_for()
    page.keyboard.type("id:filter- status:fai")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")

    shows(page, "first reason")
    until(lambda: "filter-2" not in text_of(page))
    assert "status%3Afailed" in page.url
    seat.shot(page, "runs-filtered")
    page.get_by_role("button", name="Save this view").click()
    page.get_by_label("Name").fill("My failures")
    dialog_button(page, "Save")
    seat.go(page, "#/runs")
    page.get_by_role("link", name="My failures").click()
    shows(page, "first reason")


def test_new_runs_wait_behind_a_pill_and_rows_do_not_jump(seat: Seat) -> None:
    seat.server.start("quick", "pill-1", n=1)
    page = seat.open("#/runs?query=id:pill-")
    shows(page, "pill-1")
    until_live(page)
    seat.server.start("quick", "pill-2", n=2)
    page.get_by_role("button", name=re.compile("1 new run")).wait_for()
    assert "pill-2" not in text_of(page)
    page.get_by_role("button", name=re.compile("1 new run")).click()
    shows(page, "pill-2")


def test_a_bulk_action_shows_how_many_and_does_it(seat: Seat) -> None:
    seat.server.needs("/v1/bulk")
    for number in range(3):
        seat.server.start("digest", f"bulk-{number}", topic=f"bulk{number}")
    page = seat.open("#/runs?query=id:bulk-")
    page.get_by_role("group", name="Bulk actions").get_by_role("button", name="Terminate").click()
    page.get_by_label("Reason").fill("sent twice")
    seat.shot(page, "bulk")
    dialog_button(page, "Terminate 3 runs")

    until(lambda: all(seat.server.run(f"bulk-{n}")["status"] == "terminated" for n in range(3)))
    assert [reasons_of(seat.server, f"bulk-{n}") for n in range(3)] == [["sent twice", ""]] * 3


def reasons_of(server: Server, run: str) -> list[str]:
    """Return why what was done to a run was done, last first."""
    rows = msgspec.convert(server.ask(f"/v1/audit?run={run}")["audit"], list[dict[str, object]])
    return [str(row["reason"]) for row in rows]


def test_marked_runs_are_paused_and_cancelled_with_a_reason(seat: Seat) -> None:
    for number in range(2):
        seat.server.start("digest", f"marked-{number}", topic=f"marked{number}")
    page = seat.open("#/runs?query=id:marked-")
    page.get_by_label("Mark marked-0").check()
    bulk = page.get_by_role("group", name="Bulk actions")
    bulk.get_by_role("button", name="Pause").click()
    page.get_by_label("Reason").fill("a bad deploy")
    dialog_button(page, "Pause 1 run")
    until(lambda: seat.server.run("marked-0")["status"] == "paused")
    page.get_by_label("Mark marked-0").check()
    bulk.get_by_role("button", name="Cancel").click()
    page.get_by_label("Reason").fill("not wanted")
    dialog_button(page, "Cancel 1 run")

    until(lambda: seat.server.run("marked-0")["status"] == "cancelled")
    assert reasons_of(seat.server, "marked-0") == ["not wanted", "a bad deploy", ""]
    assert seat.server.run("marked-1")["status"] == "waiting"


def test_hostile_strings_are_only_ever_text(seat: Seat) -> None:
    body = {"id": HOSTILE, "input": {"text": TURNING}, "attributes": {"note": TURNING}}
    seat.server.ask("/v1/workflows/app.fails/runs", body)
    seat.server.start("digest", HOSTILE + "2", topic=TURNING)
    seat.server.start("parks", HOSTILE + "3", text=TURNING)
    until(lambda: seat.server.run(HOSTILE + "3")["status"] == "parked")
    page = seat.open()
    places = ["#/", "#/runs", run_link(HOSTILE), run_link(HOSTILE + "2"), run_link(HOSTILE + "3")]
    places += [
        run_link(HOSTILE + "2") + f"?tab={tab}" for tab in ("journal", "streams", "children")
    ]
    places += [
        run_link(HOSTILE + "2") + "?at=3",
        "#/approvals",
        "#/actors",
        "#/logs",
        "#/audit",
        "#/workflows",
        "#/runs?query=" + HOSTILE,
    ]
    for place in places:
        seat.go(page, place)
        settled(page)
        assert page.evaluate("window.hit") is None, place
        assert page.locator("main img, main script").count() == 0, place
    seat.go(page, run_link(HOSTILE))
    shows(page, HOSTILE)
    seat.shot(page, "hostile")


def test_ten_tabs_read_one_feed_and_another_takes_over(seat: Seat) -> None:
    first = seat.open("#/runs?query=id:tabs-")
    others = [seat.open("#/runs?query=id:tabs-", signed_in=False) for _ in range(9)]
    for page in [first, *others]:
        until_live(page)
    assert sum("/v1/events" in url for url in seat.requests) == 1

    first.close()
    until_seen(others[0], lambda: sum("/v1/events" in url for url in seat.requests) == 2)
    for page in others:
        shows(page, "No matching runs")
    seat.server.start("quick", "tabs-1", n=1)
    for page in others:
        page.get_by_role("button", name=re.compile("1 new run")).wait_for()
    assert sum("/v1/events" in url for url in seat.requests) == 2


def test_a_server_that_is_away_is_told_of_and_found_again(seat: Seat) -> None:
    page = seat.open("#/runs")
    until_live(page)
    away = re.compile(r"/v1/")
    page.route(away, lambda route: route.abort())
    page.reload()
    page.get_by_text("The server is not responding.").first.wait_for()
    seat.shot(page, "offline")
    page.unroute(away)
    page.get_by_role("button", name="Retry now").click()
    until_live(page)
    # Who is signed in was not known without the server; now it is, and what they may do.
    page.locator("button:enabled").get_by_text("Start a run").wait_for()


def test_keys_lead_everywhere(seat: Seat) -> None:
    seat.server.start("quick", "keys-1", n=1)
    page = seat.open()
    for key, title in (
        ("r", "Runs"),
        ("p", "Approvals"),
        ("a", "Actors"),
        ("m", "Metrics"),
        ("h", "Home"),
    ):
        page.keyboard.press("g")
        page.keyboard.press(key)
        page.get_by_role("heading", name=title, exact=True).first.wait_for()
        seat.shot(page, f"view-{title.lower()}")
    page.keyboard.press("?")
    page.get_by_role("dialog", name="Keyboard").wait_for()
    page.keyboard.press("Escape")
    page.keyboard.press("Control+k")
    page.get_by_role("dialog", name="Go to").locator("input:focus").wait_for()
    page.keyboard.type("keys-1")
    page.keyboard.press("Enter")
    until(lambda: page.locator("h1").inner_text() == "keys-1")
    seat.go(page, "#/runs?query=id:keys-")
    page.locator(".run-row a").wait_for()
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    until(lambda: page.locator("h1").inner_text() == "keys-1")


# How many pixels of each plot have the colour of its line: all else in it is grey.
COLOURED = """
() => Object.fromEntries([...document.querySelectorAll('.plot')].map((plot) => {
  const canvas = plot.querySelector('canvas')
  const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height)
  let count = 0
  for (let at = 0; at < data.length; at += 4) {
    if (data[at + 3] > 200 && data[at + 2] - data[at] > 60) count += 1
  }
  return [plot.querySelector('figcaption span').textContent, count]
}))
"""


def test_a_sample_with_none_beside_it_is_a_dot(seat: Seat) -> None:
    series: dict[str, list[float | None]] = {
        "steps": [None] * 12,
        "step_p99": [None, None, 0.2, None, None, None, None, 0.1, None, None, None, None],
        "commit_p99": [None] * 11 + [0.004],
        "loop_lag_p99": [0.001],
        "memory_bytes": [5e7] * 12,
    }
    history: dict[str, object] = {
        "step_seconds": 300,
        "until": datetime.now(UTC).isoformat(),
        "series": series,
        "models": [],
        "models_seconds": 0,
    }
    page = seat.open()
    page.route(re.compile("/v1/history"), lambda route: route.fulfill(json=history))
    seat.go(page, "#/metrics")
    page.locator(".plot canvas").first.wait_for()
    seat.shot(page, "lone-samples")

    found = msgspec.convert(page.evaluate(COLOURED), dict[str, int])
    assert found["Steps"] == 0
    assert found["Commit, p99"] > 10
    assert found["Step, p99"] > 1.5 * found["Commit, p99"], "two dots"
    assert found["Loop lag, p99"] > 10
    assert found["Memory"] > 100


TOTAL = 100_000


def hundred_thousand(route: Route) -> None:
    """Answer as a server with very many runs: what is tested is the list, not the store."""
    asked = dict(urllib.parse.parse_qsl(route.request.url.partition("?")[2]))
    if "/count" in route.request.url:
        route.fulfill(json={"count": TOTAL, "is_exact": True})
        return
    first, limit = int(asked.get("after", "0")), int(asked.get("limit", "100"))
    runs = [
        {
            "id": f"many-{number}", "workflow": "app.quick", "version": "1", "status": "completed",
            "created_at": "2026-01-01T00:00:00Z", "started_at": "2026-01-01T00:00:00Z",
            "closed_at": "2026-01-01T00:00:01Z", "wake_at": None, "parent": None, "error": None,
            "attributes": {"customer": number}, "steps": 1, "crash_count": 0,
        }
        for number in range(first, min(TOTAL, first + limit))
    ]  # fmt: skip
    last = first + limit
    route.fulfill(json={"runs": runs, "next": str(last) if last < TOTAL else None})


SCROLL = """
async () => {
  const box = document.querySelector('.rows')
  const frames = []
  let last = performance.now()
  for (let n = 0; n < 60; n += 1) {
    box.scrollTop += 900
    await new Promise((done) => requestAnimationFrame(done))
    const now = performance.now()
    frames.push(now - last)
    last = now
  }
  frames.sort((a, b) => a - b)
  return { median: frames[30], rows: document.querySelectorAll('.run-row').length }
}
"""


def test_a_hundred_thousand_runs_scroll(seat: Seat) -> None:
    page = seat.open()
    page.route(re.compile(r"/v1/(runs\?|count)"), hundred_thousand)
    seat.go(page, "#/runs")
    shows(page, "100,000")
    shows(page, "many-0")

    found = fields_of(page.evaluate(SCROLL))
    assert int(str(found["rows"])) < 120
    # A frame of few rows takes milliseconds, one of all rows would take seconds.
    assert float(str(found["median"])) < 250
    page.evaluate(
        "() => { const box = document.querySelector('.rows'); box.scrollTop = box.scrollHeight }"
    )
    page.get_by_text("many-99999", exact=True).wait_for(timeout=60_000)
    seat.shot(page, "runs-end")
