from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.unit.wire.served import Served, serving


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Served]:
    """A server of the programs in `served.py`, on a port of its own."""
    async with serving(tmp_path) as served:
        yield served
