"""Conversations in the dashboard: what they cost, who approved, forks, restarts, long ones."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from tests.crash.serving import Server as KilledServer
from tests.e2e.dashboards import (
    HOSTILE,
    NARROW,
    SHOWN,
    TURNING,
    WIDE,
    Browser,
    Page,
    Seat,
    Server,
    apart,
    served,
    settled,
    text_of,
    until_seen,
)
from tests.e2e.test_dashboard_access import CONTRAST, CONTRAST_MIN, NAMES

PROGRAM = Path(__file__).with_name("agents_program.py")
TURNS = 5_000  # of two entries
ROWS_MAX = 120
keys = count()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, chromium: Browser) -> Iterator[Server]:
    with served(tmp_path_factory.mktemp("served"), PROGRAM) as found:
        yield found


def tell(server: Server, key: str, text: str, mode: str = "ask") -> None:
    server.ask(f"/v1/actors/Support/{key}/chat?mode={mode}", {"text": text})


def messages(page: Page) -> str:
    return page.get_by_role("log", name="Messages").inner_text()


def say(page: Page, text: str) -> None:
    page.get_by_label("Message to the agent").fill(text)
    page.get_by_role("button", name="Send").click()


def test_a_turn_says_its_model_and_cost_and_the_head_what_the_budget_has_left(seat: Seat) -> None:
    key = f"guest-{next(keys)}"
    tell(seat.server, key, "Where is order 1042?")
    page = seat.open(f"#/actors/Support%2F{key}")
    page.get_by_text("lost between Hamar and Oslo").wait_for()
    used = page.locator(".talk-used").inner_text()
    meter = page.get_by_role("meter", name=f"Budget customer:{key}")
    until_seen(page, lambda: meter.count() == 1)
    seat.shot(page, "agent")

    assert "atlas-large" in used
    assert "2 requests" in used
    assert re.search(r"\$0\.\d+", used)
    assert re.search(r"\$0\.\d+ of \$0\.50", page.locator(".run-facts").inner_text())
    seat.go(page, "#/metrics")
    page.get_by_role("heading", name="Agents and models").wait_for()
    table = page.locator(".models").inner_text()
    assert "support" in table
    assert "atlas-large" in table
    seat.shot(page, "agents-metrics")
    assert seat.complaints == []


def test_a_call_is_approved_where_it_waits_and_says_who_did(seat: Seat) -> None:
    key = f"guest-{next(keys)}"
    tell(seat.server, key, "Please pay me back.", "tell")
    page = seat.open(f"#/actors/Support%2F{key}")
    page.get_by_role("button", name="Approve").wait_for()
    seat.shot(page, "agent-asks")
    page.get_by_label("Reason").fill("lost parcel")
    page.get_by_role("button", name="Approve").click()
    page.get_by_text("are on their way").wait_for()
    until_seen(page, lambda: "lost parcel" in messages(page))
    seat.shot(page, "agent-approved")

    assert "Approved" in messages(page)
    assert page.get_by_role("button", name="Reject").count() == 0

    say(page, "And pay me again")
    page.get_by_role("button", name="Reject").click()
    until_seen(page, lambda: "Rejected" in messages(page))
    assert seat.complaints == []


def test_who_approves_a_call_sees_all_its_arguments(seat: Seat) -> None:
    key = f"guest-{next(keys)}"
    tell(seat.server, key, "Please pay me all of it back.", "tell")
    page = seat.open(f"#/actors/Support%2F{key}")
    page.get_by_role("button", name="Approve").wait_for()
    seat.shot(page, "agent-asks-long")
    given = page.get_by_role("group", name="All arguments of refund")
    cut = page.evaluate(CUT, ".talk-arguments, .talk-arguments *, .run-facts, .run-facts *")
    shown = given.inner_text()

    assert "P-139" in shown
    assert re.search(r"cents\s+4900", shown)
    assert cut == []
    page.get_by_role("button", name="Approve").click()
    page.get_by_text("are on their way").wait_for()
    assert given.count() == 0
    assert seat.complaints == []


def test_a_stopped_agent_says_so_and_takes_no_messages(seat: Seat) -> None:
    key = f"guest-{next(keys)}"
    tell(seat.server, key, "hello")
    page = seat.open(f"#/actors/Support%2F{key}")
    page.get_by_text("You said").wait_for()
    page.get_by_role("button", name="Stop", exact=True).click()
    page.locator("dialog[open]").get_by_role("button", name="Stop", exact=True).click()
    page.get_by_text("takes no more messages: stopped by").wait_for()
    settled(page)
    seat.shot(page, "agent-stopped")
    wanted = [page.get_by_label("Message to the agent"), page.locator(".error-text")]
    wanted += [page.get_by_role("button", name=name) for name in ("Stop", "Send", "Fork from here")]

    assert [each.count() for each in wanted] == [0] * 5
    assert page.locator(".run-title .status").inner_text() == "stopped"
    assert "You said" in messages(page)
    assert page.evaluate(CONTRAST, CONTRAST_MIN) == []
    assert seat.complaints == []


def test_a_conversation_is_begun_from_the_dashboard(seat: Seat) -> None:
    key = f"guest-{next(keys)}"
    page = seat.open("#/actors")
    page.get_by_role("button", name="New conversation").click()
    page.get_by_label("Key", exact=True).fill(key)
    page.get_by_label("Message", exact=True).fill("hello")
    seat.shot(page, "agent-new")
    assert page.evaluate(CONTRAST, CONTRAST_MIN) == []
    assert page.evaluate(NAMES) == []
    page.get_by_role("button", name="Begin").click()
    page.get_by_text("You said “hello”").wait_for()

    seat.go(page, "#/actors")
    page.get_by_role("button", name="New conversation").click()
    page.get_by_label("Key", exact=True).fill(key)
    page.get_by_label("Message", exact=True).fill("hello again")
    page.get_by_role("button", name="Begin").click()
    page.get_by_text("There is a conversation with this key").wait_for()
    page.get_by_role("button", name="Cancel").click()

    seat.go(page, f"#/actors/Support%2F{key}-new")
    page.get_by_role("button", name="New conversation").click()
    page.get_by_label("Message", exact=True).fill("hello there")
    page.get_by_role("button", name="Begin").click()
    page.get_by_text("You said “hello there”").wait_for()
    assert seat.complaints == []


def test_a_message_that_waits_for_its_turn_is_shown(seat: Seat) -> None:
    key = f"guest-{next(keys)}"
    tell(seat.server, key, "slowly please", "tell")
    page = seat.open(f"#/actors/Support%2F{key}")
    until_seen(page, lambda: "I look" in messages(page))
    page.get_by_text("Wait", exact=True).click()
    say(page, "And then?")
    page.get_by_text("waits for its turn").wait_for()
    settled(page)
    seat.shot(page, "agent-waits")
    assert re.search("I look.*And then.*waits for its turn", messages(page), re.DOTALL)
    page.get_by_text("You said “And then?”").wait_for()
    assert page.get_by_text("waits for its turn").count() == 0
    assert messages(page).count("And then?") == 2
    assert seat.complaints == []


# Elements that hold more than they show in width, or reach beyond the page.
CUT = """
(selector) => [...document.querySelectorAll(selector)]
  .filter((it) => it.scrollWidth > it.clientWidth + 1 && it.clientWidth > 0
    || it.getBoundingClientRect().right > innerWidth)
  .map((it) => it.outerHTML)
