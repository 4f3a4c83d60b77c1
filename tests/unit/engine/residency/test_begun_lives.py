"""The order that began a member's life ends with that life."""

from __future__ import annotations

from outlast import Engine
from outlast._engine.residency.begun_lives import end_with_life, order_of_life
from outlast._execution.actors.membership import Membership
from outlast._execution.calls.operations import failure_in
from outlast._messages.system_messages import Assignment
from outlast._store.rows import DONE, JOIN, Message
from outlast._store.transactions import Transaction
from outlast.types import RunId

ACTOR = RunId("shop.Worker/a")


def began_by(number: int) -> Membership:
    bonds = Membership.read({})
    bonds.place = Assignment("outlast.Supervisor/crew", ACTOR, "always", 2, by=number)
    return bonds


async def test_an_order_that_was_obeyed_and_an_actor_without_a_team_have_none(
    engine: Engine,
) -> None:
    store = engine._core.store

    assert await order_of_life(store, ACTOR, began_by(7)) == []
    assert await order_of_life(store, ACTOR, Membership.read({})) == []


def test_it_is_answered_and_leaves_the_mailbox_with_the_commit_that_stops_its_actor() -> None:
    transaction = Transaction(None, ACTOR, [])
    order = Message(run=ACTOR, kind="ask", name=JOIN, dedup="d", number=7)

    outcome = end_with_life(transaction, [order])

    failure = failure_in(outcome)
    assert failure is not None
    assert failure.qualname == "ActorStopped"
    assert transaction.also.consumed == (7,)
    assert [name for name, _ in transaction.also.values] == [f"{DONE}d"]
