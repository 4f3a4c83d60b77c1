"""Observers of an engine: one stream of facts, told once a turn, to each apart from the others."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import pytest

from outlast import Engine, step, workflow
from outlast._engine.scheduling.observers import (
    Fact,
    Observers,
    Recorded,
    RowChanged,
    TokensChanged,
)
from outlast._world import RealWorld


@step
async def observed_step() -> int:
    return 1


@workflow
async def observed() -> int:
    return await observed_step()


async def test_each_observer_hears_every_fact_once_in_order_and_once_a_turn() -> None:
    world = RealWorld()
    observers = Observers(world)
    heard: list[list[Fact]] = [[], []]
    turns: list[int] = []

    def first(facts: Sequence[Fact]) -> None:
        heard[0].extend(facts)
        turns.append(len(facts))

    observers.add(first)
    observers.add(heard[1].extend)
    facts = [TokensChanged() for _ in range(3)]
    for fact in facts:
        observers.tell(fact)
    await world.pass_turn()

    assert heard == [facts, facts]
    assert turns == [3]


async def test_one_that_fails_disturbs_no_other(caplog: pytest.LogCaptureFixture) -> None:
    observers = Observers(RealWorld())
    heard: list[Fact] = []

    def fails(_: Sequence[Fact]) -> None:
        raise ValueError("its own trouble")

    observers.add(fails)
    observers.add(heard.extend)
    observers.tell(TokensChanged())
    observers.publish()

    assert len(heard) == 1
    assert [r.levelno for r in caplog.records] == [logging.ERROR]


async def test_one_that_has_left_hears_nothing_more() -> None:
    observers = Observers(RealWorld())
    heard: list[Fact] = []
    observers.add(lambda _: observers.remove(heard.extend))
    observers.add(heard.extend)
    observers.tell(TokensChanged())
    observers.publish()

    assert heard == []


async def test_facts_of_a_run_are_told_when_they_are_durable(tmp_path: Path) -> None:
    path = tmp_path / "outlast.db"
    kinds: list[str] = []
    statuses: list[str] = []

    def observe(facts: Sequence[Fact]) -> None:
        for fact in facts:
            if isinstance(fact, Recorded):
                kinds.extend(record.kind for record in fact.records)
            elif isinstance(fact, RowChanged):
                statuses.append(fact.row.status)

    async with Engine.open(path) as engine:
        engine._core.scheduler.observers.add(observe)
        await engine.run(observed(), id="r")

    assert kinds == ["step_done", "run_closed"]
    assert statuses[0] == "pending"
    assert statuses[-1] == "completed"
