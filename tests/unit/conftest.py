"""An engine on a store of its own, in memory and on disk."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest

from outlast import Engine


@pytest.fixture(params=["memory", "sqlite"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty store."""
    return f"memory://{uuid4()}" if request.param == "memory" else str(tmp_path / "outlast.db")


@pytest.fixture
async def engine(url: str) -> AsyncIterator[Engine]:
    """An open engine."""
    async with Engine.open(url) as opened:
        yield opened
