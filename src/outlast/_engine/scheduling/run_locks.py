"""One at a time for each run that is not in memory.

Bringing a run in, closing it, parking it and waking it all read the store before they write. While
one of them is at it, the others wait. A run in memory needs no such care: it has one owner.
"""

from __future__ import annotations

from asyncio import Future, get_running_loop
from contextlib import AbstractAsyncContextManager
from types import TracebackType

from typing_extensions import override

from outlast.types import RunId


class _Alone(AbstractAsyncContextManager[None]):
    """The stay of one operation with one run."""

    __slots__ = ("_locks", "_run")

    def __init__(self, locks: dict[RunId, list[Future[None]]], run: RunId) -> None:
        self._locks = locks
        self._run = run

    @override
    async def __aenter__(self) -> None:
        queue = self._locks.get(self._run)
        if queue is None:
            self._locks[self._run] = []
            return
        turn: Future[None] = get_running_loop().create_future()
        queue.append(turn)
        try:
            await turn
        except BaseException:
            if turn.done() and not turn.cancelled():
                self._pass_on()  # the turn came after the waiter had gone
            elif turn in queue:  # else it was passed over meanwhile
                queue.remove(turn)
            raise

    @override
    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._pass_on()

    def _pass_on(self) -> None:
        queue = self._locks.get(self._run, [])
        while queue:
            turn = queue.pop(0)
            if not turn.done():
                turn.set_result(None)
                return
        self._locks.pop(self._run, None)


class RunLocks:
    """Who is alone with which run, and who waits for it; empty when none is."""

    def __init__(self) -> None:
        self._locks: dict[RunId, list[Future[None]]] = {}

    def is_held(self, run: RunId) -> bool:
        """Whether somebody is alone with this run now."""
        return run in self._locks

    def alone_with(self, run: RunId) -> AbstractAsyncContextManager[None]:
        """Keep others from touching this run while it is not in memory."""
        return _Alone(self._locks, run)
