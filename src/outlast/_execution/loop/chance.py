"""Chance in workflow code: drawn from a seed in the run's journal, so that replay draws the same.

`random.*`, `uuid.uuid1`, `uuid.uuid4` and `os.urandom` work in workflow code. Each task of a run
has a source of its own, seeded by the run's chance seed and the task's path; how often it was drawn
from is part of its state. So a draw in one branch of a workflow does not move the draws of another.

The Mersenne Twister is CPython's (`random.Random`), whose output for a seed is the same on every
version that outlast supports. It is no source of secrets, and neither is the journal: whoever reads
the seed can repeat every draw. `secrets` and `SystemRandom` are therefore refused (`guards`).

Invariant: a draw inside a run never moves the process's own state, and none outside moves a run's.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, TypeVar

from typing_extensions import override

from outlast._execution.loop.executing import running_loop
from outlast._world import seeded
from outlast.errors import NotDeterministic

_GREGORIAN_TO_UNIX = 0x01B21DD213814000  # 100 ns from 1582-10-15 to 1970-01-01 (RFC 9562, 5.1)
_OLD_RUN = "use wf.random() or wf.uuid(): the run began before outlast recorded a seed for this"

T = TypeVar("T")

if TYPE_CHECKING:
    _State = tuple[object, ...]


def run_source(what: str) -> random.Random | None:
    """Return the source of the task whose workflow code is executing; None outside of a run.

    Raises:
        NotDeterministic: the run's journal was begun without a chance seed.
    """
    loop = running_loop()
    if loop is None:
        return None
    place = loop.current_place()
    if place.draws is None or place.drawn_from is not loop.chance_seed:
        if not loop.chance_seed:
            raise NotDeterministic(what, _OLD_RUN)
        place.draws = seeded(loop.chance_seed + place.path.encode())
        place.drawn_from = loop.chance_seed
    return place.draws


class _PerRun(Generic[T]):
    """An attribute of the process's generator that each run has of its own."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, holder: object, _: type | None = None) -> object:
        source = run_source(f"random.{self._name}")
        if source is not None:
            return getattr(source, self._name)
        return vars(holder).get(self._name)

    def __set__(self, holder: object, value: object) -> None:
        source = run_source(f"random.{self._name}")
        if source is not None:
            setattr(source, self._name, value)
        else:
            vars(holder)[self._name] = value


class SharedRandom(random.Random):
    """The generator behind the functions of `random`: in workflow code it draws from the run.

    All functions of `random` come down to these methods, also those that were imported by name
    before outlast was; only `from random import random` and `getrandbits`, which are C functions
    bound to the generator, cannot be reached when they were imported first.
    """

    gauss_next = _PerRun[float | None]("gauss_next")

    @override
    def random(self) -> float:
        source = run_source("random.random()")
        return super().random() if source is None else source.random()

    @override
    def getrandbits(self, k: int, /) -> int:
        source = run_source("random.getrandbits()")
        return super().getrandbits(k) if source is None else source.getrandbits(k)

    @override
    def seed(  # type: ignore[override]  # as typeshed has it for the class above
        self, a: int | float | str | bytes | bytearray | None = None, version: int = 2
    ) -> None:
        source = run_source("random.seed()")
        if source is None:
            super().seed(a, version)
        else:
            source.seed(a, version)

    @override
    def getstate(self) -> _State:  # type: ignore[override]  # as above
        source = run_source("random.getstate()")
        return super().getstate() if source is None else source.getstate()

    @override
    def setstate(self, state: _State) -> None:
        source = run_source("random.setstate()")
        if source is None:
            super().setstate(state)
        else:
            source.setstate(state)


_stock_seed: Callable[..., None] = vars(random.Random)["seed"]


def _seed(
    self: random.Random,
    a: int | float | str | bytes | bytearray | None = None,
    version: int = 2,
) -> None:
    """Seed a generator; `Random()` in workflow code is seeded by the run."""
    source = run_source("random.Random()") if a is None else None
    _stock_seed(self, a if source is None else source.getrandbits(256), version)


def drawn_bytes(count: int) -> bytes | None:
    """Return bytes drawn for workflow code, None outside of a run."""
    source = run_source("os.urandom()")
    return None if source is None else source.randbytes(count)


def drawn_node() -> int | None:
    """Return a node of a UUID drawn for workflow code and marked as such, None outside of a run."""
    source = run_source("uuid.getnode()")
    return None if source is None else source.getrandbits(48) | 1 << 40


def drawn_uuid1(node: int | None = None, clock_seq: int | None = None) -> uuid.UUID | None:
    """Return a UUID of version 1 for workflow code, None outside of a run.

    Its time is the run's logical time; its node is drawn, and marked as such (RFC 9562, 6.10).
    """
    source = run_source("uuid.uuid1()")
    loop = running_loop()
    if source is None or loop is None:
        return None
    if clock_seq is None:
        clock_seq = source.getrandbits(14)
    if node is None:
        node = source.getrandbits(48) | 1 << 40
    ticks = int(loop.time() * 1e6) * 10 + _GREGORIAN_TO_UNIX
    fields = (ticks & 0xFFFFFFFF, ticks >> 32 & 0xFFFF, ticks >> 48 & 0x0FFF)
    high, low = clock_seq >> 8 & 0x3F, clock_seq & 0xFF
    return uuid.UUID(fields=(*fields, high, low, node), version=1)


def install_chance(replace: Callable[[object, str, object], None]) -> None:
    """Let this process's functions of chance draw from the run in workflow code.

    `replace(holder, name, value)` sets an attribute.
    """
    shared: object = getattr(vars(random)["getrandbits"], "__self__", None)
    replace(shared, "__class__", SharedRandom)
    for name in ("random", "getrandbits", "seed", "getstate", "setstate"):
        replace(random, name, getattr(shared, name))
    replace(random.Random, "seed", _seed)
