"""A server in the test's own loop."""

from tests.unit.wire.conftest import server

__all__ = ["server"]
