"""A project of its own for every test; a browser for a module, and what a test looks through."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.commands import Project, end
from tests.e2e.dashboards import NARROW, WIDE, Browser, Seat, Server, browser


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    found = Project(tmp_path / "shop")
    yield found
    for process in found.started:
        if process.poll() is None:
            end(process)
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as opened:
        yield opened


@pytest.fixture(params=["wide-light", "narrow-dark"])
def seat(request: pytest.FixtureRequest, chromium: Browser, server: Server) -> Iterator[Seat]:
    size, theme = request.param.split("-")
    options: dict[str, object] = {
        "viewport": WIDE if size == "wide" else NARROW,
        "color_scheme": theme,
    }
    made = Seat(chromium, server, f"{request.param}-", **options)
    yield made
    made.context.close()
    assert made.complaints == []
