"""Source lines of user code, short enough to stand in every record."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import CodeType, CoroutineType, FrameType


def folder_of(code: CodeType, parents: int) -> str:
    """Return how the paths of a package's code begin: relative in a built executable."""
    return str(Path(code.co_filename).parents[parents]) + os.sep


_names: dict[tuple[str, int], str] = {}  # by file and line
_NAMES_MAX = 10_000
_OURS = folder_of(folder_of.__code__, 1)
_ASYNCIO = folder_of(asyncio.run.__code__, 0)
_outermost: set[CodeType] = set()


def stop_at(function: Callable[..., object]) -> None:
    """Look for no line beyond calls of a function of ours: it runs user code as an event loop does.

    Who called it has not asked for what that code does.
    """
    _outermost.add(function.__code__)


def place_of_frame(frame: FrameType) -> str:
    """Return `file.py:line` of the line that a frame executes."""
    key = file, line = frame.f_code.co_filename, frame.f_lineno
    name = _names.get(key)
    if name is None:
        if len(_names) >= _NAMES_MAX:
            _names.clear()
        parts = Path(file).parts[-2:]
        name = _names[key] = f"{'/'.join(parts)}:{line}"
    return name


def calling_place(*, beyond: tuple[str, ...] = ()) -> str:
    """Return the innermost line on the stack that is neither ours nor asyncio's.

    Nor of the folders `beyond`, of a library that calls us. "" if there is none, as in a task of
    such a library.
    """
    frame: FrameType | None = sys._getframe(1)  # CPython's documented call
    while frame is not None:
        file = frame.f_code.co_filename
        if not file.startswith((_OURS, _ASYNCIO, *beyond)):
            return place_of_frame(frame)
        if frame.f_code in _outermost:
            return ""
        frame = frame.f_back
    return ""


def waiting_place(code: object, *, beyond: tuple[str, ...] = ()) -> str:
    """Return the innermost line at which a coroutine waits, or is, of those that are the user's."""
    place = ""
    while isinstance(code, CoroutineType):
        frame: FrameType | None = code.cr_frame
        if frame is not None and not frame.f_code.co_filename.startswith(
            (_OURS, _ASYNCIO, *beyond)
        ):
            place = place_of_frame(frame)
        code = code.cr_await
    return place


def defining_locals(fn: Callable[..., object]) -> dict[str, object]:
    """Return the local names around a function that is being defined inside another one.

    Annotations of such a function may name classes that only that scope knows.
    """
    if "<locals>" not in fn.__qualname__:
        return {}
    frame: FrameType | None = sys._getframe(1)  # CPython's documented call
    while frame is not None and frame.f_code.co_filename.startswith(_OURS):
        frame = frame.f_back
    return dict(frame.f_locals) if frame is not None else {}
