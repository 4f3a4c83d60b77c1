"""The page of one run: where it failed, what its steps were given, when what happened."""

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
    dialog_button,
    fields_of,
    run_link,
    served,
    settled,
    text_of,
    until_seen,
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, chromium: Browser) -> Iterator[Server]:
    built()
    with served(tmp_path_factory.mktemp("served")) as found:
        found.start("buy", "buy-1", order_id="7")
        found.start("digest", "digest-1", topic="seen")
        found.start("parent", "parent-1", order_id="7")
        found.start("sleeps", "sleeps-1", seconds=3_000)
        found.start("family", "family-1", order_id="7")
        found.start("reports", "reports-1", text="Order 7")
        found.start("works", "works-1", text="a")
        found.start("troubled", "troubled-1", text="troubled-1")
        found.start("troubled", "troubled-2", text="troubled-2")
        until(lambda: "'parked'" in str(found.run("troubled-1")["children"]))
        until(lambda: found.run("troubled-2")["asks"] != [])
        until(lambda: found.run("buy-1")["status"] == "failed")
        until(lambda: "go_on" in str(found.run("digest-1")["why"]))
        yield found


def side_of(page: Page) -> str:
    return page.locator(".run-side").inner_text()


def test_a_failed_run_begins_with_the_traceback_of_its_step(seat: Seat) -> None:
    page = seat.open(run_link("buy-1"))
    page.get_by_text("Attempt 3 failed").wait_for()
    seat.shot(page, "failed-step")

    text = side_of(page)
    assert text.index("app.charge") < text.index("app.py:") < text.index("Error of the workflow")
    assert "in charge" in text
    # Frames of libraries are folded: they open on request, from the keyboard too.
    folded = page.locator(".frames-folded").first
    assert "running.py" not in text
    folded.locator("summary").press("Enter")
    until(lambda: "running.py" in side_of(page))


def test_attempts_stand_side_by_side_with_what_the_step_was_given(seat: Seat) -> None:
    page = seat.open(run_link("buy-1"))
    page.get_by_role("button", name=re.compile("app.charge")).first.click()
    attempts = page.locator(".attempt-list button")
    until(lambda: attempts.count() == 3)
    boxes = fields_of(
        page.evaluate(
            "() => Object.fromEntries([...document.querySelectorAll('.attempt-list button')]"
            ".map((it, n) => [n, it.getBoundingClientRect().top]))"
        )
    )
    assert len(set(boxes.values())) == 1
    text = side_of(page)
    assert text.index("Attempt 3 failed") < text.index("Input")
    # A dict whose keys JSON does not have is a dict all the same.
    for part in ("order_id", "[1,2]", "output of record 2"):
        assert part in text, part
    seat.shot(page, "attempts")
    attempts.first.press("Enter")
    until(lambda: "Attempt 1 failed" in side_of(page))

    page.get_by_role("button", name="output of record 2").click()
    until(lambda: "Output" in side_of(page))
    assert "receipt of 7" in side_of(page)


def test_escape_closes_the_inspector_and_the_keyboard_goes_on(seat: Seat) -> None:
    page = seat.open(run_link("buy-1"))
    page.locator(".lane-button").first.wait_for()
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.get_by_role("region", name=re.compile("Record")).wait_for()
    page.keyboard.press("Escape")

    until(lambda: "at=" not in page.url)
    assert page.locator("section[aria-label^=Record]").count() == 0
    assert page.evaluate("document.activeElement.classList.contains('rows')") is True
    page.keyboard.press("j")
    until(lambda: "at=" in page.url)


def test_what_runs_is_never_compressed_and_the_scale_can_be_true(seat: Seat) -> None:
    page = seat.open(run_link("digest-1"))
    page.locator(".gap-label").first.wait_for()  # it waits for a signal
    page.get_by_label("true scale").check()
    until(lambda: page.locator(".gap-label").count() == 0)
    seat.shot(page, "true-scale")
    page.reload()
    page.get_by_label("true scale").wait_for()
    assert page.locator(".gap-label").count() == 0
    page.get_by_label("true scale").press("Space")
    # Where commits are quick the back-off of its step is compressed too.
    page.locator(".gap-label").first.wait_for()

    seat.go(page, run_link("parent-1"))
    page.locator(".lane-child").wait_for()
    assert page.locator(".gap-label").count() == 0, "a child is at work"


