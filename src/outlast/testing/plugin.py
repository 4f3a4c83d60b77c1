"""The pytest plugin: the fixtures `sim` and `engine`.

They are coroutines' fixtures, so pytest-asyncio must be installed. A marker
`@pytest.mark.sim(seed=7, crash=0.2)` says what the simulation is made of.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
import pytest_asyncio

from outlast.engine import Engine
from outlast.testing.sim import Sim


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker that says what `sim` is made of."""
    config.addinivalue_line("markers", "sim(**options): seed, crash and more for the fixture `sim`")


@pytest_asyncio.fixture
async def sim(request: pytest.FixtureRequest) -> AsyncIterator[Sim]:
    """A simulation in virtual time."""
    marker = request.node.get_closest_marker("sim")
    options = dict(marker.kwargs) if marker is not None else {}
    async with Sim(**options) as opened:
        yield opened


@pytest_asyncio.fixture
async def engine() -> AsyncIterator[Engine]:
    """An engine on a memory store of its own."""
    async with Engine.open(f"memory://{uuid4()}") as opened:
        yield opened
