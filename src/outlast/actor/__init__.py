"""Actors: state under a key, changed by one message at a time; teams of them, and topics."""

from outlast.actor.actor import Actor, actor, handler
from outlast.actor.leading import Team
from outlast.actor.supervising import SupervisorActor
from outlast.actor.supervisor import Child, Supervisor
from outlast.actor.topic import Topic

__all__ = [
    "Actor",
    "Child",
    "Supervisor",
    "SupervisorActor",
    "Team",
    "Topic",
    "actor",
    "handler",
]
