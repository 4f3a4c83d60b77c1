"""A thread's hooks for async generators: those of a run are its own, all others the host loop's.

Setting hooks takes microseconds, since every audit hook of the process is told. So ours stay in
front of those of the thread's loop, and hand on what no run that drains has started.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import AsyncGenerator, Callable
from typing import TypeAlias
from weakref import ref

from outlast._execution.loop.generators import Generators

_Generator: TypeAlias = AsyncGenerator[object, object]
_Hook: TypeAlias = "Callable[[_Generator], None] | None"
_PRUNED_FROM = 32


class GeneratorHooks:
    """The hooks of one thread.

    Attributes:
        draining: the generators of the run that is draining there.
        started: our hook for a generator that is iterated for the first time, while it is set.
        is_bare: the thread has no loop with hooks: ours are taken out again after each drain.
    """

    __slots__ = (
        "_host_dropped",
        "_host_started",
        "_owners",
        "_pruned_at",
        "draining",
        "is_bare",
        "started",
    )

    def __init__(self) -> None:
        self.draining: Generators | None = None
        self.started: _Hook = None
        self.is_bare = False
        self._host_started: _Hook = None
        self._host_dropped: _Hook = None
        # By id: when one is dropped, no weak reference leads to it any more.
        self._owners: dict[int, tuple[Generators, ref[_Generator]]] = {}
        self._pruned_at = _PRUNED_FROM

    def install(self) -> None:
        """Put our hooks in front of those that are there."""
        hooks = sys.get_asyncgen_hooks()
        self._host_started, self._host_dropped = hooks.firstiter, hooks.finalizer
        self.is_bare = hooks.firstiter is None and hooks.finalizer is None
        self.started = self._note
        sys.set_asyncgen_hooks(firstiter=self.started, finalizer=self._dropped)

    def put_back(self) -> None:
        """Take our hooks out again."""
        sys.set_asyncgen_hooks(firstiter=self._host_started, finalizer=self._host_dropped)
        self.started = None

    def _note(self, generator: _Generator) -> None:
        owner = self.draining
        if owner is not None:
            if len(self._owners) >= self._pruned_at:
                self._prune()
            self._owners[id(generator)] = owner, ref(generator)
            owner.note(generator)
            return
        self._owners.pop(id(generator), None)  # of one that was finished, and had this address
        if self._host_started is not None:
            self._host_started(generator)

    def _dropped(self, generator: _Generator) -> None:
        owner, _ = self._owners.pop(id(generator), (None, None))
        if owner is not None:
            owner.dropped(generator, is_draining=owner is self.draining)
        elif self._host_dropped is not None:
            self._host_dropped(generator)

    def _prune(self) -> None:
        self._owners = {i: owner for i, owner in self._owners.items() if owner[1]() is not None}
        self._pruned_at = max(_PRUNED_FROM, 2 * len(self._owners))


class _Here(threading.local):
    def __init__(self) -> None:
        self.hooks = GeneratorHooks()


HERE = _Here()