OVERLAPS = """
() => {
  const row = (element) => element.closest('.lane')
  const found = []
  const labels = [...document.querySelectorAll('.tick, .gap-label, .bar-label')]
  const seen = labels.filter((it) => it.textContent.trim() !== '')
  for (const a of seen) {
    for (const b of seen) {
      if (a === b || row(a) !== row(b)) continue
      const [one, other] = [a.getBoundingClientRect(), b.getBoundingClientRect()]
      if (one.left < other.right - 1 && other.left < one.right - 1) {
        found.push(`${a.textContent} over ${b.textContent}`)
      }
    }
  }
  return found
}
"""


@pytest.mark.parametrize("run", ["buy-1", "digest-1", "sleeps-1"])
def test_labels_do_not_collide_and_back_off_is_seen(seat: Seat, run: str) -> None:
    page = seat.open(run_link(run))
    page.locator(".lane-button").first.wait_for()
    settled(page)
    assert page.evaluate(OVERLAPS) == []
    if run == "buy-1":
        widths = msgspec.convert(
            page.evaluate(
                "() => [...document.querySelectorAll('.bar-backoff')]"
                ".map((it) => it.getBoundingClientRect().width)"
            ),
            list[float],
        )
        assert len(widths) == 2
        assert min(widths) >= 3


LINES = "(box) => [...document.querySelectorAll(box + ' > *')].map((it) => it.innerText.trim())"


def test_whole_messages_stand_on_lines_of_their_own_and_chunks_are_joined(seat: Seat) -> None:
    page = seat.open(run_link("reports-1") + "?tab=streams")
    sections = page.locator(".stream")
    until(lambda: "Order 7 was sent" in text_of(page) and "work" in text_of(page))
    seat.shot(page, "messages")

    def lines_of(name: str) -> list[str]:
        box = f"section[aria-label='Stream {name}'] .stream-box"
        found = msgspec.convert(page.evaluate(LINES, box), list[str])
        return [re.sub(r"\s+", " ", line) for line in found]

    assert lines_of("messages") == ["0 Order 7 was packed", "1 Order 7 was sent"]
    assert lines_of("mixed") == ["It took", '2 {"days":3}', "of work"]
    sections.get_by_label("as one text").first.check()
    until(lambda: lines_of("messages") == ["Order 7 was packedOrder 7 was sent"])
    page.get_by_label("as one text").last.press("Space")
    until(lambda: len(lines_of("mixed")) == 5)


def test_what_is_due_counts_down(seat: Seat) -> None:
    page = seat.open(run_link("sleeps-1"))
    page.get_by_text(re.compile(r"due in \d+ m")).wait_for()
    first = page.locator(".why").inner_text()
    page.wait_for_timeout(1_500)  # the page's own clock ticks once a second
    until(lambda: page.locator(".why").inner_text() != first)


def test_who_did_what_to_a_run_is_told(seat: Seat) -> None:
    start = {"input": {"seconds": 600}}
    run = f"{seat.server.ask('/v1/workflows/sleeps/runs', start)['id']}"
    seat.server.ask(f"/v1/runs/{run}/cancel", {"reason": "the customer called\u202e"})
    page = seat.open(run_link(run))
    page.get_by_role("tab", name="Audit").press("Enter")
    page.locator(".did").get_by_text("the customer called").wait_for()
    seat.shot(page, "who-did-what")

    text = page.locator(".did").inner_text()
    assert text.index("cancel") < text.index("the customer calledU+202E") < text.index("start")
    assert "admin" in text
    assert "over HTTP" in text


def test_a_step_that_runs_has_a_row_before_it_ends(seat: Seat) -> None:
    page = seat.open(run_link("works-1"))
    page.get_by_role("button", name="app.long_step").wait_for()
    seat.shot(page, "running-step")

    assert page.locator(".lane-step.state-open .bar-open").count() == 1


