"""The async generators that a run's code has started: the run closes them, not the host's loop.

A generator that its code drops (a `break` out of `async for`) is closed at the end of the drain in
which that happened, in order of start, by a task of its own. CPython drops it by counting
references, which is the same whenever the code is replayed. One that only the cyclic collector
finds, or that another thread drops, or that is dropped while the run's loop does not run, is closed
when the body has returned: its moment could differ between two lives.
"""

from __future__ import annotations

import gc
from collections.abc import AsyncGenerator, Coroutine, Mapping
from threading import get_ident
from typing import Protocol
from weakref import ref

from outlast._execution.loop.tasks import RunTask, Scope

_PRUNED_FROM = 32


class CreatesTask(Protocol):
    """What makes a task of the run at a place of its own."""

    def __call__(self, coro: Coroutine[object, object, None], *, path: str) -> RunTask[None]:
        """Return the task."""
        ...


class _Collector:
    """The thread in which the cyclic collector is at work, 0 while it is not.

    Others go on meanwhile: it lets them as soon as it calls Python code.
    """

    thread = 0


def _note_collection(phase: str, _: Mapping[str, int]) -> None:
    _Collector.thread = get_ident() if phase == "start" else 0


gc.callbacks.append(_note_collection)


class Generators:
    """Started async generators of one run, by the order of their start."""

    __slots__ = (
        "_closing",
        "_count",
        "_left",
        "_pruned_at",
        "_started",
        "_thread",
        "abandoned",
        "scope",
    )

    def __init__(self) -> None:
        # Containers are made with the first generator: most runs start none.
        self._started: dict[int, tuple[int, ref[AsyncGenerator[object, object]]]] | None = None
        self._left: list[tuple[int, AsyncGenerator[object, object]]] | None = None
        self._count = 0
        self._pruned_at = _PRUNED_FROM
        self._thread = get_ident()
        self.abandoned: list[tuple[int, AsyncGenerator[object, object]]] | None = None
        self.scope: Scope = Scope(None)  # of closings: the end of the body cuts none short
        self._closing: list[RunTask[None]] | None = None

    def note(self, generator: AsyncGenerator[object, object]) -> None:
        """Number one that was just started."""
        started = self._started
        if started is None:
            started = self._started = {}
        elif len(started) >= self._pruned_at:
            started = self._started = {i: (n, r) for i, (n, r) in started.items() if _is_open(r())}
            self._pruned_at = max(_PRUNED_FROM, 2 * len(started))
        self._count += 1
        started[id(generator)] = self._count, ref(generator)

    def dropped(self, generator: AsyncGenerator[object, object], *, is_draining: bool) -> None:
        """Keep one that was dropped before it was finished, by its code if that is running here."""
        started = self._started
        number, _ = (0, None) if started is None else started.pop(id(generator), (0, None))
        if not number:
            return  # of code that has left memory: it never runs again
        here = get_ident()
        if is_draining and here == self._thread and here != _Collector.thread:
            self.abandoned = [*(self.abandoned or ()), (number, generator)]
        else:
            self._left = [*(self._left or ()), (number, generator)]

    def close(self, create_task: CreatesTask, first_place: str) -> None:
        """Close those that were dropped in this drain, in order of their start."""
        found, self.abandoned = self.abandoned or [], None
        for number, generator in sorted(found, key=lambda one: one[0]):
            task = create_task(_closed(generator), path=f"{first_place}g{number}")
            task.scope = self.scope
            self._closing = [*(self._closing or ()), task]

    @property
    def are_closing(self) -> bool:
        """Whether one is being closed: the run ends after that."""
        return self._closing is not None and any(not task.done() for task in self._closing)

    def abandon_all(self) -> bool:
        """The body has returned: what is still open is abandoned; say whether there was any.

        One that a task is executing ends with that task.
        """
        if not self._count:
            return False
        found, self._left = self._left or [], None
        started = self._started or {}
        for number, reference in started.values():
            generator = reference()
            is_running: bool = getattr(generator, "ag_running", False)
            if generator is not None and _is_open(generator) and not is_running:
                found.append((number, generator))
        for _, generator in found:
            started.pop(id(generator), None)
        self.abandoned = [*(self.abandoned or ()), *found]
        return bool(found)

    def begin_anew(self) -> None:
        """Let go of all, and count from the first."""
        if not (self._count or self.scope.is_cancelled):
            return  # most runs start none
        self._started = self._left = self.abandoned = self._closing = None
        self.scope = Scope(None)
        self._count = 0


def _is_open(generator: AsyncGenerator[object, object] | None) -> bool:
    return generator is not None and getattr(generator, "ag_frame", None) is not None


async def _closed(generator: AsyncGenerator[object, object]) -> None:
    await generator.aclose()