"""


def test_what_was_said_stays_where_it_is_when_the_turn_is_steered(seat: Seat) -> None:
    key = f"guest-{next(keys)}"
    tell(seat.server, key, "slowly please", "tell")
    page = seat.open(f"#/actors/Support%2F{key}")
    other = seat.open(f"#/actors/Support%2F{key}")
    until_seen(page, lambda: "I look it up" in messages(page))
    say(page, "What of order 8?")
    in_order = re.compile("I look it up.*What of order 8", re.DOTALL)
    for each in (page, other):
        each.get_by_text("steered the turn").wait_for()
        assert in_order.search(messages(each))
    seat.shot(page, "agent-steered")
    page.reload()
    until_seen(page, lambda: in_order.search(messages(page)) is not None)
    assert "You said" not in messages(page)
    for each in (page, other):
        each.get_by_text("You said").wait_for()
        assert re.search("find about it.*What of order 8.*You said", messages(each), re.DOTALL)
    assert seat.complaints == []


def test_a_conversation_is_forked_from_a_message_and_compared_with_the_original(
    seat: Seat,
) -> None:
    key = f"guest-{next(keys)}"
    tell(seat.server, key, "Where is order 1042?")
    tell(seat.server, key, "Thanks")
    page = seat.open(f"#/actors/Support%2F{key}")
    page.get_by_text("You said “Thanks”").wait_for()
    page.get_by_role("button", name="Fork from here").last.click()
    page.get_by_label("Message", exact=True).fill("Send it again")
    page.get_by_label("Model").fill("no-such-model")
    page.locator("dialog[open]").get_by_role("button", name="Fork", exact=True).click()
    page.get_by_text("knows no model").first.wait_for()
    page.get_by_label("Model").fill("mini")
    seat.shot(page, "agent-fork")
    page.locator("dialog[open]").get_by_role("button", name="Fork", exact=True).click()
    page.get_by_role("heading", name="Compare conversations").wait_for()
    until_seen(page, lambda: "parcel A-21 arrives" in text_of(page) and "mini" in text_of(page))
    until_seen(page, lambda: page.locator(".talk-used").count() == 2)
    seat.shot(page, "agent-compared")
    facts = page.locator(".sides-facts").inner_text()
    page.get_by_label("Fork", exact=True).get_by_role("link", name=re.compile("-fork-")).click()
    page.get_by_text("Forked here from").wait_for()
    until_seen(page, lambda: "parcel A-21 arrives" in messages(page))
    seat.shot(page, "agent-forked")

    assert re.search(r"Model\s+atlas-large\s+atlas-mini", facts)
    assert re.search(r"Tools\s+none\s+send", facts)
    assert "lost between Hamar and Oslo" in messages(page)  # what was said before
    assert "You said “Thanks”" not in messages(page)
    assert seat.complaints == []


def test_the_pages_of_agents_have_contrast_and_names_and_hostile_text_stays_text(
    seat: Seat,
) -> None:
    key = f"guest-{next(keys)}"
    for text in ("Where is order 1042?", TURNING, f"| a | b |\n|---|---|\n| {HOSTILE} | `x` |"):
        tell(seat.server, key, text)
    tell(seat.server, key, "Please pay me back.", "tell")
    page = seat.open(f"#/actors/Support%2F{key}")
    page.get_by_role("button", name="Approve").wait_for()
    settled(page)
    faults = [page.evaluate(CONTRAST, CONTRAST_MIN), page.evaluate(NAMES)]
    page.get_by_role("button", name="Fork from here").last.click()
    page.get_by_label("Message", exact=True).wait_for()
    faults += [page.evaluate(CONTRAST, CONTRAST_MIN), page.evaluate(NAMES)]
    page.locator("dialog[open]").get_by_role("button", name="Fork", exact=True).click()
    page.get_by_role("heading", name="Compare conversations").wait_for()
    page.get_by_role("button", name="Approve").last.wait_for()
    settled(page)
    faults += [page.evaluate(CONTRAST, CONTRAST_MIN), page.evaluate(NAMES)]
    seat.go(page, "#/metrics")
    page.get_by_role("heading", name="Agents and models").wait_for()
    faults += [page.evaluate(CONTRAST, CONTRAST_MIN), page.evaluate(NAMES)]

    assert faults == [[]] * 8
    assert page.evaluate("window.hit") is None
    assert seat.complaints == []


def test_the_budget_shows_what_a_request_under_way_has_reserved(seat: Seat) -> None:
    key = f"guest-{next(keys)}"
    tell(seat.server, key, "hello")
    tell(seat.server, key, "slowly please", "tell")
    page = seat.open(f"#/actors/Support%2F{key}")
    until_seen(page, lambda: "reserved" in page.locator(".run-facts").inner_text())
    page.get_by_role("button", name="Stop the turn").click()
    page.get_by_text("cut off here").wait_for()
    until_seen(page, lambda: "reserved" not in page.locator(".run-facts").inner_text())

    # What of a response was cut off has no price: only the first request of that turn has.
    until_seen(page, lambda: "at least $" in page.locator(".run-facts").inner_text())
    assert seat.complaints == []


@pytest.fixture
def killed(tmp_path: Path) -> Iterator[KilledServer]:
    made = KilledServer(tmp_path, PROGRAM)
    made.start()
    yield made
    made.kill()


def test_a_turn_that_a_restart_has_cut_in_two_says_so(
    killed: KilledServer, chromium: Browser, tmp_path: Path
) -> None:
    known = tmp_path / "known"
    known.mkdir()
    (known / "token").write_text(killed.token)
    apart(killed.ready())
    seat = Seat(chromium, Server(killed.url, known))
    tell(seat.server, "ann", "hello")
    page = seat.open("#/actors/Support%2Fann")
    say(page, "slowly please")
    until_seen(page, lambda: "I look" in messages(page))
    killed.kill()
    killed.start()
    page.get_by_text("resumed after a restart").wait_for(timeout=60_000)

    title = page.evaluate("document.querySelector('.talk-resumed').title")
    assert "1 response of the model came from the journal" in f"{title}"
    assert "1 request was made after the restart" in f"{title}"
    assert messages(page).count("word by word") == 1
    seat.context.close()


def test_that_the_server_did_not_respond_is_said_until_it_is_back(
    killed: KilledServer, chromium: Browser, tmp_path: Path
) -> None:
    known = tmp_path / "known"
    known.mkdir()
    (known / "token").write_text(killed.token)
    apart(killed.ready())
    seat = Seat(chromium, Server(killed.url, known))
    tell(seat.server, "ann", "hello")
    page = seat.open("#/actors/Support%2Fann")
    page.get_by_text("You said “hello”").wait_for()
    killed.kill()
    say(page, "Are you there?")
    fault = page.locator(".talk-composer").get_by_role("alert")
    fault.wait_for()
    killed.start()
    until_seen(page, lambda: fault.count() == 0)

    page.get_by_role("button", name="Send").click()  # what was not sent is still there
    page.get_by_text("You said “Are you there?”").wait_for()
    assert fault.count() == 0
    seat.context.close()


def test_a_message_of_which_the_answer_was_lost_is_not_left_to_be_sent_again(seat: Seat) -> None:
    key = f"guest-{next(keys)}"
    tell(seat.server, key, "hello")
    page = seat.open(f"#/actors/Support%2F{key}")
    page.get_by_text("You said “hello”").wait_for()
    page.route(re.compile("/chat"), lambda route: route.abort())
    say(page, "Are you there?")
    page.locator(".talk-composer").get_by_role("alert").wait_for()
    assert page.evaluate(WRITTEN) == "Are you there?"

    tell(seat.server, key, "Are you there?")  # as if only the answer had been lost
    until_seen(page, lambda: page.evaluate(WRITTEN) == "")
    assert page.locator(".talk-composer").get_by_role("alert").count() == 0
    assert seat.complaints == []


WRITTEN = "document.querySelector('.talk-composer textarea').value"
SCROLL = "(to) => { document.querySelector('.talk-box').scrollTop = to }"
TOP = "document.querySelector('.talk-box').scrollTop"
HEIGHT = "document.querySelector('.talk-list').offsetHeight"
# The first row that lies well in sight, and where.
SEEN = """
() => [...document.querySelectorAll('.talk-row')]
  .map((it) => ({ top: Math.round(it.getBoundingClientRect().top), text: it.innerText }))
  .filter(({ top }) => top > 200)
  .sort((a, b) => a.top - b.top)[0]
