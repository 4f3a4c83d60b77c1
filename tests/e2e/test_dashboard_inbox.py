"""What runs ask of people, and what became of it, on the page of approvals."""

from __future__ import annotations

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
    text_of,
    until_seen,
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, chromium: Browser) -> Iterator[Server]:
    built()
    with served(tmp_path_factory.mktemp("served")) as found:
        yield found


def asked_by(server: Server, run: str) -> str:
    """Return the id of what a run asks, when it does."""
    until(lambda: server.run(run)["asks"] != [])
    asks = msgspec.convert(server.run(run)["asks"], list[dict[str, object]])
    return str(asks[0]["id"])


def test_a_rejection_looks_like_one(seat: Seat) -> None:
    run = f"refund-{uuid4().hex}"
    seat.server.start("refund", run, cents=40)
    page = seat.open(f"#/approvals?token={asked_by(seat.server, run)}")
    page.get_by_label("Reason").fill("too late")
    page.get_by_role("button", name="Reject").click()
    until_seen(page, lambda: page.locator(".card .status.tone-rejected").count() == 1)
    seat.shot(page, "rejected")

    assert "rejected by" in text_of(page)
    assert "too late" in text_of(page)
    assert "approved" not in text_of(page)
    page.locator(".notice").get_by_text("Rejected", exact=True).wait_for()
    seat.go(page, "#/approvals?all=1")
    card = page.get_by_role("article", name="Refund 40?")
    card.get_by_text("rejected", exact=True).last.wait_for()


def test_an_answer_shows_the_value_that_was_given(seat: Seat) -> None:
    run = f"quote-{uuid4().hex}"
    seat.server.start("quote", run, text="x")
    token = asked_by(seat.server, run)
    page = seat.open(f"#/approvals?token={token}")
    page.get_by_role("heading", name="Asks for a whole number").wait_for()
    seat.server.ask(f"/v1/tokens/{token}", {"value": 4711})
    page.reload()
    page.locator(".card .json").get_by_text("4711").wait_for()
    seat.shot(page, "answered")

    assert "answered by" in text_of(page)
