"""Owning the pauses: when garbage is collected, and who blocks the loop.

Default CPython stalls for seconds when 100,000 runs are alive. The engine freezes what start-up
made (unless the program has frozen it already), raises the thresholds, and collects young garbage
itself while the loop is idle.
A thread watches the loop and logs the stack of whoever blocks it.
"""

from __future__ import annotations

import gc
import logging
import sys
import threading
import traceback
from collections.abc import Callable
from types import FrameType

from outlast import limits
from outlast._events import Events
from outlast._world import Ticker, Timer, World

log = logging.getLogger("outlast.latency")

_FRAMES_FIRST = 20
_FRAMES_LAST = 20


# CPython 3.12 itself begins with some hundred frozen objects; a program has ten thousands.
_FROZEN_BY_PYTHON_MAX = 2_000


class GarbagePolicy:
    """Collects in idle gaps; the collector's own settings are put back on close."""

    _open = 0
    _has_frozen = False
    _is_left_to_program = False
    _thresholds = (700, 10, 10)

    def __init__(self, world: World, events: Events, *, is_idle: Callable[[], bool]) -> None:
        self._world = world
        self._events = events
        self._is_idle = is_idle
        self._timer: Timer | None = None
        self._commits_seen = 0
        if GarbagePolicy._open == 0:
            GarbagePolicy._thresholds = gc.get_threshold()
            gc.set_threshold(*limits.GC_THRESHOLDS)
        GarbagePolicy._open += 1

    def freeze(self) -> None:
        """Leave everything that exists now out of future collections.

        A program that has frozen objects itself decides what is frozen: objects are unfrozen all at
        once, so what the engine added could not be taken back without what the program froze.
        A program that has done so once is not asked again: counting 400,000 frozen objects takes
        25 ms, and tests open thousands of engines.
        """
        if GarbagePolicy._is_left_to_program:
            return
        if gc.get_freeze_count() > _FROZEN_BY_PYTHON_MAX and not GarbagePolicy._has_frozen:
            GarbagePolicy._is_left_to_program = True
            return
        gc.collect()
        gc.freeze()
        GarbagePolicy._has_frozen = True

    def worked(self) -> None:
        """The engine did something: look for an idle gap to collect in."""
        if self._timer is None:
            self._timer = self._world.call_later(limits.GC_IDLE_SECONDS, self._maybe_collect)

    def _maybe_collect(self) -> None:
        self._timer = None
        if self._events.commits != self._commits_seen or not self._is_idle():
            self._commits_seen = self._events.commits
            self.worked()
            return
        began = self._world.monotonic()
        gc.collect(1)
        pause = self._world.monotonic() - began
        self._events.collections += 1
        self._events.collection_seconds_max = max(self._events.collection_seconds_max, pause)

    def close(self) -> None:
        """Put the collector back as it was."""
        if self._timer is not None:
            self._timer.cancel()
        GarbagePolicy._open -= 1
        if GarbagePolicy._open == 0:
            gc.set_threshold(*GarbagePolicy._thresholds)
            if GarbagePolicy._has_frozen:
                GarbagePolicy._has_frozen = False
                gc.unfreeze()


class Watchdog:
    """A thread that notices when the loop does not turn, and says what it was doing instead."""

    def __init__(self, world: World, events: Events) -> None:
        self._world = world
        self._events = events
        self._loop_thread = threading.get_ident()
        self._asked_at: float | None = None
        self._is_reported = False
        seconds = limits.LAG_SECONDS_MAX / 2
        self._ticker: Ticker = world.every(seconds, self._look, name="outlast-watchdog")

    def _look(self) -> None:
        now = self._world.monotonic()
        asked_at = self._asked_at  # read once: the loop's thread clears it
        if asked_at is None:
            self._asked_at = now
            self._world.call_soon_threadsafe(self._answered)
        elif now - asked_at >= limits.LAG_SECONDS_MAX and not self._is_reported:
            self._is_reported = True
            self._events.loop_blocked += 1
            frame = sys._current_frames().get(self._loop_thread)  # documented
            stack = _text_of(frame) if frame is not None else "unknown"
            log.warning("the event loop has been blocked for %.2fs by:\n%s", now - asked_at, stack)

    def _answered(self) -> None:
        self._asked_at = None
        self._is_reported = False

    def close(self) -> None:
        """Stop watching."""
        self._ticker.stop()


def _text_of(frame: FrameType) -> str:
    """Return a stack in words; of a deep one the ends."""
    frames = list(traceback.extract_stack(frame))
    left_out = len(frames) - _FRAMES_FIRST - _FRAMES_LAST
    if left_out <= 0:
        return "".join(traceback.format_list(frames))
    first = traceback.format_list(frames[:_FRAMES_FIRST])
    last = traceback.format_list(frames[-_FRAMES_LAST:])
    return "".join([*first, f"  ({left_out} frames are left out)\n", *last])
