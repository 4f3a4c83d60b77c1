"""The lines that the user types, or that come through a pipe, without a thread that waits."""

from __future__ import annotations

import asyncio
import os
import sys

_BYTES = 64 * 1024
_LINE_BYTES = 4_080  # a terminal gives 4,095 bytes of a line, and drops the rest


class Lines:
    """Standard input line by line; None at its end."""

    def __init__(self) -> None:
        self.is_terminal: bool = sys.stdin.isatty()
        self._queue: asyncio.Queue[str | None] = asyncio.Queue()
        self._rest = b""
        self._descriptor = sys.stdin.fileno()
        self._is_open = True

    def begin(self) -> None:
        """Read from now on."""
        try:
            asyncio.get_running_loop().add_reader(self._descriptor, self._read)
        except PermissionError:  # a file: it is there at once
            self._take(sys.stdin.buffer.read())
            self._end()

    async def next(self) -> str | None:
        """Return the next line, without its end."""
        return await self._queue.get()

    def is_cut(self, line: str) -> bool:
        """Whether the terminal may have dropped the end of a line."""
        return self.is_terminal and len(line.encode()) >= _LINE_BYTES

    def close(self) -> None:
        """Read no more."""
        if self._is_open:
            self._is_open = False
            asyncio.get_running_loop().remove_reader(self._descriptor)

    def _read(self) -> None:
        data = os.read(self._descriptor, _BYTES)
        if data:
            self._take(data)
        else:
            self.close()
            self._end()

    def _take(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._queue.put_nowait(line.decode(errors="replace"))

    def _end(self) -> None:
        if self._rest:
            self._queue.put_nowait(self._rest.decode(errors="replace"))
            self._rest = b""
        self._queue.put_nowait(None)
