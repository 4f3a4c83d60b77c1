"""What a supervisor decides, as plain functions of what it knows.

After the supervisors of Erlang/OTP (its documentation, "supervisor behaviour"): strategies, restart
intensity, significant members.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from outlast import limits
from outlast.types import Strategy

M = TypeVar("M")


def group_of(strategy: Strategy, members: Sequence[M], failed: M) -> list[M]:
    """Return the members that are started again with the one that failed, in order."""
    if strategy == "one_for_all":
        return list(members)
    if strategy == "rest_for_one":
        return list(members[members.index(failed) :])
    return [failed]


def recent(times: Sequence[float], now: float, within: float) -> list[float]:
    """Return the times that still count, in seconds."""
    return [at for at in times if now - at < within]


def pause_before(failures: int) -> float:
    """Return how many seconds to wait before the restart after the n-th recent failure."""
    first, longest = limits.SUPERVISOR_PAUSE_SECONDS
    if failures <= 1:
        return 0.0
    return min(longest, first * 2.0 ** min(failures - 2, 60))