"""
HEAP = "performance.memory.usedJSHeapSize"


def test_a_conversation_of_ten_thousand_entries_opens_at_its_end_and_scrolls_to_its_beginning(
    server: Server, chromium: Browser
) -> None:
    server.ask("/v1/actors/Support/long/fill", {"turns": TURNS})
    seat = Seat(chromium, server, viewport=WIDE)
    page = seat.open("#/")
    began = page.evaluate("performance.now()")
    seat.go(page, "#/actors/Support%2Flong")
    page.get_by_text(f"Question {TURNS}?").wait_for()
    opened = page.evaluate("performance.now()")
    rows = [page.locator(".talk-row").count()]

    def is_at_the_beginning() -> bool:
        page.evaluate(SCROLL, 0)
        page.evaluate(SHOWN)
        rows.append(page.locator(".talk-row").count())
        return page.get_by_text("Question 1?").count() > 0

    until_seen(page, is_at_the_beginning)
    first = messages(page)
    seat.shot(page, "agent-long")
    page.get_by_role("button", name="Latest").click()
    page.get_by_text(f"Question {TURNS}?").wait_for()
    heaps: list[float] = []
    for _ in range(3):
        for part in (0, 1, 2, 3, 4):
            page.evaluate(
                f"({SCROLL})({part} * document.querySelector('.talk-list').offsetHeight / 4)"
            )
            page.wait_for_timeout(60)
            rows.append(page.locator(".talk-row").count())
        heaps.append(float(f"{page.evaluate(HEAP)}"))
    seat.context.close()

    assert "Question 1?" in first
    assert max(rows) <= ROWS_MAX
    assert float(f"{opened}") - float(f"{began}") < 5_000
    assert heaps[-1] < 1.5 * heaps[0]
    assert seat.complaints == []


def test_what_is_read_stays_where_it_is_when_more_of_what_was_said_before_comes(
    server: Server, chromium: Browser
) -> None:
    server.ask("/v1/actors/Support/middle/fill", {"turns": 1_000})
    seat = Seat(chromium, server, viewport=WIDE)
    page = seat.open("#/actors/Support%2Fmiddle")
    page.get_by_text("Question 1000?").wait_for()
    page.evaluate(SCROLL, 900)
    page.evaluate(SHOWN)
    before = page.evaluate(SEEN)
    # What was read before it has made the list longer above.
    until_seen(page, lambda: float(f"{page.evaluate(TOP)}") > 5_000)
    page.evaluate(SHOWN)
    after = page.evaluate(SEEN)
    seat.context.close()

    assert after == before


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_conversation_fits_a_phone(server: Server, chromium: Browser, scheme: str) -> None:
    key = f"guest-{next(keys)}"
    tell(server, key, "Where is order 1042?")
    tell(server, key, "Please pay me back.", "tell")
    seat = Seat(chromium, server, f"{scheme}-", viewport=NARROW, color_scheme=scheme)
    page = seat.open(f"#/actors/Support%2F{key}")
    page.get_by_role("button", name="Approve").wait_for()
    seat.shot(page, "agent-phone")

    width = page.evaluate("document.documentElement.scrollWidth")
    seat.context.close()
    assert width == NARROW["width"]