def test_a_parent_says_which_child_is_parked_and_leads_to_what_waits_for_a_person(
    seat: Seat,
) -> None:
    page = seat.open(run_link("troubled-1"))
    box = page.get_by_label("Needs attention")
    box.locator("a.mono").wait_for()
    seat.shot(page, "parked-child")
    text = box.inner_text()
    assert "Go on without it?" in text
    assert re.search(r"parked\s+child troubled-1-child: step 'app.never' failed after 1", text)

    box.get_by_role("link", name="Approve or reject").click()
    page.get_by_role("button", name="Approve").wait_for()
    assert page.locator("article").count() == 1, "the others are not in the way"
    seat.go(page, run_link("troubled-1"))
    box.locator("a.mono").click()
    until(lambda: page.url.endswith(run_link("troubled-1-child")))


def test_a_retry_says_what_runs_again_and_its_times_count_from_it(seat: Seat) -> None:
    run = f"again-{uuid4().hex}"
    seat.server.start("buy", run, order_id=run)
    until(lambda: seat.server.run(run)["status"] == "failed")
    page = seat.open(run_link(run))
    facts = page.locator(".run-facts")
    facts.wait_for()
    assert "since" not in facts.inner_text()
    page.get_by_role("group", name="Actions").get_by_role("button", name="Retry").click()
    dialog = page.locator("dialog[open]")
    dialog.get_by_text("runs again: ").wait_for()
    seat.shot(page, "retry-plan")
    assert "1 step in them" in dialog.inner_text()
    assert "charge" in dialog.inner_text()

    dialog_button(page, "Retry")
    until_seen(page, lambda: "since the retry" in facts.inner_text())
    seat.shot(page, "retried")


def test_escape_closes_what_a_run_can_be_copied_as(seat: Seat) -> None:
    run = f"quick-{uuid4().hex}"
    seat.server.start("quick", run, n=1)
    page = seat.open(run_link(run))
    page.get_by_text("Copy as", exact=True).click()
    page.locator(".menu[open]").wait_for()
    page.keyboard.press("Escape")
    page.locator(".menu[open]").wait_for(state="detached")
    assert page.evaluate("document.activeElement.tagName") == "SUMMARY"


def test_a_viewer_is_offered_nothing_that_is_refused(seat: Seat) -> None:
    run = f"refund-{uuid4().hex}"
    seat.server.start("refund", run, cents=3)
    until(lambda: seat.server.run(run)["asks"] != [])
    page = seat.open("#/")
    viewer = {"name": "vera", "role": "viewer"}
    page.route(re.compile(r"/v1/session"), lambda route: route.fulfill(json=viewer))
    seat.go(page, run_link(run))
    page.reload()
    page.locator(".attention").get_by_role("link", name="View").wait_for()
    seat.shot(page, "viewer")
    assert "Approve or reject" not in text_of(page)
    page.keyboard.press("n")
    settled(page)
    assert page.locator("dialog[open]").count() == 0
    assert page.url.endswith(run_link(run))


def test_children_open_in_place_as_a_tree(seat: Seat) -> None:
    page = seat.open(run_link("family-1") + "?tab=children")
    fold = page.locator(".child-tree button[aria-expanded]")
    fold.first.wait_for()
    assert "parent" in page.locator(".child-tree").inner_text()
    assert "slow_child" not in page.locator(".child-tree").inner_text()
    fold.first.click()
    page.locator(".child-tree .child-tree").get_by_text("slow_child").wait_for()
    seat.shot(page, "children")

    fold.last.press("Enter")
    page.get_by_text("No child runs", exact=True).wait_for()
    fold.first.click()
    until(lambda: page.locator(".child-tree .child-tree").count() == 0)


def test_a_list_leads_with_the_workflow_and_shortens_long_ids(seat: Seat) -> None:
    long = f"a-very-long-id-{uuid4().hex}"
    seat.server.start("works", long, text="a")
    page = seat.open(f"#/runs?query=id:{long}")
    row = page.locator(".run-row:not(.head)")
    row.first.wait_for()
    text = row.first.inner_text()

    assert text.index("works") < text.index("a-very-lon\N{HORIZONTAL ELLIPSIS}")
    assert long not in text
    assert page.locator(f'.run-row a[title="{long}"]').count() == 1
    copy = page.get_by_role("button", name=f"Copy the id {long}")
    if copy.count():  # a phone has no room for it: the run's own page has one
        copy.press("Enter")
        page.locator(".run-row .icon-check").wait_for(state="attached")
