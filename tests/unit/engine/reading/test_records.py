"""Records as people read them: dicts as dicts, what steps were given, where attempts failed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from outlast import Engine, Record, Retry, step, workflow
from outlast._engine.reading.declared import DeclaredTypes
from outlast._execution.calls.operations import AttemptBody, StartedBody, decode_body, encode_body
from outlast._execution.journal.step_inputs import StepInputs, decode_input
from outlast._records import VALUE, blob_digest, detach, filled, input_of, outcome_of, with_input
from outlast._registry import default_registry
from outlast.errors import RunFailed

TEXT = "a long text, " * 100
LARGE = "x" * 40_000


@step
async def by_place() -> dict[tuple[int, int], dict[bool, str]]:
    return {(1, 2): {True: "yes"}}


@step
async def mixed() -> dict[str | int, int]:
    return {"1": 1, 1: 2}


@step
async def long_text() -> str:
    return TEXT


@step
async def large_text(n: int) -> str:
    return LARGE


@step
async def count_words(text: str, by: dict[tuple[int, int], int], *, least: int = 1) -> int:
    return len(text.split()) + len(by) + least


@step(retry=Retry(attempts=2, first="1ms"))
async def breaks(number: int) -> None:
    raise ValueError(f"number {number}")


@workflow
async def shown_dicts() -> dict[tuple[int, int], dict[bool, str]]:
    await mixed()
    return await by_place()


@workflow
async def shown_inputs(given: str) -> int:
    text = await long_text()
    total = await count_words("short", {(1, 2): 3}, least=2)
    total += await count_words(text, {})
    total += await count_words(given, {})
    return total + await count_words(text + "!", {})


@workflow
async def shown_large() -> int:
    return len(await large_text(1)) + len(await large_text(2))


@workflow
async def shown_failure() -> None:
    await breaks(7)


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[Engine]:
    async with Engine.open(tmp_path / "shown.db") as opened:
        yield opened


async def steps_of(engine: Engine, run: str) -> list[Record]:
    kinds = ("step_done", "attempt_failed")
    return [record async for record in engine.get(run).journal() if record.kind in kinds]


async def test_dicts_are_shown_as_dicts_whatever_their_keys(engine: Engine) -> None:
    run = await engine.start(shown_dicts(), id="dicts")
    await run.result()

    first, second = await steps_of(engine, "dicts")
    assert first.value == {'"1"': 1, "1": 2}
    assert second.value == {"[1,2]": {"true": "yes"}}
    records = [record async for record in engine.get("dicts").journal()]
    assert records[-1].value == {"status": "completed", "result": second.value}


async def test_a_step_has_what_it_was_given(engine: Engine) -> None:
    run = await engine.start(shown_inputs(TEXT + "?"), id="inputs")
    await run.result()

    made, short, from_step, from_run, unknown = await steps_of(engine, "inputs")
    assert short.input == {"text": "short", "by": {"[1,2]": 3}, "least": 2}
    assert not short.large_input
    # What is large is named by the record that has it: a step's value, the run's own input.
    assert from_step.input == {"by": {}}
    assert from_step.large_input["text"].seq == made.seq
    assert from_run.large_input["text"].seq == 1
    assert (unknown.large_input["text"].seq, unknown.large_input["text"].bytes) == (0, 1_304)


async def test_each_attempt_has_its_own_traceback_and_the_first_what_it_was_given(
    engine: Engine,
) -> None:
    run = await engine.start(shown_failure(), id="failure")
    with pytest.raises(RunFailed):
        await run.result()

    first, last = await steps_of(engine, "failure")
    assert (first.input, last.input) == ({"number": 7}, None)
    for record in (first, last):
        assert "in breaks" in record.traceback
        assert "ValueError: number 7" in record.traceback
    # The run's own traceback does not say where in the step it was.
    failed = [record async for record in engine.get("failure").journal()][-1]
    assert failed.traceback == ""


async def test_a_large_outcome_is_stored_once_whatever_led_to_it(engine: Engine) -> None:
    run = await engine.start(shown_large(), id="large")
    assert await run.result() == 2 * len(LARGE)

    first, second = await steps_of(engine, "large")
    assert (first.input, second.input) == ({"n": 1}, {"n": 2})
    assert first.value == second.value == LARGE
    stored = [record.stored for record in (first, second) if record.stored is not None]
    digests = {blob_digest(detach(record.body)[0]) for record in stored}
    assert len(digests) == 1


def test_a_body_with_an_input_reads_as_the_outcome() -> None:
    outcome = VALUE + b"x" * 40_000
    body = with_input(b"given", outcome)

    assert (input_of(body), outcome_of(body)) == (b"given", outcome)
    stored, blob = detach(body)
    assert blob is not None
    assert (len(stored) < 100, blob_digest(stored)) == (True, blob.digest)
    assert filled(stored, blob.body) == body


def test_bodies_that_were_stored_before_inputs_were_still_read() -> None:
    assert (input_of(VALUE + b"\x01"), outcome_of(VALUE + b"\x01")) == (b"", VALUE + b"\x01")
    before = VALUE + msgspec.msgpack.encode((b"failure", 1, 2))
    assert decode_body(before, AttemptBody) == AttemptBody(b"failure", 1, 2)
    assert encode_body(AttemptBody(b"f", 1, 2, b"g")) != before


def test_an_argument_that_cannot_be_stored_is_not_recorded_here() -> None:
    assert StepInputs().recorded("app.step", {"n": 1 << 70}) == b""
    assert StepInputs().recorded("app.step", {"text": "\ud800"}) == b""
    assert StepInputs().recorded("outlast.ask_actor", {"n": 1}) == b""


def test_an_argument_beyond_all_limits_costs_no_copy() -> None:
    found = decode_input(StepInputs().recorded("app.step", {"data": bytes(1_000_000), "n": 1}))
    assert found is not None
    assert (found.small, found.large) == ({"n": 1}, {"data": (0, 1_000_000)})


@workflow
async def keyed(places: dict[tuple[int, int], int], either: dict[str | int, int]) -> int:
    return len(places) + len(either)


@pytest.mark.parametrize(
    ("either", "shown"),
    [
        ({"a": 1}, {"places": {"[1,2]": 3}, "either": {"a": 1}}),
        # As an object these would be read back as two texts: the pairs keep what they are.
        ({"1": 1, 1: 2}, {"places": [[[1, 2], 3]], "either": [["1", 1], [1, 2]]}),
    ],
)
async def test_an_input_is_shown_so_that_a_fork_with_it_is_the_same(
    engine: Engine, either: dict[str | int, int], shown: dict[str, object]
) -> None:
    run = await engine.start(keyed({(1, 2): 3}, either), id=f"keyed-{len(either)}")
    await run.result()

    found = DeclaredTypes(default_registry, (await run.info()).workflow)
    records = [record async for record in run.journal()]
    started = records[0].stored
    assert started is not None
    data = decode_body(started.body, StartedBody).input
    edited = found.arguments_to_edit(data)
    assert edited == shown
    fork = await run.fork(2, {"places": shown["places"], "either": shown["either"]})
    assert await fork.result() == 1 + len(either)
