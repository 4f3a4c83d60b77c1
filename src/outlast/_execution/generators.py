"""The async generators that a run's code has started: the run closes them, not the host's loop."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Coroutine


class Generators:
    """Started async generators of one run, in order of their start."""

    __slots__ = ("_started",)

    def __init__(self) -> None:
        self._started: list[AsyncGenerator[object, object]] = []

    def note(self, generator: AsyncGenerator[object, object]) -> None:
        """Keep one that was just started."""
        if len(self._started) >= 32:
            self._started = self._open()
        self._started.append(generator)

    def _open(self) -> list[AsyncGenerator[object, object]]:
        return [g for g in self._started if getattr(g, "ag_frame", None) is not None]

    def __bool__(self) -> bool:
        """Whether one was started and not finished."""
        return bool(self._open())

    def closing(self) -> list[Coroutine[object, object, None]]:
        """Return what closes those that the code has abandoned, and forget them."""
        generators, self._started = self._open(), []
        return [_aclose(generator) for generator in generators]

    def clear(self) -> None:
        """Let go of all."""
        self._started.clear()


async def _aclose(generator: AsyncGenerator[object, object]) -> None:
    await generator.aclose()
