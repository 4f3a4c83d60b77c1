"""Updates under crashes, lost leases and a failing store: each id once, and all are answered."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from typing_extensions import override

from outlast import Signal, Update, step, workflow
from outlast._engine.verbs.updates import result_of
from outlast._execution.calls.operations import decode_body
from outlast._execution.calls.updates import UpdateBody, UpdateCalls
from outlast._messages.payloads import typed_payload
from outlast._messages.updates import KeptUpdate, update_message
from outlast._store.rows import Message
from outlast.errors import (
    UpdateFailed,
    UpdateRejected,
)
from outlast.testing.machines import FaultPlan
from outlast.types import RunId
from tests.simulation.outside import PART, SEEDS, Outside, play_all, play_first, play_part

RUNS = 4
ROOM = 8
PEOPLE = 3
WISHES = 5

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


class House(Outside):
    """People who put things onto shelves, and ask again until they know what came of it."""

    def __init__(self, seed: int) -> None:
        plan = FaultPlan(crash=0.04, fails=0.03, silent=0.03, pauses=0.005)
        super().__init__(seed, plan, live_runs_max=2)
        self.is_over = False
        self.told: dict[tuple[str, str], list[str]] = {}  # (run, id) -> what callers were told

    async def until_end(self, run: RunId) -> None:
        await self.until_done(lambda core: core.closed(run))

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

    @override
    async def people(self) -> None:
        names = [f"shelf-{n}" for n in range(RUNS)]
        await asyncio.gather(*(self.start(shelf.definition, run) for run in names))
        everybody = [self.person(f"p{n}", run) for run in names for n in range(PEOPLE)]
        caretaker = asyncio.ensure_future(self.caretaker())
        await asyncio.gather(*everybody)
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

    @override
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

        told = (one for answers in self.told.values() for one in answers)
        self.seen += Counter(one for one in told if one.startswith("Up"))

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


@pytest.mark.parametrize("first", range(0, len(SEEDS), PART))
def test_each_update_is_handled_once_and_answered(first: int) -> None:
    play_part(House, first)


def test_the_interesting_things_do_happen() -> None:
    seen = play_first(House, 20)

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
        play_all(House)


def test_validators_that_do_not_wait_for_each_other_are_found_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def accept(self: UpdateCalls, message: Message) -> None:
        _accept(self, message)
        self._admitting = ""

    _accept = UpdateCalls._accept
    monkeypatch.setattr(UpdateCalls, "_accept", accept)

    with pytest.raises(AssertionError):
        play_all(House)
