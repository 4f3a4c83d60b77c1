"""Lengths of time as users write them, turned into seconds.

Invariant: what comes out is a finite number of seconds; whether zero or less is allowed is the
caller's business.
"""

from __future__ import annotations

import math
import re
from datetime import timedelta

from outlast.errors import DurationError
from outlast.types import Duration

_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*(us|ms|s|m|h|d|w)")
SECONDS_MAX = 100 * 365 * 86400.0  # a century: beyond it a length is a mistake in its unit


def seconds_of(duration: Duration) -> float:
    """Return `duration` in seconds.

    Raises:
        DurationError: not a length of time, not finite, or longer than a century.
    """
    if isinstance(duration, timedelta):
        seconds = duration.total_seconds()
    elif isinstance(duration, str):
        seconds = _parse(duration)
    elif isinstance(duration, (int, float)) and not isinstance(duration, bool):
        seconds = float(duration)
    else:
        raise DurationError(
            f"a duration is seconds as a number, a timedelta, or text like '30s'; "
            f"got {type(duration).__name__}"
        )
    if not math.isfinite(seconds) or abs(seconds) > SECONDS_MAX:
        raise DurationError(f"duration {duration!r} is not finite or longer than a century")
    return seconds


def _parse(text: str) -> float:
    stripped = text.strip()
    if re.fullmatch(r"\d+(?:\.\d+)?", stripped):
        return float(stripped)
    total = 0.0
    position = 0
    for part in _PART.finditer(stripped):
        if stripped[position : part.start()].strip():
            break
        total += float(part.group(1)) * _UNITS[part.group(2)]
        position = part.end()
    if not stripped or position != len(stripped):
        raise DurationError(
            f"{text!r} is not a duration: write a number and a unit, "
            f"such as '200ms', '30s', '10m', '1h30m', '3d'"
        )
    return total


def text_of(seconds: float) -> str:
    """Return a short text for people: '1.5s', '2m 5s', '3d 4h'."""
    if seconds < 0:
        return "-" + text_of(-seconds)
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f}ms"
    if seconds < 60:
        return f"{seconds:.1f}s"
    parts: list[str] = []
    rest = int(seconds)
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        amount, rest = divmod(rest, size)
        if amount:
            parts.append(f"{amount}{unit}")
    return " ".join(parts[:2])
