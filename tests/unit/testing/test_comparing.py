"""`crash_everywhere` compares what counts, and says what differs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import msgspec
import pytest

from outlast import Signal, UsageError, step, wf, workflow
from outlast.testing import crash_everywhere
from outlast.testing.comparing import comparable


@dataclass
class Receipt:
    id: str
    at: datetime
    took: float


class Pair(NamedTuple):
    left: int
    right: int


class Struct(msgspec.Struct):
    name: str
    took: float


@step
async def charge() -> str:
    return "ok"


@workflow
async def timed() -> dict[str, tuple[Receipt, datetime]]:
    text = await charge()
    now = wf.now()
    return {"receipt": (Receipt(text, now, 1.0), now)}


_began: list[float] = []


@step
async def counted() -> float:
    _began.append(0.0)
    return float(len(_began))


@workflow
async def measured() -> Receipt:
    return Receipt("x", wf.now(), await counted())


async def test_times_in_a_result_are_no_difference() -> None:
    assert await crash_everywhere(timed()) == []


async def test_a_field_is_left_out_when_it_is_named() -> None:
    assert await crash_everywhere(measured(), ignore=["took"]) == []


async def test_a_difference_says_what_was_expected_and_what_came() -> None:
    _began.clear()

    differences = await crash_everywhere(measured())

    assert differences[0].startswith("killed after record 1: expected returned Receipt(id='x'")
    assert "took=1.0); got returned Receipt(" in differences[0]


async def test_one_text_is_no_collection_of_names() -> None:
    with pytest.raises(UsageError, match="give \\['took'\\]"):
        await crash_everywhere(measured(), ignore="took")


def test_values_of_every_shape_are_comparable() -> None:
    value = [Pair(1, 2), {"b": Struct("s", 1.0), "took": 2}, {3, 1}, (None, b"x")]

    assert comparable(value, frozenset(("took",))) == (
        "list(Pair(left=1, right=2), {'b': Struct(name='s')}, {1, 3}, tuple(None, b'x'))"
    )


@workflow
async def waits_for_a_person() -> bool:
    await charge()
    return (await wf.approve("Go on?")).approved


async def test_a_run_that_does_not_end_by_itself_is_no_green_test() -> None:
    with pytest.raises(UsageError, match="does not end, even without a crash") as raised:
        await crash_everywhere(waits_for_a_person())
    assert "waits for an answer to approval '0#2:approval' ('Go on?')" in f"{raised.value}"
    assert "await sim.engine.approve(token.id)" in f"{raised.value}"

    with pytest.raises(
        UsageError, match=r"token '=which\S* \('Which one\?'\).*answer\(token.id, value"
    ):
        await crash_everywhere(waits_for_a_value())
    with pytest.raises(UsageError, match="what it waits for in signals="):
        await crash_everywhere(waits_for_a_signal())


@workflow
async def waits_for_a_value() -> int:
    return await wf.token(int, key="which", title="Which one?").wait()


go_on = Signal("go_on", bool)


@workflow
async def waits_for_a_signal() -> bool:
    return await go_on.receive()


@step
async def breaks() -> str:
    raise ConnectionError("never works")


@workflow
async def fails_always() -> str:
    return await breaks()


async def test_a_run_that_fails_without_a_crash_is_no_green_test() -> None:
    with pytest.raises(UsageError, match=r"it raised .*never works.*may_fail=True"):
        await crash_everywhere(fails_always())


async def test_a_failure_that_is_expected_is_compared() -> None:
    assert await crash_everywhere(fails_always(), may_fail=True) == []
