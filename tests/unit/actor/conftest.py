"""An engine on a store of its own, in memory and on disk."""

from tests.unit.engine.conftest import engine, url

__all__ = ["engine", "url"]
