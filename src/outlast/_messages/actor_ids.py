"""The ids of actors, and the types of those that are outlast's own."""

from __future__ import annotations

from outlast.types import RunId

SUPERVISORS = "outlast.Supervisor"  # the actors that supervise
TOPICS = "outlast.Topic"  # the actors that keep who has subscribed to what
BUDGETS = "outlast.Budget"  # the ledgers of what agents spend
PROVIDERS = "outlast.Provider"  # what is used of the minutes of providers of models
OWN_TYPES = (SUPERVISORS, TOPICS, BUDGETS, PROVIDERS)


def actor_id(type_name: str, key: str) -> RunId:
    """Return the id of the actor of a type under a key."""
    return RunId(f"{type_name}/{key}")


def key_in(actor: RunId, type_name: str) -> str:
    """Return the key that an actor's id was made of."""
    return actor[len(type_name) + 1 :]
