"""A conversation in two browsers, one of which steers it, while its server is killed twice."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from outlast import Engine
from outlast.agents import Entry, budget_info, conversation_entries
from tests.crash.serving import Server as KilledServer
from tests.e2e.dashboards import WIDE, Browser, Page, Seat, Server, apart, served, until_seen

PROGRAM = Path(__file__).with_name("talking_program.py")
PLACE = "#/actors/Support%2Fann"
keys = count()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, chromium: Browser) -> Iterator[Server]:
    with served(tmp_path_factory.mktemp("served"), PROGRAM) as found:
        yield found


def say(page: Page, text: str) -> None:
    page.get_by_label("Message to the agent").fill(text)
    page.get_by_role("button", name="Send").click()


def messages(page: Page) -> str:
    return page.get_by_role("log", name="Messages").inner_text()


def test_a_conversation_is_held_in_the_browser(seat: Seat) -> None:
    key = f"guest-{next(keys)}"
    seat.server.ask(f"/v1/actors/Support/{key}/chat?timeout=30", {"text": "Where is my parcel?"})
    page = seat.open(f"#/actors/Support%2F{key}")
    page.get_by_text("Your parcel left Oslo").first.wait_for()
    seat.shot(page, "conversation")

    page.get_by_text("track").first.click()
    page.get_by_text("Nord").first.wait_for()
    say(page, "slowly please")
    page.get_by_role("button", name="Stop the turn").wait_for()
    until_seen(page, lambda: "You said “slowly" in messages(page))
    seat.shot(page, "conversation-live")
    page.get_by_role("button", name="Stop the turn").click()
    page.get_by_text("cut off here").wait_for()

    assert page.get_by_role("button", name="Stop the turn").count() == 0


@pytest.fixture
def killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[KilledServer]:
    monkeypatch.setenv("OUTLAST_TEST_COUNTED", str(tmp_path / "counted"))
    made = KilledServer(tmp_path, PROGRAM)
    made.start()
    yield made
    made.kill()


def test_two_browsers_show_the_same_over_two_kills(
    killed: KilledServer, chromium: Browser, tmp_path: Path
) -> None:
    known = tmp_path / "known"
    known.mkdir()
    (known / "token").write_text(killed.token)
    seats = [Seat(chromium, Server(killed.url, known), viewport=WIDE) for _ in range(2)]
    apart(killed.ready())
    seats[0].server.ask("/v1/actors/Support/ann/chat?timeout=30", {"text": "hello"})
    writer, reader = (seat.open(PLACE) for seat in seats)
    say(writer, "slowly, about my parcel")
    until_seen(writer, lambda: "You said “slowly" in messages(writer))
    killed.kill()
    killed.start()
    apart(killed.ready())
    say(writer, "in short")
    until_seen(reader, lambda: "steered the turn" in messages(reader))
    killed.kill()
    killed.start()
    for page in (writer, reader):
        page.get_by_text("You said “in short”").wait_for(timeout=60_000)
        page.get_by_role("button", name="Stop the turn").wait_for(state="detached")

    shown = [messages(page) for page in (writer, reader)]
    for seat in seats:
        seat.context.close()
    killed.kill()
    entries, spent = apart(_stored(tmp_path / "outlast.db"))

    assert shown[0] == shown[1]
    for text in ("hello", "slowly, about my parcel", "in short"):
        assert [entry.text for entry in entries if entry.kind == "user"].count(text) == 1
        assert shown[0].count(f"You said “{text}”") == 1
    # The provider counts what it was asked; of what a kill has cut off, the ledger has the worst.
    usages = [entry.usage for entry in entries if entry.usage is not None]
    asked = [int(line) for line in (tmp_path / "counted").read_text().split()]
    assert sum(usage.requests for usage in usages) <= len(asked)
    assert sum(usage.input_tokens + usage.output_tokens for usage in usages) <= spent
    assert sum(asked) <= spent


async def _stored(path: Path) -> tuple[list[Entry], int]:
    """Return the entries of the conversation, and the tokens that the ledger has counted."""
    entries: list[Entry] = []
    async with Engine.open(path, read_only=True) as engine:
        info = await budget_info(engine, "tenant:acme")
        async for event in engine.get("Support/ann").stream(conversation_entries):
            if isinstance(event.value, Entry):
                entries.append(event.value)
                if event.value.kind == "ended" and event.value.turn == 2:
                    break
    return entries, 0 if info is None else info.tokens
