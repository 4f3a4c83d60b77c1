"""The stages of a message that an actor handles."""

from __future__ import annotations

from itertools import product

import pytest

from outlast._execution.actors.handled_message import HandledMessage, Stage
from outlast.errors import NotInRun
from tests.unit.execution.actors.messages import handled

QUEUED, BEGUN, SAFE, ENDED = Stage
ALLOWED = {(QUEUED, BEGUN), (BEGUN, SAFE), (QUEUED, ENDED), (BEGUN, ENDED), (SAFE, ENDED)}


def at_stage(stage: Stage) -> HandledMessage:
    made = handled(7)
    return HandledMessage(made.message, made.letter, made.handler, made.at, stage)


@pytest.mark.parametrize(("before", "after"), sorted(ALLOWED))
def test_a_stage_follows_those_before_it(before: Stage, after: Stage) -> None:
    one = at_stage(before)

    one.advance(after)

    assert one.stage is after


@pytest.mark.parametrize(("before", "after"), sorted(set(product(Stage, Stage)) - ALLOWED))
def test_no_other_transition_is_possible(before: Stage, after: Stage) -> None:
    one = at_stage(before)

    with pytest.raises(RuntimeError, match=f"from {before.name.lower()} to {after.name.lower()}"):
        one.advance(after)

    assert one.stage is before


def test_a_message_is_queued_and_its_handler_not_called_at_first() -> None:
    one = handled(7)

    assert (one.stage, one.is_started, one.made_outbox) == (Stage.QUEUED, False, None)


def test_the_outbox_is_made_once_and_carries_the_message_number() -> None:
    one = handled(7)

    outbox = one.outbox

    assert outbox is one.outbox is one.made_outbox
    assert outbox.number == 7


def test_a_handler_that_goes_on_after_the_end_has_no_outbox() -> None:
    one = handled(7)
    one.advance(Stage.ENDED)

    with pytest.raises(NotInRun, match="already completed"):
        _ = one.outbox


def test_the_reason_to_stop_is_what_the_handler_said() -> None:
    quiet, stopping = handled(1), handled(2)
    _ = quiet.outbox
    stopping.outbox.stop_reason = "enough"

    assert (handled(3).stop_reason, quiet.stop_reason) == (None, None)
    assert stopping.stop_reason == "enough"
