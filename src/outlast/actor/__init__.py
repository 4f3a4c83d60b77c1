"""Actors: state under a key, changed by one message at a time."""

from outlast.actor.actor import Actor, actor, handler

__all__ = ["Actor", "actor", "handler"]
