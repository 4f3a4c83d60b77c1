"""What ties an actor to others: what is told with which commit, and when it stops for good."""

from __future__ import annotations

import pytest

from outlast._execution.actors.membership import WATCHING, Membership, decode_place
from outlast._messages.system_messages import Assignment, Watch, watch_orders
from outlast._store.rows import PostResult
from outlast._store.transactions import Receipt, Transaction
from outlast.types import Restart
from tests.unit.execution.actors.messages import ACTOR

TEAM = "outlast.Supervisor/team"


def member(restart: Restart = "on_failure") -> Membership:
    return Membership(place=Assignment(TEAM, "member", restart, 2))


def transaction() -> Transaction:
    return Transaction(None, ACTOR, [])


def test_an_actor_that_falls_is_down_and_its_supervisor_is_told_with_the_same_commit() -> None:
    bonds, commit = member(), transaction()

    bonds.fall(commit, "ValueError: no", 1)

    assert bonds.is_down
    assert [(told.run, told.name) for told in commit.also.posts] == [(TEAM, "failed")]
    [(_, kept)] = commit.also.values
    assert kept is not None
    assert decode_place(kept) == bonds.place


def test_an_actor_that_is_down_does_not_fall_again() -> None:
    bonds, commit = member(), transaction()
    bonds.fall(transaction(), "ValueError: no", 1)

    bonds.fall(commit, "ValueError: again", 2)

    assert (commit.also.posts, commit.also.values) == ((), ())
    assert bonds.place is not None
    assert bonds.place.why == "ValueError: no"


def test_an_actor_of_no_team_does_not_fall() -> None:
    bonds, commit = Membership(), transaction()

    bonds.fall(commit, "ValueError: no", 1)

    assert (bonds.is_down, commit.also.posts, commit.also.values) == (False, (), ())


@pytest.mark.parametrize(
    ("restart", "wanted", "reason"),
    [
        ("on_failure", None, None),
        ("on_failure", "enough", "enough"),
        ("always", "enough", None),
        ("never", "enough", "enough"),
    ],
)
def test_a_handler_stops_its_actor_unless_that_is_kept(
    restart: Restart, wanted: str | None, reason: str | None
) -> None:
    assert member(restart).reason_to_stop(wanted) == reason


@pytest.mark.parametrize(
    ("restart", "reason"), [("on_failure", None), ("always", None), ("never", "ValueError: no")]
)
def test_a_failure_ends_only_a_member_that_is_never_started_again(
    restart: Restart, reason: str | None
) -> None:
    bonds = member(restart)
    bonds.fall(transaction(), "ValueError: no", 1)

    assert bonds.reason_to_stop(None) == reason


def test_an_actor_of_no_team_stops_when_its_handler_says_so() -> None:
    assert Membership().reason_to_stop(None) is None
    assert Membership().reason_to_stop("enough") == "enough"


@pytest.mark.parametrize(("result", "is_watched"), [("accepted", True), ("full", False)])
def test_whom_it_watches_is_asked_until_the_order_is_in_a_mailbox(
    result: PostResult, is_watched: bool
) -> None:
    watch = Watch("stopped", "event", "1.0")
    bonds = Membership(watching={"parts.Notes/b": watch})
    asking, after = transaction(), transaction()
    asking.also.posts = tuple(watch_orders(ACTOR, bonds.watching, 1))

    bonds.note_taken(asking, Receipt(posts=(result,), numbers=(4,)))
    bonds.write_down(after)

    assert bonds.watching == ({} if is_watched else {"parts.Notes/b": watch})
    forgotten = ((f"{WATCHING}parts.Notes/b", None),) if is_watched else ()
    assert after.also.values == forgotten
