"""Actors: state under a key, changed by one message at a time; teams of them, and topics."""

from outlast._actors.actor import Actor, actor, handler
from outlast._actors.leading import Team
from outlast._actors.supervising import SupervisorActor
from outlast._actors.supervisor import Child, Supervisor
from outlast._actors.topic import Topic

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
