"""The queue of one provider's key: requests wait here for their turns, in an order that is fair.

How much of its minute is used is kept durably, by what is asked as a `Window`: an engine that comes
after a crash knows what the one before it had sent. The queue itself is memory: who waits in it are
steps that run, and each asks again when it is run again, with the time at which its run asked
first.

Invariants:
  * a request has its turn only after the window has recorded it;
  * at most one question to the window is under way, for as many requests as wait, up to a bound.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from outlast._engine.providers import limits
from outlast._engine.providers.declared import DeclaredLimits, ProviderLimit
from outlast._engine.providers.order import Order, Waiting
from outlast._wording.durations import text_of
from outlast._wording.plurals import counted
from outlast._world import Timer, World
from outlast.types import ProviderInfo


@dataclass(frozen=True, slots=True)
class Correction:
    """What a request that was admitted in a second has used beyond what was counted then."""

    second: int
    requests: int
    tokens: int


@dataclass(frozen=True, slots=True)
class Admitted:
    """The answer of a window: the first `count` requests may be sent, the next one at `next_at`.

    Times are in seconds since 1970. They must be sent until `send_by`, and are recorded in that
    `second`. `requests` and `tokens` are what is used of the minute, with these.
    """

    count: int
    send_by: float
    second: int
    next_at: float
    held_until: float
    requests: int
    tokens: int


class Window(Protocol):
    """What is used of a provider's minute, kept durably."""

    async def admit(
        self,
        limit: ProviderLimit,
        tokens: list[int],
        corrections: list[Correction],
        seconds: float,
    ) -> Admitted:
        """Record as many of the requests as may be sent now, or so many seconds later at most.

        They are given in the order in which they are to be sent.
        """
        ...

    async def hold(self, until: float) -> None:
        """Let no request through before that time."""
        ...


@dataclass(frozen=True, slots=True)
class Asking:
    """Who asks for a turn: `at` is when its run asked first, in seconds since 1970."""

    tenant: str
    at: float
    is_interactive: bool


@dataclass(slots=True, eq=False)
class Place:
    """The place in the queue of one request."""

    queue: ProviderQueue
    asking: Asking
    waiting: Waiting
    tokens: int
    turn: asyncio.Future[int]

    def why(self) -> str:
        """Return its place in words, and what is before it."""
        return self.queue.why(self)

    @property
    def name(self) -> str:
        """What it waits for."""
        return f"its turn at provider {self.queue.name!r}"


