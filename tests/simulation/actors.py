"""One seed of actors: machines crash and lose leases while clients write to them.

Each sender numbers its messages and sends the next when the one before is acknowledged, again and
again under one dedup key until it is. In the end every acknowledged message has come to exactly
one end: it was handled, those of one lane (a sender, a priority, a delay) in order; or it failed
and is a dead letter; or its actor had stopped before, and it is one too. Every subscriber of the
topic has got every publication once, those of one publisher in order.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from unittest import mock

from typing_extensions import override

from outlast import limits
from outlast._actors.topic import TopicActor
from outlast._engine.open_engine import EngineCore
from outlast._messages.envelopes import Envelope
from outlast._messages.letters import decode_letter
from outlast._registry import ActorDefinition, default_registry
from outlast._store.rows import DeadLetter, RunRow
from outlast.errors import ActorStopped, HandlerFailed
from outlast.types import CLOSED_STATUSES, RunId
from tests.simulation.actor_workload import Counter, Quitter, Reader, Seen, news, publishes
from tests.simulation.invariants import Violated, require
from tests.simulation.scenario import Report, Scenario, busy_rows, play, print_seeds

Line = tuple[str, int]

_KEYS = ("a", "b", "c")
_QUITTERS = ("q", "r")
_READERS = ("ann", "bob")
_LATE = "late"
_MESSAGES = 5
_LANES = ((0, 0.0), (0, 0.0), (0, 0.0), (2, 0.0), (-1, 0.0), (0, 0.3), (2, 0.3))

_counter = default_registry.find_actor(Counter)
_quitter = default_registry.find_actor(Quitter)
_reader = default_registry.find_actor(Reader)
_topic = default_registry.find_actor(TopicActor)


@dataclass(slots=True)
class Promised:
    """What clients were told of their messages, by actor."""

    handled: dict[str, list[Line]] = field(default_factory=dict[str, list[Line]])
    poisoned: dict[str, list[Line]] = field(default_factory=dict[str, list[Line]])
    published: dict[str, int] = field(default_factory=dict[str, int])
    told: dict[str, list[Line]] = field(default_factory=dict[str, list[Line]])
    answered: dict[str, list[Line]] = field(default_factory=dict[str, list[Line]])
    refused: dict[str, list[Line]] = field(default_factory=dict[str, list[Line]])
    stopped_at: dict[str, int] = field(default_factory=dict[str, int])


class ActorScenario(Scenario):
    """The machines and faults of a seed, with senders in the place of other clients."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.promised = Promised()
        self.mail_max = random.Random(f"mail {seed}").choice((2, 3, 10_000))

    @override
    async def client(self, number: int) -> None:
        """One sender's life: messages to every kind of actor, each safe before the next."""
        chance = random.Random(f"client {self.seed} {number}")
        sender = f"s{number}"
        await asyncio.sleep(self.rng.random() * 10)
        for key in _READERS:
            # From its answer on, whatever is published reaches them.
            await self._ask(_envelope(_reader, key, "begin", (), dedup=f"{sender}-begin"))
        for count in range(_MESSAGES):
            match chance.randrange(10):
                case 0:
                    await self._publish(sender, chance)
                case 1:
                    await self._poison(chance.choice(_KEYS), sender, count)
                case 2 | 3:
                    await self._note(chance.choice(_QUITTERS), sender, count, chance)
                case _:
                    await self._write(chance.choice(_KEYS), sender, count, chance)
            await asyncio.sleep(self.rng.random() * self.rng.choice((0.01, 0.1, 3)))
        if number == 1:
            await self._ask(_envelope(_reader, _LATE, "begin", (), dedup=f"{sender}-late"))
        if number % 3 == 0:
            await self._quit(chance.choice(_QUITTERS), sender)

    # ----------------------------------------------------------- what a client may do
    async def _write(self, key: str, sender: str, count: int, chance: random.Random) -> None:
        """Let a counter handle a message: at once or slowly, with others behind it or not."""
        priority, delay = chance.choice(_LANES)
        lane = f"{sender} {priority} {delay}"
        how = chance.choice(("plain", "slow", "forward", "relay", "publish"))
        envelope = _envelope(
            _counter,
            key,
            how,
            (lane, count),
            dedup=f"{sender}-{count}",
            priority=priority,
            delay=delay,
        )
        await (self._ask if chance.random() < 0.5 else self._tell)(envelope)
        handled = self.promised.handled
        handled.setdefault(key, []).append((lane, count))
        if how == "forward":
            handled.setdefault(f"{key}-next", []).append((f"{key} for {lane}", count))
        if how == "relay":
            handled.setdefault(f"{key}-last", []).append((f"{key} for {lane}", count))

    async def _poison(self, key: str, sender: str, count: int) -> None:
        """Tell or ask what no attempt can handle."""
        envelope = _envelope(_counter, key, "poison", (sender, count), dedup=f"{sender}-{count}")
        if count % 2:
            await self._tell(envelope)
            self.promised.poisoned.setdefault(key, []).append((sender, count))
            return
        try:
            await self._ask(envelope)
        except HandlerFailed as failed:
            require(failed.type_name == "ValueError", f"another failure: {failed}")
        else:
            raise Violated(f"an ask of a handler that raises was answered: {envelope}")

    async def _publish(self, sender: str, chance: random.Random) -> None:
        """Publish from outside, or from a workflow."""
        lane = f"{chance.choice(('outside', 'workflow'))} {sender}"
        count = self.promised.published.get(lane, 0)
        if lane.startswith("workflow"):
            if not count:
                await self.start(lane, publishes(lane, 3))
                self.promised.published[lane] = 3
            return
        data = news.adapter.encode((lane, count + 1))
        await self._tell(_envelope(_topic, news.name, "publish", (data,), dedup=f"{lane} {count}"))
        self.promised.published[lane] = count + 1

    async def _note(self, key: str, sender: str, count: int, chance: random.Random) -> None:
        """Write to an actor that may stop any time; note what the sender was told of it."""
        how = chance.choice(("note", "note_slowly"))
        asks = chance.random() < 0.5
        envelope = _envelope(_quitter, key, how, (sender, count), dedup=f"{sender}-{count}")
        stopped_at = self.promised.stopped_at.get(key)
        try:
            await (self._ask if asks else self._tell)(envelope)
        except ActorStopped:
            self.promised.refused.setdefault(key, []).append((sender, count))
            return
        require(stopped_at is None, f"{key} took {sender}-{count} after it had stopped")
        known = self.promised.answered if asks else self.promised.told
        known.setdefault(key, []).append((sender, count))

    async def _quit(self, key: str, sender: str) -> None:
        try:
            await self._ask(_envelope(_quitter, key, "quit", (), dedup=f"{sender}-quit"))
        except ActorStopped:
            pass  # another client was first
        self.promised.stopped_at.setdefault(key, self.yard.client.now())

    async def _ask(self, envelope: Envelope) -> None:
        async def ask(core: EngineCore) -> None:
            await core.actors.ask(envelope)

        await self._call(ask)

    async def _tell(self, envelope: Envelope) -> None:
        async def tell(core: EngineCore) -> None:
            await core.actors.tell(envelope)

        await self._call(tell)

    # --------------------------------------------------------------- what must hold
    @override
    def _open(self) -> list[str]:
        database = self.yard.database
        missing = [
            key for key in self.promised.handled if RunId(f"sim.Counter/{key}") not in database.rows
        ]
        runs = [
            f"{row.id} {row.status}"
            for row in database.rows.values()
            if row.kind == "workflow" and row.status not in CLOSED_STATUSES
        ]
        return busy_rows(database) + missing + runs

    @override
    def check(self) -> None:
        """Every acknowledged message came to exactly one end, and that in order."""
        require(not self.observer.violations, "; ".join(self.observer.violations[:3]))
        for row in self.yard.database.rows.values():
            letters = self.yard.database.dead(row.id, 0, 1_000)
            match row.workflow:
                case _counter.name:
                    self._check_counter(row, letters)
                case _quitter.name:
                    self._check_quitter(row, letters)
                case _reader.name:
                    require(not letters, f"dead letters of {row.id}: {letters[:3]}")
                    self._check_reader(row)
                case _:
                    require(not letters, f"dead letters of {row.id}: {letters[:3]}")
        for lane in (lane for lane in self.promised.published if lane.startswith("workflow")):
            status = self.yard.database.rows[RunId(lane)].status
            require(status == "completed", f"{lane} ended as {status}")

    def _check_order(self, row: RunRow, messages: Sequence[Line]) -> None:
        for lane in {lane for lane, _ in messages}:
            if self.clock_jumps and not lane.endswith((" 0", " 0.0")):
                continue  # delayed by the clocks of the machines that took them
            numbers = [number for of, number in messages if of == lane]
            require(numbers == sorted(numbers), f"{row.id}: {lane} out of order: {numbers}")

    def _check_counter(self, row: RunRow, letters: Sequence[DeadLetter]) -> None:
        key = row.id.partition("/")[2]
        messages = _state_of(_counter, row).messages
        promised = self.promised.handled.get(key, [])
        # So many crashes may hit one message that it is given up, as one that kills its process.
        killers = [letter for letter in letters if letter.error.startswith("the process died")]
        given_up = [_line_in(_counter, letter) for letter in killers]
        require(
            sorted([*messages, *given_up]) == sorted(promised),
            f"{row.id} has {messages}, promised {promised}",
        )
        self._check_order(row, messages)
        others = [letter for letter in letters if letter not in killers]
        failed = sorted(_line_in(_counter, letter) for letter in others)
        poisoned = sorted(self.promised.poisoned.get(key, []))
        require(failed == poisoned, f"{row.id}: dead letters {failed}, poisoned {poisoned}")
        crashes = sum(machine.crashes for machine in self.yard.machines)
        for letter in killers:
            is_right = 2 * limits.CRASHES_MAX <= letter.attempts <= crashes
            require(is_right, f"{row.id}: given up after {letter.attempts} deaths")
        for letter in others:
            is_right = letter.reason == "failed" and letter.attempts == _counter.attempts
            require(is_right, f"{row.id}: {letter.reason} after {letter.attempts} attempts")

    def _check_quitter(self, row: RunRow, letters: Sequence[DeadLetter]) -> None:
        key = row.id.partition("/")[2]
        messages = _state_of(_quitter, row).messages
        buried = [_line_in(_quitter, letter) for letter in letters if letter.name != "quit"]
        require(
            all(letter.reason == "closed" for letter in letters),
            f"dead letters of {row.id}: {letters[:3]}",
        )
        ends = [*messages, *buried]
        require(len(ends) == len(set(ends)), f"{row.id}: a message ended twice: {ends}")
        self._check_order(row, messages)
        for line in self.promised.told.get(key, []):
            require(line in ends, f"{row.id} lost the acknowledged {line}")
        for line in self.promised.answered.get(key, []):
            require(line in messages, f"{row.id} lost the answered {line}")
        for line in self.promised.refused.get(key, []):
            require(line not in messages, f"{row.id} handled {line}, and refused it")
        has_stopped = row.status in CLOSED_STATUSES
        require(has_stopped == (key in self.promised.stopped_at), f"{row.id} is {row.status}")

    def _check_reader(self, row: RunRow) -> None:
        published = dict(self.promised.published)
        for key in _KEYS:
            publisher = self.yard.database.rows.get(RunId(f"{_counter.name}/{key}"))
            if publisher is not None:
                published[key] = _state_of(_counter, publisher).published
        messages = _state_of(_reader, row).messages
        for lane in {lane for lane, _ in messages} | set(published):
            got = [number for of, number in messages if of == lane]
            count = published.get(lane, 0)
            first = 1
            if row.id.endswith(_LATE):  # all from some moment on
                first = got[0] if got else count + 1
            expected = list(range(first, count + 1))
            require(got == expected, f"{row.id} got {got} of {lane!r}, published {expected}")


