"""Bodies that begin in heaps: so many in a turn of the loop as leave others their turns."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from outlast._journal import slices
from outlast._world import World

_STARTS_FIRST = 8  # in a turn, before it is known how long they take
_STARTS_MAX = 1_024


class Starts:
    """Starts tasks, so many in a turn of the loop as can do their first part in a slice.

    The first of a turn is started at once. How long the others take is only known when they ran:
    between two callbacks around them.
    """

    __slots__ = ("_began", "_has_begun", "_is_called", "_most", "_waiting", "_world")

    def __init__(self, world: World) -> None:
        self._world = world
        self._waiting: deque[Callable[[], object]] = deque()
        self._most = _STARTS_FIRST
        self._began = 0.0
        self._has_begun = False  # one in this turn
        self._is_called = False

    def add(self, start: Callable[[], object]) -> None:
        """Start a task in this turn, or in one of the next."""
        if not self._has_begun and not self._waiting:
            self._has_begun = True
            self._world.call_soon(self._next_turn)
            start()
            return
        self._waiting.append(start)
        if not self._is_called:
            self._is_called = True
            self._world.call_soon(self._go_on)

    def _next_turn(self) -> None:
        self._has_begun = False

    def _go_on(self) -> None:
        world, waiting = self._world, self._waiting
        world.call_soon(self._note_begin)
        count = min(self._most, len(waiting))
        for _ in range(count):
            waiting.popleft()()
        world.call_soon(self._note_end, count)

    def _note_begin(self) -> None:
        self._began = self._world.monotonic()

    def _note_end(self, count: int) -> None:
        took = self._world.monotonic() - self._began
        if took > slices.SLICE_SECONDS:
            self._most = max(1, int(count * slices.SLICE_SECONDS / took))
        elif count == self._most and took < slices.SLICE_SECONDS / 2:
            self._most = min(_STARTS_MAX, 2 * count)
        if self._waiting:
            self._go_on()
        else:
            self._is_called = False
