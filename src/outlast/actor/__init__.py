"""Actors: state under a key, changed by one message at a time."""

from outlast.actor.actor import Actor, actor, handler
from outlast.actor.topic import Topic

__all__ = ["Actor", "Topic", "actor", "handler"]
