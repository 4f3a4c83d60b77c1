"""Updates under crashes, lost leases and a failing store: each id once, and all are answered."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import TypeVar

import pytest

from outlast import Signal, Update, step, workflow
from outlast._codec import Bound
from outlast._engine.open_engine import CoreOptions, EngineCore
from outlast._engine.starts import StartRequest
from outlast._engine.updates import result_of
from outlast._execution.operations import decode_body
from outlast._execution.payloads import typed_payload
from outlast._execution.updates import KeptUpdate, UpdateBody, UpdateCalls, update_message
from outlast._registry import default_registry
from outlast._store.contract import Message
from outlast.errors import (
    EngineClosed,
    LeaseLost,
    StoreError,
    UpdateFailed,
    UpdateRejected,
)
from outlast.testing.machines import FaultPlan, Machine, Yard
from outlast.types import RunId

T = TypeVar("T")

SEEDS = range(60)
RUNS = 4
ROOM = 8
PEOPLE = 3
WISHES = 5
_PASSING = (ConnectionError, StoreError, EngineClosed, LeaseLost)

put = Update("sim.put", str, int)
closing = Signal("sim.closing", bool)


@step(name="sim.weighed")
async def weighed(name: str) -> int:
    """Take a while."""
    await asyncio.sleep(0.05)
    return len(name)


@workflow(name="sim.shelf")
async def shelf() -> list[str]:
    """Hold as much as there is room for, and say what came in which order."""
    things: list[str] = []

    @put.validator
    def check(name: str) -> None:
        if len(things) >= ROOM:
            raise ValueError("full")

    @put.handler
    async def add(name: str) -> int:
        things.append(name)
        place = len(things)
        await weighed(name)
        await asyncio.sleep(0.1)
        if name.endswith("3"):
            raise LookupError("broken")
        return place

    await closing.receive()
    return things


class House:
    """People who put things onto shelves, and ask again until they know what came of it."""

    def __init__(self, seed: int) -> None:
        plan = FaultPlan(crash=0.04, fails=0.03, silent=0.03, pauses=0.005)
        options = CoreOptions(owns_process=False, retention_seconds=None, live_runs_max=2)
        self.yard = Yard(
            seed,
            registry=default_registry,
            plan=plan,
            machines=1 + seed % 2,
            options=options,
        )
        self.is_over = False
        self.told: dict[tuple[str, str], list[str]] = {}  # (run, id) -> what callers were told

    def machine(self) -> Machine:
        return self.yard.loop.rng.choice(self.yard.machines)

    async def until_done(self, work: Callable[[EngineCore], Coroutine[object, object, T]]) -> T:
        while True:
            try:
                return await self.yard.attempt(work, self.machine())
            except _PASSING:
                await asyncio.sleep(0.05)

    async def send(self, message: Message) -> None:
        await self.until_done(lambda core: core.send(message))

    async def until_end(self, run: RunId) -> None:
        await self.until_done(lambda core: core.closed(run))

    async def start(self, run: str) -> None:
        request = StartRequest(
            definition=shelf.definition, bound=Bound((), {}), id=run, request=run
        )
        await self.until_done(lambda core: core.start(request))

    async def person(self, name: str, run: str) -> None:
        rng = self.yard.loop.rng
        for number in range(WISHES):
            await asyncio.sleep(rng.random())
            wish = f"{name}-{number}"
            # Two who want the same under the same id are one.
            await asyncio.gather(*(self.wish(run, wish) for _ in range(rng.choice((1, 2)))))

    async def wish(self, run: str, wish: str) -> None:
        payload = typed_payload(put.request, wish)
        at = self.yard.client.now()
        message = update_message(RunId(run), put.name, payload, wish, at=at)
        kept = await self.until_done(lambda core: core.update(message))
        try:
            told = f"{put.response.decode(result_of(run, put.name, kept))}"
        except (UpdateRejected, UpdateFailed) as error:
            told = type(error).__name__
        self.told.setdefault((run, wish), []).append(told)

    async def caretaker(self) -> None:
        """Resume what was parked because the process died too often beside it (seed 897)."""
        while not self.is_over:
            await asyncio.sleep(5)
            for row in list(self.yard.database.rows.values()):
                if row.status == "parked":
                    at = self.yard.client.now()
                    message = Message(run=row.id, kind="resume", at=at)
                    await self.send(message)

    async def main(self) -> None:
        for machine in self.yard.machines:
            await self.yard.start(machine)
        names = [f"shelf-{n}" for n in range(RUNS)]
        await asyncio.gather(*(self.start(run) for run in names))
        people = [self.person(f"p{n}", run) for run in names for n in range(PEOPLE)]
        caretaker = asyncio.ensure_future(self.caretaker())
        await asyncio.gather(*people)
        self.is_over = True
        await caretaker
        self.yard.quiet()
        for run in names:
            message = Message(
                run=RunId(run),
                kind="signal",
                name=closing.name,
                body=typed_payload(closing.adapter, value=True),
                dedup="closing",
                at=self.yard.client.now(),
            )
            await self.send(message)
            await self.until_end(RunId(run))

    def check(self) -> None:
        database = self.yard.database
        for n in range(RUNS):
            run = RunId(f"shelf-{n}")
            row = database.rows[run]
            assert row.status == "completed", row.error
            things = shelf.definition.signature.returns.decode((row.output or b"\0")[1:])
            records = database.journal(run, 0)
            accepted = [
                decode_body(r.body, UpdateBody).id for r in records if r.kind == "update_accepted"
            ]
            assert things == accepted, "handlers begin in the order of acceptance"
            assert len(set(accepted)) == len(accepted) <= ROOM, "each id is handled once"
            assert [r.key for r in records if r.kind == "update_accepted"] == [
                f"u{n}#0:{put.name}" for n in range(1, len(accepted) + 1)
            ]
            done = [r.key for r in records if r.kind == "update_done"]
            assert sorted(done) == sorted(set(done))
            assert len(done) == len(accepted), "the run has waited for its handlers"
            self.check_told(run, accepted)
            assert not database.mail_of(run, 10)

    def check_told(self, run: RunId, accepted: list[str]) -> None:
        for (where, wish), told in self.told.items():
            if where != run:
                continue
            if wish in accepted:
                place = accepted.index(wish) + 1
                right = "UpdateFailed" if wish.endswith("3") else f"{place}"
                assert {right} == set(told), "everybody is told what happened"
            else:
                assert {"UpdateRejected"} == set(told)


def play(seed: int) -> Counter[str]:
    """Play one seed, check it, and say what happened."""
    logging.getLogger("outlast").setLevel(logging.CRITICAL)
    house = House(seed)
    try:
        house.yard.run(house.main)
        house.check()
    except BaseException as error:
        error.add_note(f"seed {seed}")
        raise
    finally:
        house.yard.dispose()
    seen = Counter(one for told in house.told.values() for one in told if one.startswith("Up"))
    crashes = sum(machine.crashes for machine in house.yard.machines)
    passivated = sum(events.runs_passivated for events in house.yard.events)
    return seen + Counter(crashes=crashes, passivated=passivated)


def play_all() -> None:
    """Play all seeds."""
    for seed in SEEDS:
        play(seed)


@pytest.mark.parametrize("first", range(0, len(SEEDS), 10))
def test_each_update_is_handled_once_and_answered(first: int) -> None:
    for seed in SEEDS[first : first + 10]:
        play(seed)


def test_the_interesting_things_do_happen() -> None:
    seen = sum((play(seed) for seed in SEEDS[:20]), Counter[str]())

    assert seen["crashes"] > 20
    assert seen["passivated"] > 20
    assert seen["UpdateRejected"] > 20
    assert seen["UpdateFailed"] > 5


def test_an_id_that_is_kept_only_when_it_is_done_is_found_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def keep(self: UpdateCalls, dedup: str, kept: KeptUpdate) -> None:
        if kept.stage == "done":
            _keep(self, dedup, kept)

    _keep = UpdateCalls._keep
    monkeypatch.setattr(UpdateCalls, "_keep", keep)

    with pytest.raises(AssertionError):
        play_all()


def test_validators_that_do_not_wait_for_each_other_are_found_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def accept(self: UpdateCalls, message: Message) -> None:
        _accept(self, message)
        self._admitting = ""

    _accept = UpdateCalls._accept
    monkeypatch.setattr(UpdateCalls, "_accept", accept)

    with pytest.raises(AssertionError):
        play_all()