class ProviderQueue:
    """The requests to one provider that wait, and those that may be sent."""

    def __init__(self, name: str, world: World, declared: DeclaredLimits, window: Window) -> None:
        self.name: str = name
        self._world = world
        self._declared = declared
        self._window = window
        self._order = Order()
        self._places: dict[Waiting, Place] = {}
        self._corrections: list[Correction] = []
        self._last: Admitted | None = None
        self._next_at = self._held_until = 0.0
        self._answer_seconds = limits.ANSWER_SECONDS[0]  # what an answer may take
        self._task: asyncio.Task[None] | None = None
        self._timer: Timer | None = None
        self.output_tokens: float = limits.OUTPUT_TOKENS
        """What responses have had on average; what a request is expected to get."""

    # ---------------------------------------------------------------------- requests
    def enter(self, asking: Asking, tokens: int) -> Place:
        """Let a request wait for its turn: the second in which it may be sent."""
        limit = self._limit()
        tokens = min(tokens, limit.tpm) if limit.tpm else 0
        ahead = limits.AHEAD_SECONDS if asking.is_interactive else 0.0
        tenant = asking.tenant if limit.fair_by is not None else ""
        waiting = Waiting(tenant, asking.at, ahead, limit.share(tokens))
        turn: asyncio.Future[int] = self._world.loop.create_future()
        place = Place(self, asking, waiting, tokens, turn)
        self._order.add(waiting)
        self._places[waiting] = place
        self.look()
        return place

    def leave(self, place: Place) -> None:
        """Give up a place, with or without a turn that was not used."""
        if self._places.pop(place.waiting, None) is not None:
            self._order.remove(place.waiting)
        turn = place.turn
        if turn.done() and not turn.cancelled() and turn.exception() is None:
            self.correct(Correction(turn.result(), -1, -place.tokens))
        else:
            turn.cancel()

    def correct(self, correction: Correction) -> None:
        """Count what a request has used; the window learns of it with the next question."""
        self._corrections.append(correction)
        if len(self._corrections) > limits.CORRECTIONS_MAX:
            self._corrections = _merged(self._corrections)

    async def hold(self, seconds: float) -> None:
        """Let no request through for so long: the provider has said so."""
        until = self._now() + min(seconds, limits.HOLD_SECONDS_MAX)
        self._held_until = max(self._held_until, until)
        self._next_at = max(self._next_at, until)
        await self._window.hold(until)

    def look(self) -> None:
        """See whether a request may have its turn."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._order or self._task is not None:
            return
        left = self._next_at - self._now()
        if left > 0:
            self._timer = self._world.call_later(left, self.look)
            return
        self._task = self._world.spawn(
            self._admit(), name=f"outlast-provider {self.name}", then=self._asked
        )

    def changed(self) -> None:
        """The limits are others now."""
        self._next_at = 0.0
        self.look()

    def close(self) -> None:
        """Ask nothing more; the steps that wait have ended before."""
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            self._task.cancel()

    # ------------------------------------------------------------------------- turns
    async def _admit(self) -> None:
        """Ask the window for the turns of those that are first."""
        taken: list[Place] = []
        while len(taken) < limits.ADMITTED_MAX and (first := self._order.take()):
            taken.append(self._places[first])
        corrections, self._corrections = _merged(self._corrections), []
        count = 0
        try:
            tokens = [place.tokens for place in taken]
            admitted = await self._window.admit(
                self._limit(), tokens, corrections, self._answer_seconds
            )
            self._last = admitted
            # The provider may have asked for a pause while the answer was under way.
            self._held_until = max(self._held_until, admitted.held_until)
            self._next_at = max(self._held_until, admitted.next_at)
            if self._is_in_time(admitted):
                count = admitted.count
                for place in taken[:count]:
                    self._give(place, admitted.second)
            else:
                for needed in tokens[: admitted.count]:
                    self.correct(Correction(admitted.second, -1, -needed))
        except Exception as error:  # noqa: BLE001  # it is told to the steps that wait
            for place in taken:
                self._fail(place, error)
            count = len(taken)
        finally:
            for place in reversed(taken[count:]):
                if place.waiting in self._places:
                    self._order.put_back(place.waiting)
        self._order.forget_idle(self._now())

    def _is_in_time(self, admitted: Admitted) -> bool:
        """Whether requests may be sent still; if not, the next answer may take longer."""
        shortest, longest = limits.ANSWER_SECONDS
        if self._now() > admitted.send_by:
            self._answer_seconds = min(longest, 2 * self._answer_seconds)
            return False
        self._answer_seconds = max(shortest, 0.9 * self._answer_seconds)
        return True

    def _asked(self) -> None:
        self._task = None
        self.look()

    def _give(self, place: Place, second: int) -> None:
        self._places.pop(place.waiting, None)
        if place.turn.done():  # it was given up meanwhile
            self.correct(Correction(second, -1, -place.tokens))
        else:
            place.turn.set_result(second)

    def _fail(self, place: Place, error: Exception) -> None:
        self._places.pop(place.waiting, None)
        if not place.turn.done():
            place.turn.set_exception(error)

    # ----------------------------------------------------------------------- telling
    def why(self, place: Place) -> str:
        """Return the place of a request in words, and what is before it."""
        most = limits.SHOWN_MAX
        before = [self._places[w] for w in self._order.before(place.waiting, most=most)]
        where = f"place {len(before) + 1:,}" if len(before) < most else f"behind more than {most:,}"
        return f"{where} of {len(self._places):,}{_kinds(place, before)}; {self._why_not_now()}"

    def info(self) -> ProviderInfo:
        """Return what is known of the queue."""
        limit, last, now = self._limit(), self._last, self._now()
        is_recent = last is not None and last.second > now - 60
        return ProviderInfo(
            name=self.name,
            rpm=limit.rpm,
            tpm=limit.tpm,
            fair_by=limit.fair_by,
            waiting=len(self._places),
            tenants=len({waiting.tenant for waiting in self._places}),
            requests_used=last.requests if last is not None and is_recent else 0,
            tokens_used=last.tokens if last is not None and is_recent else 0,
            held_seconds=max(0.0, self._held_until - now),
        )

    def _why_not_now(self) -> str:
        limit, last, now = self._limit(), self._last, self._now()
        if self._held_until > now:
            return f"the provider asked to wait, {text_of(self._held_until - now)} more"
        used: list[str] = []
        if limit.rpm and last is not None:
            used.append(f"{last.requests:,} of {counted(limit.rpm, 'request')}")
        if limit.tpm and last is not None:
            used.append(f"{last.tokens:,} of {counted(limit.tpm, 'token')}")
        if self._next_at <= now or not used:
            return "the next may go now"
        used_up = " and ".join(used)
        return f"{used_up} a minute are used, the next may go in {text_of(self._next_at - now)}"

    def _limit(self) -> ProviderLimit:
        found = self._declared.get(self.name)
        if found is None:
            raise KeyError(self.name)  # a limit is replaced and never removed
        return found

    def _now(self) -> float:
        return self._world.now() / 1e6


class ProviderQueues:
    """The queues of one engine."""

    def __init__(self, world: World, declared: DeclaredLimits) -> None:
        self._world = world
        self.declared: DeclaredLimits = declared
        self._queues: dict[str, ProviderQueue] = {}
        self._unknown: set[str] = set()
        declared.on_change.append(self._changed)

    def queue(self, name: str, window: Callable[[], Window]) -> ProviderQueue:
        """Return the queue of a provider that has limits, made with its window when it is new."""
        found = self._queues.get(name)
        if found is None:
            found = ProviderQueue(name, self._world, self.declared, window())
            self._queues[name] = found
        return found

    def is_new_unknown(self, name: str) -> bool:
        """Whether it is the first time that an agent names this provider, which has no limits."""
        is_new = name not in self._unknown and len(self._unknown) < limits.UNKNOWN_NAMES_MAX
        if is_new:
            self._unknown.add(name)
        return is_new

    def infos(self) -> list[ProviderInfo]:
        """Return what is known of all providers that have limits."""
        return [
            self._queues[limit.name].info() if limit.name in self._queues else unused(limit)
            for limit in self.declared.all()
        ]

    def close(self) -> None:
        """Ask nothing more."""
        if self._changed in self.declared.on_change:
            self.declared.on_change.remove(self._changed)
        for queue in self._queues.values():
            queue.close()

    def _changed(self, name: str) -> None:
        if name in self._queues:
            self._queues[name].changed()


def unused(limit: ProviderLimit) -> ProviderInfo:
    """Return what is known of a provider that was asked nothing yet."""
    return ProviderInfo(limit.name, limit.rpm, limit.tpm, limit.fair_by)


def _kinds(place: Place, before: list[Place]) -> str:
    """Return what is before a request, by kind and tenant."""
    if not before:
        return ""
    kinds = Counter("interactive" if p.asking.is_interactive else "batch" for p in before)
    told = " and ".join(f"{number:,} {kind}" for kind, number in sorted(kinds.items()))
    own = sum(p.waiting.tenant == place.waiting.tenant for p in before)
    others = f", {own:,} of its own tenant" if own < len(before) else ""
    return f", after {told} {'request' if len(before) == 1 else 'requests'}{others}"


def _merged(corrections: list[Correction]) -> list[Correction]:
    """Return one correction for each second."""
    requests: Counter[int] = Counter()
    tokens: Counter[int] = Counter()
    for correction in corrections:
        requests[correction.second] += correction.requests
        tokens[correction.second] += correction.tokens
    return [Correction(second, requests[second], tokens[second]) for second in sorted(requests)]
