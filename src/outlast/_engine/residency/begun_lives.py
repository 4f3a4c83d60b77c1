"""The order that has begun the life of a team's member, when the member is stopped unrun.

Orders reach stopped actors too. One that was not yet obeyed, left in the mailbox, would begin the
life anew, behind the word of its end (simulation of teams, seed 1636).
"""

from __future__ import annotations

from collections.abc import Sequence

from outlast._execution.actors.actor_memory import remembered
from outlast._execution.actors.membership import Membership
from outlast._execution.calls.operations import failure_body
from outlast._store.contract import Store
from outlast._store.rows import DONE, Message
from outlast._store.transactions import Transaction
from outlast.errors import ActorStopped
from outlast.types import RunId


async def order_of_life(store: Store, actor: RunId, bonds: Membership) -> Sequence[Message]:
    """Return the order that began an actor's life in its team, if it waits in the mailbox still."""
    number = 0 if bonds.place is None else bonds.place.by
    waiting = await store.read_mailbox(actor, 1, number - 1) if number else []
    return [message for message in waiting if message.number == number]


def end_with_life(transaction: Transaction, orders: Sequence[Message]) -> bytes:
    """Let orders end with the commit that stops their actor; return the outcome that they have."""
    outcome = failure_body(ActorStopped(f"{transaction.run} has stopped before that"))
    effects = transaction.also
    for order in orders:
        effects.consumed += (order.number,)
        if order.dedup:
            effects.values += ((DONE + order.dedup, remembered(order.number, outcome)),)
    return outcome
