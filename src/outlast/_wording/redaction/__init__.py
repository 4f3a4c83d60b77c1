"""Secrets that stray into texts: taken out of error messages, tracebacks, log lines and spans.

shapes       what a secret looks like: one row for each kind
texts        a text without them, and without the values that are known to be secret
"""

from __future__ import annotations

from outlast._wording.redaction.texts import REDACTED, KnownText, know, redact

__all__ = ["REDACTED", "KnownText", "know", "redact"]
