"""The pictures of the dashboard in docs/images. They are taken on demand:

OUTLAST_PICTURES=1 .venv/bin/python -m pytest tests/e2e/test_dashboard_pictures.py
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.e2e.commands import until
from tests.e2e.dashboards import (
    ROOT,
    Browser,
    Page,
    Seat,
    Server,
    built,
    run_link,
    served,
    settled,
    until_live,
)

IMAGES = ROOT / "docs" / "images"
PROGRAM = Path(__file__).with_name("pictures_program.py")
AGENTS = Path(__file__).with_name("agents_program.py")
SIZE = {"width": 1200, "height": 760}
TALL = {"width": 1200, "height": 970}
BYTES_MAX = 150_000
LARGE = "order-1042"  # ends in an approval, so it stays open
DECLINED = "order-1036"
ORDERS = range(1_030, 1_042)

pytestmark = pytest.mark.skipif(
    "OUTLAST_PICTURES" not in os.environ, reason="pictures are taken on demand: OUTLAST_PICTURES=1"
)


def test_pictures_for_the_documentation(chromium: Browser, tmp_path: Path) -> None:
    built()
    directory = tmp_path / "shop"  # tracebacks show its name
    directory.mkdir()
    with served(directory, PROGRAM) as server:
        fill(server)
        seat = Seat(chromium, server, viewport=SIZE, color_scheme="light")
        page = seat.open()
        until_live(page)
        page.locator(".short-list li").first.wait_for()
        picture(page, "dashboard-home")

        seat.go(page, "#/runs")
        page.locator(".run-row").first.wait_for()
        picture(page, "dashboard-runs")

        seat.go(page, run_link(LARGE))
        page.locator(".lane").first.wait_for()
        picture(page, "dashboard-run")

        seat.go(page, run_link(DECLINED))
        page.get_by_text("CardDeclined").first.wait_for()
        picture(page, "dashboard-failure")

        seat.go(page, "#/workflows/app.checkout")
        page.locator(".flow-box").first.wait_for()
        picture(page, "dashboard-workflow")

        seat.go(page, "#/approvals")
        page.get_by_role("button", name="Approve").first.wait_for()
        picture(page, "dashboard-approvals")
        seat.context.close()

        assert seat.complaints == []


def test_the_picture_of_a_conversation(chromium: Browser, tmp_path: Path) -> None:
    built()
    directory = tmp_path / "support"
    directory.mkdir()
    with served(directory, AGENTS) as server:
        chat = "/v1/actors/Support/user-42/chat"
        server.ask(chat, {"text": "Where is order 1042?"})
        server.ask(f"{chat}?mode=tell", {"text": "Please pay the lamp back."})
        seat = Seat(chromium, server, viewport=TALL, color_scheme="light")
        page = seat.open("#/actors/Support%2Fuser-42")
        page.get_by_role("button", name="Approve").wait_for()
        page.get_by_role("meter", name="Budget customer:user-42").wait_for()
        picture(page, "dashboard-conversation")
        seat.context.close()

        assert seat.complaints == []


def fill(server: Server) -> None:
    """Start what the pictures show, and wait until nothing more happens."""
    start(server, "checkout", LARGE, order="1042", cents=64_900, items=4)
    until(lambda: server.run(LARGE)["asks"] != [])
    start(server, "refund", "refund-1003", order="1003", cents=2_000, reason="changed my mind")
    for number in ORDERS:
        cents = 120_000 if number == 1_036 else 1_900 + 100 * (number % 7)
        start(server, "checkout", f"order-{number}", order=f"{number}", cents=cents, items=0)
    server.ask("/v1/runs/refund-1003/cancel", {"reason": "the customer withdrew it"})
    start(server, "refund", "refund-1027", order="1027", cents=4_990, reason="arrived broken")
    start(server, "refund", "refund-1011", order="1011", cents=12_500, reason="wrong size")
    ended = [f"order-{number}" for number in ORDERS] + ["refund-1003"]
    until(lambda: all(server.run(run)["closed_at"] is not None for run in ended))


def start(server: Server, workflow: str, run: str, **input: object) -> None:
    attributes = {"customer": int(run[-2:]) * 7 % 50}
    body = {"id": run, "input": input, "attributes": attributes}
    server.ask(f"/v1/workflows/app.{workflow}/runs", body)


def picture(page: Page, name: str) -> None:
    settled(page)
    path = IMAGES / f"{name}.png"
    page.screenshot(path=str(path))
    assert path.stat().st_size < BYTES_MAX
