"""The futures of a run: they hash by the run, so that sets of them iterate alike on replay.

`asyncio.wait` and code of the user's own keep futures in sets, whose order follows the hashes; by
default those are addresses, and differ between processes.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

T = TypeVar("T")

if TYPE_CHECKING:
    # As for tasks: subscripting the base at run time would cost a generic alias in its bases.
    _Future = asyncio.Future[T]
else:
    from typing import Generic

    class _Future(asyncio.Future, Generic[T]):
        __slots__ = ()


class RunFuture(_Future[T]):
    """What `create_future` of a run's loop gives."""

    __slots__ = ("ordinal",)

    ordinal: int

    def __hash__(self) -> int:
        return self.ordinal

    def __eq__(self, other: object) -> bool:
        return self is other
