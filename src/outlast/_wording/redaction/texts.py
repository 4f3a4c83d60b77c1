"""Secrets that stray into texts: taken out of error messages, tracebacks and log lines.

What looks like a secret is known by its form (`shapes`), by the name it is given (`password=…`), or
by its value: what the
environment has under a name that says so, and what a living `Secret` holds, as it is or escaped.
Values of steps and inputs are not touched: what code returns, it gets back.

Invariants:
  * a text only ever loses what matched; redacting it again changes nothing;
  * a value is known as long as somebody holds its `KnownText`, and no longer.
"""

from __future__ import annotations

import json
import os
import re
import threading
from functools import cache
from urllib.parse import quote
from weakref import WeakValueDictionary

from outlast._wording.redaction.shapes import SECRET_NAME, SHAPES
from outlast.limits import SECRETS_KNOWN_MAX

REDACTED = "[redacted]"

_VALUE_CHARS_MIN = 8  # shorter ones are words of every text

# Of one thread at a time, and of that thread again: a `__del__` that logs may come in between.
_lock = threading.RLock()
_living: WeakValueDictionary[str, KnownText] = WeakValueDictionary()


def redact(text: str) -> str:
    """Return a text without what looks like a secret."""
    lowered = text.lower()
    for shape in SHAPES:
        looked_at = lowered if shape.ignores_case else text
        for cue in shape.cues:
            if cue in looked_at:
                text = shape.pattern.sub(_without, text)
                break
    known = _known_values()
    if known is not None:
        text = known.sub(REDACTED, text)
    for form in _living_forms():
        text = text.replace(form, REDACTED)
    return text


class KnownText:
    """A text that `redact` takes out, as long as somebody holds this."""

    __slots__ = ("__weakref__", "forms")

    def __init__(self, text: str) -> None:
        escaped = repr(text)[1:-1], json.dumps(text)[1:-1], quote(text, safe="", errors="replace")
        # Sorted: which of them is taken out first must not depend on the hash of a text.
        self.forms: tuple[str, ...] = tuple(sorted({text, *escaped}))


def know(text: str) -> KnownText | None:
    """Let a text be taken out of all others; None for one that is too short to be told apart."""
    if len(text) < _VALUE_CHARS_MIN:
        return None
    with _lock:
        found = _living.get(text)
        if found is None:
            while len(_living) >= SECRETS_KNOWN_MAX:
                _living.pop(next(iter(_living.keys())), None)
            found = _living[text] = KnownText(text)
        return found


def _living_forms() -> list[str]:
    """Return what is to be taken out, the longest first: one may be a part of another."""
    with _lock:
        known = list(_living.values())
    return sorted({form for one in known for form in one.forms}, key=_longest_first)


def _longest_first(form: str) -> tuple[int, str]:
    return -len(form), form


def _without(match: re.Match[str]) -> str:
    kept = match.groupdict().get("kept") or ""
    if match[0][len(kept) :].startswith(REDACTED[:-1]):
        return match[0]  # it was redacted before
    return f"{kept}{REDACTED}"


@cache
def _known_values() -> re.Pattern[str] | None:
    """Return a pattern of the environment's secrets, as they were at the first look."""
    values = {
        value
        for name, value in os.environ.items()
        if SECRET_NAME.search(name) and len(value) >= _VALUE_CHARS_MIN and "/" not in value[:1]
    }
    if not values:
        return None
    return re.compile("|".join(re.escape(v) for v in sorted(values, key=len, reverse=True)))
