"""Work that comes in heaps, done a few milliseconds at a time: others have their turns between.

A commit may be that of a thousand runs, and what each of them does next may take a millisecond:
done in one turn of the loop, nobody else would be served for a second.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

from outlast._world import World

T = TypeVar("T")

SLICE_SECONDS = 0.003


class Slices(Generic[T]):
    """Does one thing with each item, in order, in slices."""

    __slots__ = ("_do", "_is_called", "_items", "_then", "_world")

    def __init__(
        self, world: World, do: Callable[[T], None], then: Callable[[], None] | None = None
    ) -> None:
        self._world = world
        self._do = do
        self._then = then  # called when all is done
        self._items: deque[T] = deque()
        self._is_called = False

    def __len__(self) -> int:
        return len(self._items)

    def add(self, item: T) -> None:
        """Do it in one of the next turns."""
        self._items.append(item)
        self._call()

    def go_through(self, items: Iterable[T]) -> None:
        """Begin with them here and now, unless others are before them."""
        self._items.extend(items)
        if not self._is_called:
            self._go_on()

    def _go_on(self) -> None:
        self._is_called = False
        items, monotonic = self._items, self._world.monotonic
        ends = monotonic() + SLICE_SECONDS
        while items:
            try:
                self._do(items.popleft())
            except BaseException:
                if items:
                    self._call()  # the others must have their turn all the same
                raise
            if items and monotonic() >= ends:
                self._call()
                return
        if self._then is not None:
            self._then()

    def _call(self) -> None:
        if not self._is_called:
            self._is_called = True
            self._world.call_soon(self._go_on)
