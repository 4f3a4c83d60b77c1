"""The trace that a request belongs to, for the server: only where the program traces itself."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Protocol


class _Context(Protocol):
    trace_id: int
    span_id: int


class _Span(Protocol):
    def get_span_context(self) -> _Context: ...


def traceparent() -> str:
    """Return the present span as W3C Trace Context writes it; empty where nothing is traced."""
    # Whoever traces has imported it; importing it to find out would cost everybody.
    module = sys.modules.get("opentelemetry.trace")
    current: Callable[[], _Span] | None = getattr(module, "get_current_span", None)
    if current is None:
        return ""
    context = current().get_span_context()
    if not context.trace_id or not context.span_id:
        return ""
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-01"
