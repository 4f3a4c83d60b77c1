"""The trace that a request belongs to, for the server: only where the program traces itself."""

from __future__ import annotations

import sys


def traceparent() -> str:
    """Return the present span as W3C Trace Context writes it; empty where nothing is traced."""
    # Whoever traces has imported it; importing it to find out would cost everybody.
    module = sys.modules.get("opentelemetry.trace")
    current: object = getattr(module, "get_current_span", None)
    if not callable(current):
        return ""
    context: object = current().get_span_context()
    trace_id, span_id = getattr(context, "trace_id", 0), getattr(context, "span_id", 0)
    if not isinstance(trace_id, int) or not isinstance(span_id, int) or not trace_id * span_id:
        return ""
    return f"00-{trace_id:032x}-{span_id:016x}-01"
