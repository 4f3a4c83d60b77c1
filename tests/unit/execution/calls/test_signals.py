"""Signals of runs: typed, buffered in order, delivered once for each key."""

from __future__ import annotations

import pytest

from outlast import Engine, workflow
from outlast.errors import (
    DecodingError,
    EncodingError,
    RunClosed,
    SignalConflict,
    WaitTimeout,
)
from tests.unit.engine import flows


async def test_a_signal_reaches_the_run(engine: Engine) -> None:
    run = await engine.start(flows.decides())
    await run.signal(flows.decision, flows.Decision(True, "ann"))

    assert await run.result(timeout="30s") == "True by ann"


async def test_a_signal_by_plain_name_takes_json(engine: Engine) -> None:
    run = await engine.start(flows.decides())
    await run.signal("decision", {"approved": False, "by": "bob"})

    assert await run.result(timeout="30s") == "False by bob"


async def test_a_signal_of_the_wrong_type_is_refused(engine: Engine) -> None:
    run = await engine.start(flows.decides())

    with pytest.raises((DecodingError, EncodingError)):
        await run.signal("decision", {"approved": "perhaps"})


async def test_signals_are_buffered_in_order(engine: Engine) -> None:
    run = await engine.start(flows.collects(5))
    for n in range(5):
        await run.signal(flows.number, n)

    assert await run.result(timeout="30s") == [0, 1, 2, 3, 4]


async def test_signals_of_the_start_come_before_the_first_line(engine: Engine) -> None:
    run = await engine.start(flows.collects(2), signals=[(flows.number, 7), (flows.number, 8)])

    assert await run.result(timeout="30s") == [7, 8]


async def test_a_dedup_key_delivers_once(engine: Engine) -> None:
    run = await engine.start(flows.collects(2))
    await run.signal(flows.number, 1, dedup="click")
    await run.signal(flows.number, 1, dedup="click")

    with pytest.raises(SignalConflict):
        await run.signal(flows.number, 2, dedup="click")
    await run.signal(flows.number, 3)
    assert await run.result(timeout="30s") == [1, 3]


async def test_a_closed_run_takes_no_signal(engine: Engine) -> None:
    run = await engine.start(flows.sums(1))
    await run.result()

    with pytest.raises(RunClosed):
        await run.signal(flows.number, 1)


async def test_waiting_for_a_signal_can_run_out(engine: Engine) -> None:
    @workflow
    async def waits() -> str:
        try:
            await flows.number.receive(timeout="20ms")
        except WaitTimeout:
            return "late"
        return "came"

    assert await engine.run(waits()) == "late"
