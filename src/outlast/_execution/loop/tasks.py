"""Where things stand inside a run: the places of tasks, the keys of operations, cancel scopes.

A key is `path#n:name`. The path is the task's place in the tree of tasks, by order of creation
(`0`, `0.1`, `0.1.2`), n counts the operations of that task, name is what was asked for. A change
in one branch of a workflow therefore leaves the keys of other branches alone.

Invariants:
  * keys depend only on the order in which the code asks, never on time, addresses or hashing;
  * a task hashes by the run's salt plus its ordinal, so that sets of tasks iterate alike in every
    process, and tasks of different runs do not collide in asyncio's own set of all tasks.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Coroutine
from contextvars import Context
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

T = TypeVar("T")

if TYPE_CHECKING:
    # At run time asyncio.Task is generic only for type checkers' sake; subscripting it in a base
    # class would cost a generic alias in the bases of the hottest class we have.
    _Task = asyncio.Task[T]
else:
    from typing import Generic

    class _Task(asyncio.Task, Generic[T]):
        __slots__ = ()


@dataclass(slots=True)
class TaskPath:
    """Where a task stands in its run, and how many children and operations it has had."""

    path: str
    children: int = 0
    operations: int = 0
    draws: random.Random | None = None  # what its code draws chance from, made at the first draw
    drawn_from: bytes = b""  # the seed that it was made with

    def next_key(self, name: str) -> str:
        """Return the key of the next operation asked for here."""
        self.operations += 1
        return f"{self.path}#{self.operations}:{name}"

    def next_path(self) -> str:
        """Return the path of the next child task."""
        self.children += 1
        return f"{self.path}.{self.children}"


class Scope:
    """A region of a task, and of the tasks made inside it, that is cancelled as one."""

    __slots__ = ("has_expired", "is_cancelled", "is_shield", "parent")

    def __init__(self, parent: Scope | None, *, is_shield: bool = False) -> None:
        self.parent: Scope | None = parent
        self.is_shield: bool = is_shield
        self.is_cancelled: bool = False
        self.has_expired: bool = False  # cancelled by its own timeout

    def is_reached(self) -> bool:
        """Whether a cancellation of this scope, or of one around it, reaches code in here."""
        scope: Scope | None = self
        while scope is not None:
            if scope.is_cancelled:
                return True
            if scope.is_shield:
                return False
            scope = scope.parent
        return False


class Cancels:
    """What a run's tasks tell their loop of cancellations."""

    __slots__ = ("happened", "is_delivering")

    def __init__(self) -> None:
        self.happened: bool = False  # some task was cancelled since this was last looked at
        self.is_delivering: bool = False  # the run's own cancellation is being delivered


class RunTask(_Task[T]):
    """An asyncio task of a run, which knows its place and cancel scope."""

    __slots__ = ("cancels", "ordinal", "place", "scope")

    def __init__(
        self,
        coro: Coroutine[object, object, T],
        *,
        loop: asyncio.AbstractEventLoop,
        name: str | None,
        context: Context | None,
        place: TaskPath,
        scope: Scope,
        cancels: Cancels,
        ordinal: int,
    ) -> None:
        self.cancels: Cancels = cancels
        self.place: TaskPath = place
        self.scope: Scope = scope
        self.ordinal: int = ordinal
        super().__init__(coro, loop=loop, name=name or place.path, context=context)

    def cancel(self, msg: object | None = None) -> bool:
        """Request cancellation; a task in a shield takes none from outside the shield."""
        if self.cancels.is_delivering and not self.scope.is_reached():
            return False
        self.cancels.happened = True
        return super().cancel(msg)

    @property
    def waits_for(self) -> asyncio.Future[object] | None:
        """The future that the task is suspended on."""
        waiter: asyncio.Future[object] | None = getattr(self, "_fut_waiter", None)
        return waiter

    def give_up(self) -> None:
        """Let the task be dropped while it is pending, without asyncio's warning."""
        self._log_destroy_pending = False

    def __hash__(self) -> int:
        return self.ordinal

    def __eq__(self, other: object) -> bool:
        return self is other
