"""Tracebacks as a person reads them: the frames of libraries are folded.

`dashboard/src/traceback.ts` folds alike.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_FRAME = re.compile(r'  File "(?P<file>[^"]*)", line \d+')
_LIBRARY = re.compile(
    r"^<frozen |[/\\](?:site|dist)-packages[/\\]|[/\\]lib(?:64)?[/\\]python\d"
    r"|[/\\]outlast[/\\](?:_\w+(?:[/\\]\w+)*|engine)\.py$"
)


def folded(traceback: str) -> str:
    """Return a traceback with each row of library frames as one line."""
    return "\n".join(_lines(traceback.splitlines()))


def _lines(lines: list[str]) -> Iterator[str]:
    hidden = 0
    is_hidden = False
    for line in lines:
        frame = _FRAME.match(line)
        if frame is not None:
            is_hidden = _LIBRARY.search(frame["file"]) is not None
            hidden += is_hidden
        elif not line.startswith("    "):
            is_hidden = False
        if is_hidden:
            continue
        if hidden:
            yield f"  ... {hidden} {'frame' if hidden == 1 else 'frames'} of libraries"
            hidden = 0
        yield line
    if hidden:
        yield f"  ... {hidden} {'frame' if hidden == 1 else 'frames'} of libraries"