def _envelope(
    definition: ActorDefinition,
    key: str,
    message: str,
    args: tuple[object, ...],
    *,
    dedup: str,
    priority: int = 0,
    delay: float = 0.0,
) -> Envelope:
    found = definition.handlers[message]
    data = found.signature.encode(found.signature.bind(args, {}))
    return Envelope(definition, key, found, data, dedup=dedup, priority=priority, delay=delay)


def _state_of(definition: ActorDefinition, row: RunRow) -> Seen:
    state = definition.state.decode(row.output) if row.output else Seen()
    require(isinstance(state, Seen), f"{row.id} keeps {state!r}")
    return state if isinstance(state, Seen) else Seen()


def _line_in(definition: ActorDefinition, letter: DeadLetter) -> Line:
    args, kwargs = definition.handlers[letter.name].signature.decode(
        decode_letter(letter.body).args
    )
    lane, number = (*args, *kwargs.values())
    return str(lane), int(str(number))


def run_actor_seed(seed: int) -> Report:
    """Run one seed and check everything.

    Raises:
        Violated: with the seed and what does not hold.
    """
    scenario = ActorScenario(seed)
    with (
        mock.patch.object(limits, "ACTOR_MAIL_MAX", scenario.mail_max),
        mock.patch.object(limits, "MAILBOX_READ_MAX", max(2, scenario.mail_max // 2)),
    ):
        return play(scenario, "tests.simulation.actors")


if __name__ == "__main__":
    print_seeds(run_actor_seed)
