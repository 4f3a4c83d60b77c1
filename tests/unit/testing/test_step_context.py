"""A step that uses `this_step()` is tested without an engine."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from outlast import NotInRun, Stream, UsageError, Value, step, this_step
from outlast.errors import EncodingError
from outlast.testing import step_context

spoken = Stream("steptest.spoken", str)
share = Value("steptest.share", float)


class Bank:
    """What a step needs."""


@step
async def charge(cents: int) -> str:
    me = this_step()
    await me.heartbeat({"done": cents})
    await spoken.write("begun")
    share.set(0.5)
    return f"{cents} under {me.key}, attempt {me.attempt}"


@step
def resize(size: int) -> tuple[int | None, bool, bool]:
    me = this_step()
    me.heartbeat(size)
    return me.last_heartbeat(int), me.cancelled, me.shutting_down


async def test_an_async_step_sees_its_context_and_what_it_sends_is_kept() -> None:
    with step_context(key="order-7", attempt=2) as seen:
        assert await charge(5) == "5 under order-7, attempt 2"
        assert await charge(6) == "6 under order-7, attempt 2"

    assert seen.heartbeats == [{"done": 5}, {"done": 6}]
    assert seen.written == {"steptest.spoken": ["begun", "begun"]}
    assert seen.values == {"steptest.share": 0.5}


def test_a_plain_step_sees_what_the_test_says() -> None:
    with step_context(last_heartbeat=3) as seen:
        assert resize.fn(1) == (3, False, False)
        seen.cancelled = seen.shutting_down = True
        assert resize.fn(2) == (3, True, True)

    assert seen.heartbeats == [1, 2]


def test_resources_fence_and_deadline_are_given() -> None:
    bank, at = Bank(), datetime(2030, 1, 1, tzinfo=UTC)
    with step_context(resources={Bank: bank}, fence=9, deadline=at, run_id="r") as seen:
        me = this_step()
        assert me.resource(Bank) is bank
        assert (me.fence, me.deadline, me.run_id) == (9, at, "r")
        assert me is seen.context
        with pytest.raises(UsageError, match="no resource of type int"):
            me.resource(int)


async def test_what_cannot_be_stored_is_refused_as_in_a_run() -> None:
    with step_context(), pytest.raises(EncodingError):
        this_step().heartbeat(object())


def test_the_context_ends_with_the_block() -> None:
    with step_context():
        this_step()
    with pytest.raises(NotInRun):
        this_step()
