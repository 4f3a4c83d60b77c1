"""Who blocks the event loop is named."""

from __future__ import annotations

import logging
import threading

from outlast import Engine

LOGGER = "outlast.latency"


class Warned(logging.Handler):
    """Sets an event when something is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.event = threading.Event()
        self.text = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.text = record.getMessage()
        self.event.set()


def block(warned: Warned, depth: int) -> bool:
    return block(warned, depth - 1) if depth else warned.event.wait(10)


async def test_a_blocked_loop_is_told_with_both_ends_of_its_stack(engine: Engine) -> None:
    warned = Warned()
    logging.getLogger(LOGGER).addHandler(warned)
    try:
        assert block(warned, 300)
    finally:
        logging.getLogger(LOGGER).removeHandler(warned)

    first, *rest = warned.text.splitlines()
    assert "the event loop has been blocked for" in first
    assert "<module>" in "".join(rest[:4])
    assert "warned.event.wait(10)" in "".join(rest[-10:])
    assert any("frames are left out" in line for line in rest)
    assert len(rest) < 130
