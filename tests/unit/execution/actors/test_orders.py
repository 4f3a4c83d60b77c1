"""What an actor decides on an order, and whether that undoes what it is handling."""

from __future__ import annotations

import msgspec
import pytest

from outlast._execution.actors.membership import Membership
from outlast._execution.actors.orders import (
    Acknowledge,
    AskToResume,
    BeginLife,
    Decision,
    Fall,
    HaveHandled,
    LeaveTeam,
    Refuse,
    StandStill,
    Stop,
    decide,
    interrupts,
)
from outlast._messages.system_messages import (
    Assignment,
    Hold,
    Join,
    Leave,
    Order,
    Watch,
    WatchOver,
    order_message,
)
from outlast._store.rows import Message, MessageKind
from outlast.types import Restart
from tests.unit.execution.actors.messages import ACTOR

TEAM = "outlast.Supervisor/team"
OTHERS = "outlast.Supervisor/others"


def place(
    life: int = 1, *, supervisor: str = TEAM, restart: Restart = "on_failure", by: int = 0
) -> Assignment:
    return Assignment(supervisor, "member", restart, life, by=by)


def decided(
    order: Order, known: Assignment | None, *, sender: str = TEAM, number: int = 9
) -> Decision:
    sent = order_message(ACTOR, order, sender=sender, at=1)
    sent = msgspec.structs.replace(sent, number=number)
    return decide(sent, Membership(place=known), supervises=False)


def asked(
    kind: MessageKind, known: Assignment | None, *, reason: str = "", supervises: bool = False
) -> Decision:
    request = Message(run=ACTOR, kind=kind, name=reason, number=9)
    return decide(request, Membership(place=known), supervises=supervises)


# ------------------------------------------------------------------------------ joining
@pytest.mark.parametrize("known", [None, place(1)])
def test_a_later_life_is_begun_by_the_order_that_came_with_it(known: Assignment | None) -> None:
    expected = BeginLife(place(2, by=9), is_new=True, is_reset=True)

    assert decided(Join(place(2), reset=True), known) == expected


@pytest.mark.parametrize(("number", "is_begun_by_it"), [(9, True), (8, False)])
def test_an_order_of_the_same_life_changes_how_it_is_restarted(
    number: int, is_begun_by_it: bool
) -> None:
    known = place(2, by=9)
    taken = place(2, restart="never", by=9)
    expected = BeginLife(taken) if is_begun_by_it else Acknowledge(taken)

    decision = decided(Join(place(2, restart="never"), reset=True), known, number=number)

    assert decision == expected


def test_an_order_of_an_earlier_life_changes_nothing() -> None:
    assert decided(Join(place(1, restart="never")), place(2)) == Acknowledge()


@pytest.mark.parametrize("life", [1, 2, 3])
def test_another_team_is_refused_whatever_the_life(life: int) -> None:
    decision = decided(Join(place(life, supervisor=OTHERS)), place(2), sender=OTHERS)

    assert decision == Refuse(f"{ACTOR} has a place in another team: {TEAM}")


@pytest.mark.parametrize("known", [None, place(2)])
def test_an_order_without_a_supervisor_only_has_the_actor_be_there(
    known: Assignment | None,
) -> None:
    assert decided(Join(place(0, supervisor="")), known) == BeginLife()


# ---------------------------------------------------------------------- holding, leaving
@pytest.mark.parametrize("life", [2, 3])
def test_an_actor_stands_still_for_its_supervisor(life: int) -> None:
    held = msgspec.structs.replace(place(2), down="held", why="a restart")

    assert decided(Hold(life, "held", "a restart"), place(2)) == StandStill(held)


@pytest.mark.parametrize(
    ("known", "life", "sender"),
    [(None, 2, TEAM), (place(2), 1, TEAM), (place(2), 2, OTHERS)],
    ids=["of no team", "an earlier life", "another team"],
)
def test_an_actor_is_held_by_nobody_else(known: Assignment | None, life: int, sender: str) -> None:
    assert decided(Hold(life, "held", ""), known, sender=sender) == StandStill()


def test_only_its_supervisor_has_an_actor_leave() -> None:
    assert decided(Leave("done"), place(2)) == LeaveTeam("done")
    assert decided(Leave("done"), place(2), sender=OTHERS) == Acknowledge()
    assert decided(Leave("done"), None) == Acknowledge()


def test_anyone_may_watch() -> None:
    order = WatchOver("parts.Notes/b", Watch("stopped", "event"))

    assert decided(order, place(2), sender="parts.Notes/b") == order


# ------------------------------------------------------------------------------- people
@pytest.mark.parametrize("kind", ["cancel", "terminate"])
def test_an_actor_stops_when_it_is_told_to(kind: MessageKind) -> None:
    assert asked(kind, None, reason="enough") == Stop("enough")
    assert asked(kind, place(restart="on_failure")) == Stop("")


def test_an_actor_that_is_kept_falls_instead() -> None:
    known = place(restart="always")

    assert asked("cancel", known, reason="enough") == Fall("it was stopped: enough")
    assert asked("cancel", known) == Fall("it was stopped")


@pytest.mark.parametrize("known", [None, place(restart="always")])
def test_a_supervisor_stops_its_team_first_and_resumes_by_its_own_handler(
    known: Assignment | None,
) -> None:
    stop_all = HaveHandled("stop_all", is_first=True)

    assert asked("terminate", known, supervises=True) == stop_all
    assert asked("resume", known, supervises=True) == HaveHandled("resume", is_first=False)


def test_to_resume_is_its_supervisors_to_do() -> None:
    assert asked("resume", place()) == AskToResume()


# ------------------------------------------------------------------------- interrupting
@pytest.mark.parametrize(
    ("decision", "in_a_team", "alone"),
    [
        (BeginLife(place(2), is_new=True), True, False),
        (BeginLife(place(2)), False, False),
        (BeginLife(), False, False),
        (StandStill(place()), True, True),
        (StandStill(), False, False),
        (Fall("it was stopped"), True, True),
        (LeaveTeam("done"), False, False),
        (Stop("enough"), False, False),
        (Acknowledge(place()), False, False),
        (HaveHandled("stop_all", is_first=True), False, False),
    ],
)
def test_what_is_handled_is_undone_only_for_another_life_or_a_halt(
    decision: Decision, in_a_team: bool, alone: bool
) -> None:
    assert interrupts(decision, Membership(place=place())) is in_a_team
    assert interrupts(decision, Membership()) is alone
