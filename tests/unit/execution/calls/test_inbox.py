"""Signals of many bytes: how many wait in memory, and what is kept of them."""

from __future__ import annotations

import asyncio

import pytest

from outlast import Engine, MailboxFull, Signal, SignalConflict, Update, limits, workflow
from outlast._execution.calls.inbox import Known
from outlast.types import RunId

text = Signal("large_text", str)
over = Signal("large_over", int)
reads_now = Update("large_reads_now", int, int)
LONG = "x" * (2 * limits.DEDUP_PAYLOAD_BYTES)


@workflow
async def reads_when_told() -> list[int]:
    sizes: list[int] = []

    @reads_now.handler
    async def read_some(count: int) -> int:
        for _ in range(count):
            sizes.append(len(await text.receive()))
        return count

    await over.receive()
    return sizes


async def test_a_run_takes_no_more_bytes_of_signals_than_it_may_hold(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "SIGNALS_BUFFERED_BYTES", 1_000)
    run = await engine.start(reads_when_told())
    await run.signal(text, "x" * 3_000)  # whatever it has, one is taken by a run that holds none

    with pytest.raises(MailboxFull, match="or 1,000 bytes of them"):
        await run.signal(text, "y")


async def test_reading_makes_room_for_more_bytes(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = await engine.start(reads_when_told())
    monkeypatch.setattr(limits, "SIGNALS_BUFFERED_BYTES", 1_000)
    await run.signal(text, "x" * 450)
    await run.signal(text, "x" * 450)
    with pytest.raises(MailboxFull):
        await run.signal(text, "x" * 450)
    assert await run.update(reads_now, 2) == 2

    await run.signal(text, "x" * 450)

    assert await run.update(reads_now, 1) == 1
    await run.signal(over, 0)
    assert await run.result(timeout="30s") == [450, 450, 450]


async def test_a_long_signal_is_known_by_its_hash(engine: Engine) -> None:
    run = await engine.start(reads_when_told())
    await asyncio.gather(*[run.signal(text, LONG, dedup="one") for _ in range(3)])
    await run.signal(text, LONG, dedup="one")
    with pytest.raises(SignalConflict):
        await run.signal(text, LONG + "y", dedup="one")
    first, other = await asyncio.gather(
        run.signal(text, LONG, dedup="two"),
        run.signal(text, LONG + "y", dedup="two"),
        return_exceptions=True,
    )

    assert first is None
    assert isinstance(other, SignalConflict)
    inbox = engine._core.scheduler.residents[RunId(run.id)].calls.inbox
    assert all(known.payload is None for known in inbox.dedups.values())
    assert await run.update(reads_now, 2) == 2
    await run.signal(over, 0)
    assert await run.result(timeout="30s") == [len(LONG)] * 2


async def test_unread_bytes_count_for_the_memory_of_the_engine(engine: Engine) -> None:
    run = await engine.start(reads_when_told())
    await run.signal(text, "z" * 5_000)

    inbox = engine._core.scheduler.residents[RunId(run.id)].calls.inbox

    assert 5_000 < inbox.bytes_held < 5_100
    assert engine._core.residency._bytes_held() >= 5_000


def test_a_short_signal_is_known_as_it_is() -> None:
    assert Known.of("a", b"short") == Known("a", b"short", b"")


@pytest.mark.parametrize("standing", ["paused", "pausing"])
async def test_a_run_that_stands_still_takes_as_many_bytes(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, standing: str
) -> None:
    monkeypatch.setattr(limits, "SIGNALS_BUFFERED_BYTES", 1_000)
    run = await engine.start(reads_when_told())
    await run.pause()
    if standing == "paused":
        async with asyncio.timeout(30):
            while RunId(run.id) in engine._core.scheduler.residents:  # noqa: ASYNC110  # no event
                await asyncio.sleep(0.005)
    await run.signal(text, "x" * 450)
    await run.signal(text, "x" * 450)
    with pytest.raises(MailboxFull):
        await run.signal(text, "x" * 450)
    await run.resume()
    assert await run.update(reads_now, 2) == 2
    await run.signal(over, 0)
    assert await run.result(timeout="30s") == [450, 450]
