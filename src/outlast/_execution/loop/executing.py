"""Whose code executes on this thread, and calls from it to the outside."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from outlast._execution.loop.event_loop import EXECUTING, RunLoop
from outlast._execution.loop.tasks import TaskPath

T = TypeVar("T")

_set_running_loop = asyncio._set_running_loop  # documented for loop implementers
_get_running_loop = asyncio._get_running_loop


class Woken(Exception):
    """Code that may only read has woken what waits."""


def hash_of_call(call: object) -> int:
    """Return a hash for a call: of the run whose code makes it, or by its address."""
    loop = EXECUTING.loop
    if loop is None:
        return id(call) >> 4
    loop._hashes += 1
    return (loop.salt ^ (loop._hashes << 1)) & 0xFFFFFFFFFFFFFFF


def message_in(loop: RunLoop) -> str:
    """Return the number of the message that an actor handles; empty in a workflow."""
    return "" if loop._first_place == "0" else loop._first_place


def running_loop() -> RunLoop | None:
    """Return the loop of the run whose code is executing on this thread, if one is."""
    return EXECUTING.loop


def run_inside(loop: RunLoop, action: Callable[[], T]) -> T:
    """Call `action` as though from a callback of this loop."""
    outer = _get_running_loop()
    if outer is not loop:
        loop._outer = outer
    _set_running_loop(loop)
    outer_run, EXECUTING.loop = EXECUTING.loop, loop
    try:
        return action()
    finally:
        EXECUTING.loop = outer_run
        _set_running_loop(outer)


def run_reading(loop: RunLoop, action: Callable[[], T], place: TaskPath) -> T:
    """Call `action` as code that only reads; `place` refuses what it asks for."""
    outer, loop.callback_place = loop.callback_place, place
    counts = loop._hashes, loop._futures_made
    try:
        return run_inside(loop, action)
    finally:
        loop.callback_place = outer
        loop._hashes, loop._futures_made = counts
        if loop._ready:
            loop._ready.clear()
            raise Woken


def run_outside(loop: RunLoop, action: Callable[[], T]) -> T:
    """Call `action` as though outside of the run, from within its code."""
    _set_running_loop(loop._outer)
    EXECUTING.loop, EXECUTING.exempt = None, loop
    try:
        return action()
    finally:
        EXECUTING.loop, EXECUTING.exempt = loop, None
        _set_running_loop(loop)


def executing_loop() -> RunLoop | None:
    """Return the same also where code of the run's calls is exempt: a log handler, an import."""
    return EXECUTING.loop or EXECUTING.exempt
