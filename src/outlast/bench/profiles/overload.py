"""Profile `overload`: ten times the clients that it takes to reach the peak, none of them patient.

Each client starts runs one after another and tries again at once when it is refused. Goodput is
what was started; the floor is the peak of the same server just before.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from outlast.bench.result import Bar, Result, quantile
from outlast.bench.sizes import Sizes
from outlast.bench.web import Line, Site, server

Note = Callable[[str], None]

_PEAK_CLIENTS = 32
_TIMES = 10
_LOOK_SECONDS = 0.25


@dataclass(slots=True)
class Tally:
    """What came back, and when."""

    started_at: list[float] = field(default_factory=list[float])
    refused_after: list[float] = field(default_factory=list[float])

    def rate(self, since: float, until: float) -> float:
        """Return starts a second between two moments."""
        return sum(since <= at < until for at in self.started_at) / max(0.001, until - since)


async def overload(directory: Path, sizes: Sizes, note: Note) -> Result:
    """Goodput under ten times the load, how quick refusals are, and the way back."""
    seconds = sizes.overload_seconds
    async with server("ours", directory) as site:
        note("the peak")
        await _load(site, _PEAK_CLIENTS, seconds / 2)  # warm
        peak = await _load(site, _PEAK_CLIENTS, seconds)
        before = site.resident_bytes()
        note(f"{_TIMES} times the load")
        over = await _load(site, _PEAK_CLIENTS * _TIMES, seconds)
        grown = site.resident_bytes() - before
        note("back to normal")
        began = time.perf_counter()
        after = await _load(site, _PEAK_CLIENTS, seconds)
    goodput = _middle(over)
    most = _middle(peak)
    refused = over.refused_after or [0.0]
    back = _seconds_until(after, 0.9 * most, began)
    return Result(
        profile="overload",
        settings={"clients": _PEAK_CLIENTS * _TIMES, "seconds": seconds},
        ours={
            "goodput_per_second": goodput,
            "refused_per_second": len(over.refused_after) / seconds,
            "refusal_p50_ms": quantile(refused, 0.5) * 1e3,
            "refusal_p99_ms": quantile(refused, 0.99) * 1e3,
            "memory_grown_bytes": float(grown),
            "seconds_until_normal": back,
        },
        floor={"peak_per_second": most},
        ratio=goodput / most,
        bars=[
            Bar("goodput in peaks", goodput / most, 0.8, True),
            Bar("p99 of a refusal in ms", quantile(refused, 0.99) * 1e3, 100.0),
            Bar("seconds until it is back to normal", back, 10.0),
        ],
    )


async def _load(site: Site, clients: int, seconds: float) -> Tally:
    tally = Tally()
    lines = [await Line.open(site) for _ in range(clients)]
    ends = time.perf_counter() + seconds
    await asyncio.gather(*(_hammer(site, line, tally, ends) for line in lines))
    for line in lines:
        line.writer.close()
    return tally


async def _hammer(site: Site, line: Line, tally: Tally, ends: float) -> None:
    request = site.request("POST", "/v1/workflows/bench.once/runs", {"input": {"value": 1}})
    while (began := time.perf_counter()) < ends:
        status = await line.status(request)
        now = time.perf_counter()
        if status == 201:
            tally.started_at.append(now)
        else:
            tally.refused_after.append(now - began)


def _middle(tally: Tally) -> float:
    """Return the median rate of the slices of a measurement."""
    first, last = tally.started_at[0], tally.started_at[-1]
    count = max(1, int((last - first) / _LOOK_SECONDS))
    moments = [first + n * _LOOK_SECONDS for n in range(count + 1)]
    if count < 2:
        return tally.rate(first, last + 0.001)
    return statistics.median(tally.rate(a, b) for a, b in pairwise(moments))


def _seconds_until(tally: Tally, wanted: float, began: float) -> float:
    moment = began
    while moment < tally.started_at[-1]:
        if tally.rate(moment, moment + _LOOK_SECONDS) >= wanted:
            return moment - began
        moment += _LOOK_SECONDS
    return moment - began
