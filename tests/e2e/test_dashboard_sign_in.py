"""The link that `outlast dev` prints: it signs in once, and holds nothing worth keeping."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.commands import until
from tests.e2e.dashboards import (
    Browser,
    Page,
    Seat,
    Server,
    built,
    served,
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, chromium: Browser) -> Iterator[Server]:
    built()
    with served(tmp_path_factory.mktemp("served")) as found:
        yield found


def is_signed_in(page: Page) -> None:
    page.get_by_role("navigation", name="Main").wait_for()


def stored(page: Page) -> str:
    return str(page.evaluate("sessionStorage.getItem('outlast.token')"))


def test_the_link_signs_in_once_and_holds_no_token(seat: Seat) -> None:
    link = seat.server.new_link()
    assert seat.server.token not in link
    page = seat.context.new_page()
    page.goto(link)
    is_signed_in(page)

    assert "code" not in page.url
    assert stored(page) == seat.server.token
    assert page.evaluate("[localStorage.length, document.cookie]") == [0, ""]
    assert page.evaluate("history.length") == 2
    assert not any("code=" in url.partition("#")[0] for url in seat.requests)
    page.reload()
    is_signed_in(page)
    page.close()

    before = len(seat.server.links())
    later = seat.context.new_page()
    later.goto(link)
    later.get_by_text("a link works once").wait_for()
    assert later.get_by_label("Token").count() == 1
    assert stored(later) == "None"
    seat.shot(later, "link-spent")
    until(lambda: len(seat.server.links()) > before)

    # The terminal shows the next one, and it works in the tab that is open.
    later.goto(seat.server.links()[-1])
    is_signed_in(later)
    assert "code" not in later.url


def test_a_link_that_comes_into_an_open_tab_is_taken(seat: Seat) -> None:
    page = seat.open("#/runs")
    page.locator("main h1").wait_for()
    page.evaluate("(code) => { location.hash = 'code=' + code }", "0" * 40)
    page.get_by_text("is for another server").wait_for()
    is_signed_in(page)  # who is signed in stays so
    assert stored(page) == seat.server.token
    assert "code" not in page.url


def test_a_token_in_an_address_is_taken_out_and_opens_nothing(seat: Seat) -> None:
    page = seat.context.new_page()
    page.goto(f"{seat.server.url}/#token={seat.server.token}")
    page.get_by_text("Links that contain a token are not accepted").wait_for()

    assert "token" not in page.url
    assert stored(page) == "None"


def test_the_token_can_be_typed_with_the_keyboard_alone(seat: Seat) -> None:
    page = seat.context.new_page()
    page.goto(seat.server.url + "/")
    page.locator("#token:focus").wait_for()
    page.keyboard.type(seat.server.token)
    page.keyboard.press("Enter")
    is_signed_in(page)
