"""Answers under crashes, lost leases and a failing store: one for each token, and none is lost.

Workflows ask, and so do the messages of an actor, one after another.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field

import pytest
from typing_extensions import override

from outlast import Actor, actor, handler, wf, workflow
from outlast._engine.verbs.tokens import AnswerRequest
from outlast._execution.calls.operations import decode_body
from outlast._execution.calls.tokens import AnswerBody, TokenCalls, expiry_of
from outlast._messages.envelopes import Envelope
from outlast._registry import default_registry
from outlast._store.memory import tokens as memory_tokens
from outlast._store.rows import Answer, AnswerResult, TokenRow
from outlast.errors import TokenError
from outlast.testing.machines import FaultPlan
from outlast.types import RunId
from tests.simulation.outside import PART, PASSING, SEEDS, Outside, play_all, play_first, play_part

RUNS = 6
MESSAGES = 4  # to one actor


@workflow(name="sim.questions")
async def questions(timeout: float) -> str:
    """Ask twice, the second time with a deadline."""
    first = await wf.approve("first?")
    await asyncio.sleep(0.2)
    second = await wf.approve("second?", timeout=timeout)
    return f"{first.by} {second.by}"


@dataclass
class Book:
    """Who answered which message: (number, first, second)."""

    lines: list[tuple[int, str, str]] = field(default_factory=list[tuple[int, str, str]])


@actor(name="sim.Clerk")
class Clerk(Actor[Book]):
    """Asks twice for each message."""

    @handler
    async def ask(self, number: int, timeout: float) -> None:
        """Ask, and write down who answered."""
        first = await wf.approve("first?")
        second = await wf.approve("second?", timeout=timeout)
        self.state.lines.append((number, f"{first.by}", f"{second.by}"))


_clerk = default_registry.find_actor(Clerk)


class Office(Outside):
    """People who answer what machines ask, all of them at once."""

    def __init__(self, seed: int) -> None:
        plan = FaultPlan(crash=0.04, fails=0.03, silent=0.03, pauses=0.005)
        super().__init__(seed, plan, live_runs_max=3)
        self.told: dict[str, list[str]] = {}  # token -> those who were told that theirs counts

    async def tell(self, number: int) -> None:
        found = _clerk.handlers["ask"]
        bound = found.signature.bind((number, self.yard.loop.rng.random() * 4), {})
        data = found.signature.encode(bound)
        envelope = Envelope(_clerk, "desk", found, data, dedup=f"message-{number}")
        await self.until_done(lambda core: core.actors.tell(envelope))

    async def person(self, name: str) -> None:
        """Answer what is open, now and then, until everything has ended."""
        rng = self.yard.loop.rng
        while self.is_busy():
            await asyncio.sleep(rng.random())
            for row in self.yard.database.tokens.page(None, 100, open_only=True, run=None):
                await self.answer(name, row)

    def is_busy(self) -> bool:
        """Whether a run is open, or the actor has not handled everything."""
        rows = self.yard.database.rows.values()
        has_open = any(row.closed_at is None for row in rows if row.kind == "workflow")
        return has_open or len(self.book().lines) < MESSAGES

    def book(self) -> Book:
        """Return what the actor has written down."""
        row = self.yard.database.rows[RunId("sim.Clerk/desk")]
        book = _clerk.state.decode(row.output) if row.output else Book()
        assert isinstance(book, Book)
        return book

    async def answer(self, name: str, row: TokenRow) -> None:
        request = AnswerRequest(row.id, True, by=name, digest=row.digest)
        try:
            await self.yard.attempt(lambda core: core.tokens.answer(request), self.machine())
        except TokenError:
            self.seen["refused"] += 1
            return
        except PASSING:
            return
        self.told.setdefault(row.id, []).append(name)

    @override
    async def people(self) -> None:
        chance = self.yard.loop.rng.random
        starts = (self.start(questions.definition, f"run-{n}", chance() * 4) for n in range(RUNS))
        await asyncio.gather(*starts)
        await asyncio.gather(*(self.tell(n) for n in range(MESSAGES)))
        everybody = [asyncio.ensure_future(self.person(name)) for name in ("ann", "bob", "cy")]
        await asyncio.sleep(20)
        self.yard.quiet()
        await asyncio.gather(*everybody)

    @override
    def check(self) -> None:
        database = self.yard.database
        rows = {row.id: row for row in database.tokens.page(None, 1_000, open_only=False, run=None)}
        for token, names in self.told.items():
            assert [rows[token].by] == names, "who was told that it counts is whose it is"
        for n in range(RUNS):
            run = RunId(f"run-{n}")
            asked = [row for row in rows.values() if row.run == run]
            records = [r for r in database.journal(run, 0) if r.kind == "token_answered"]
            heard = {r.key: decode_body(r.body, AnswerBody).by for r in records}
            assert len(asked) == len(records) == 2
            assert heard == {row.key: row.by for row in asked}
            assert not database.mail_of(run, 10)
        asked = [row for row in rows.values() if row.run == "sim.Clerk/desk"]
        lines = self.book().lines
        assert sorted(number for number, *_ in lines) == list(range(MESSAGES))
        assert len(asked) == 2 * MESSAGES
        for title, noted in ("first?", [x[1] for x in lines]), ("second?", [x[2] for x in lines]):
            said = [row for row in asked if row.title == title]
            assert all(row.status in ("answered", "expired") for row in said)
            assert Counter(row.by or "None" for row in said) == Counter(noted)
        self.seen += Counter(row.status for row in rows.values())


@pytest.mark.parametrize("first", range(0, len(SEEDS), PART))
def test_one_answer_of_each_token_reaches_its_run(first: int) -> None:
    play_part(Office, first)


def test_the_interesting_things_do_happen() -> None:
    seen = play_first(Office, 20)

    assert seen["crashes"] > 20
    assert seen["passivated"] > 20
    assert seen["expired"] > 5
    assert seen["refused"] > 20


def test_a_store_that_takes_every_answer_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def accept(answer: Answer, row: TokenRow | None) -> AnswerResult:
        return "not_found" if row is None else "accepted"

    monkeypatch.setattr(memory_tokens, "judge_answer", accept)

    with pytest.raises(AssertionError):
        play_all(Office)


def test_a_run_that_decides_its_expiry_alone_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def expire(self: TokenCalls, now: int) -> None:
        for operation in list(self.by_key.values()):
            at = operation.expires_at
            if at is not None and at <= now and not operation.is_recorded:
                self.answered(expiry_of(operation.id, operation.key, run=RunId("x"), at=at).message)

    monkeypatch.setattr(TokenCalls, "expire_due", expire)

    with pytest.raises((AssertionError, RuntimeError)):
        play_all(Office)
