"""Every message to an actor with a small mailbox ends once: handled, refused, or a dead letter.

Handlers wait at a gate, so that the model knows which message is handled and which ones wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from itertools import count
from typing import TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from outlast import Actor, ActorRef, Engine, actor, handler, step
from outlast.errors import MailboxFull

T = TypeVar("T")

MAILBOX = 3
_names = count()


@dataclass
class Gate:
    """Where handlers wait until one is let through; bound to the loop of one example."""

    arrived: asyncio.Queue[int] = field(default_factory=asyncio.Queue[int])
    passes: asyncio.Queue[None] = field(default_factory=asyncio.Queue[None])


_gates = [Gate()]


@dataclass
class Seen:
    numbers: list[int] = field(default_factory=list[int])


@step
async def waits_at_the_gate(number: int) -> None:
    _gates[0].arrived.put_nowait(number)
    await _gates[0].passes.get()


class _Base(Actor[Seen]):
    @handler
    async def take(self, number: int, is_poison: bool) -> None:
        self.state.numbers.append(number)
        await waits_at_the_gate(number)
        if is_poison:
            raise ValueError("poison")

    @handler(read=True)
    async def all(self) -> list[int]:
        return self.state.numbers


@actor(mailbox=MAILBOX, attempts=1)
class Rejecting(_Base, Actor[Seen]):
    """Refuses what is too much."""


@actor(mailbox=MAILBOX, attempts=1, overflow="drop_oldest")
class Dropping(_Base, Actor[Seen]):
    """Drops what came first."""


@actor(mailbox=MAILBOX, attempts=1, overflow="dead_letter")
class Burying(_Base, Actor[Seen]):
    """Keeps what is too much apart."""


Target = ActorRef[Rejecting] | ActorRef[Dropping] | ActorRef[Burying]


@dataclass(frozen=True, slots=True)
class Sent:
    """A message of the model."""

    number: int
    priority: int
    is_poison: bool


class MailboxMachine(RuleBasedStateMachine):
    """Rules send messages and let them be handled; the model is two lists."""

    policy = "reject"

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.stack = AsyncExitStack()
        self.number = 0
        self.handled_now: Sent | None = None
        self.waiting: list[Sent] = []
        self.handled: list[int] = []
        self.accepted: list[int] = []  # the store numbers them from 1
        self.dead: list[tuple[int, str]] = []
        self._do(self._open())

    def _do(self, work: Coroutine[object, object, T]) -> T:
        return self.runner.run(work)

    async def _open(self) -> None:
        _gates[:] = [Gate()]
        opening = Engine.open(f"memory://mailbox-model-{next(_names)}")
        self.engine = await self.stack.enter_async_context(opening)
        targets: dict[str, Target] = {
            "reject": self.engine.actor(Rejecting, "a"),
            "drop_oldest": self.engine.actor(Dropping, "a"),
            "dead_letter": self.engine.actor(Burying, "a"),
        }
        self.target: Target = targets[self.policy]

    # ------------------------------------------------------------------------- rules
    @rule(
        priority=st.sampled_from([0, 0, 0, 1, -1]), is_poison=st.sampled_from([False] * 4 + [True])
    )
    def send(self, priority: int, is_poison: bool) -> None:
        self.number += 1
        sent = Sent(self.number, priority, is_poison)
        is_taken = self._do(self._send(sent))
        waiting = len(self.waiting) + (self.handled_now is not None)
        if self.policy == "reject":
            assert is_taken == (waiting < MAILBOX)  # the one that is handled counts
            if not is_taken:
                return
        assert is_taken
        self.accepted.append(sent.number)
        if self.handled_now is None:
            self._begins(sent)
            return
        if len(self.waiting) == MAILBOX and self.policy == "dead_letter":
            self.dead.append((sent.number, "overflow"))
            return
        if len(self.waiting) == MAILBOX and self.policy == "drop_oldest":
            oldest = min(self.waiting, key=lambda waits: waits.number)
            self.waiting.remove(oldest)
            self.dead.append((oldest.number, "dropped"))
        self.waiting.append(sent)

    @rule()
    def handle(self) -> None:
        if self.handled_now is None:
            return
        _gates[0].passes.put_nowait(None)
        if self.handled_now.is_poison:
            self.dead.append((self.handled_now.number, "failed"))
        else:
            self.handled.append(self.handled_now.number)
        self.handled_now = None
        if self.waiting:
            following = min(self.waiting, key=lambda waits: (-waits.priority, waits.number))
            self.waiting.remove(following)
            self._begins(following)

    def _begins(self, sent: Sent) -> None:
        assert self._do(_gates[0].arrived.get()) == sent.number
        self.handled_now = sent

    async def _send(self, sent: Sent) -> bool:
        target = self.target.options(priority=sent.priority)
        try:
            await target.tell(_Base.take, sent.number, sent.is_poison)
        except MailboxFull:
            return False
        return True

    # ----------------------------------------------------------------------- the end
    def teardown(self) -> None:
        while self.handled_now is not None:
            self.handle()
        handled, dead = self._do(self._ends())
        self._do(self.stack.aclose())
        self.runner.close()

        assert handled == self.handled
        assert sorted(dead) == sorted(self.dead)

    async def _ends(self) -> tuple[list[int], list[tuple[int, str]]]:
        # One more that is handled: all before it is durable then.
        _gates[0].passes.put_nowait(None)
        await self.target.ask(_Base.take, 0, False)
        handled = await self.target.ask(_Base.all)
        letters = [letter async for letter in self.engine.dead_letters()]
        dead = [(self.accepted[letter.number - 1], letter.reason) for letter in letters]
        return [number for number in handled if number], dead


class DroppingMachine(MailboxMachine):
    """The same for an actor that drops."""

    policy = "drop_oldest"


class BuryingMachine(MailboxMachine):
    """The same for an actor that keeps what is too much apart."""

    policy = "dead_letter"


TestRejecting = MailboxMachine.TestCase
TestDropping = DroppingMachine.TestCase
TestBurying = BuryingMachine.TestCase

_quick = settings(max_examples=40, stateful_step_count=30, deadline=None)
TestRejecting.settings = TestDropping.settings = TestBurying.settings = _quick
