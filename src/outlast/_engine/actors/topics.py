"""Publications that are given by a topic's name and JSON, as HTTP and the command line do."""

from __future__ import annotations

from difflib import get_close_matches

from outlast._messages.actor_ids import TOPICS
from outlast._messages.envelopes import Envelope
from outlast._registry import Registry
from outlast._wording.names import check_name
from outlast.errors import UnknownTopic, UsageError

PUBLISH = "publish"  # the handler of a topic's own actor


def publication(registry: Registry, name: str, value: object, *, dedup: str = "") -> Envelope:
    """Return the message that publishes JSON data, checked against the topic's type.

    Raises:
        UnknownTopic: no topic of this name is declared in the code that is here.
        DecodingError: `value` does not fit.
    """
    declared = registry.topics.get(check_name("a topic's name", name))
    topics = registry.actors.get(TOPICS)
    if declared is None or topics is None:
        known = sorted(registry.topics)
        raise UnknownTopic(name, nearest=next(iter(get_close_matches(name, known, 1)), ""))
    if declared.adapter is None:
        raise UsageError(
            f"topic {name!r} is declared more than once with different types, so a value cannot "
            "be checked: publish from code, or give the topics different names"
        )
    data = declared.adapter.encode(declared.adapter.from_json(value))
    taken = topics.handlers[PUBLISH]
    args = taken.signature.encode(taken.signature.bind((data,), {}))
    return Envelope(topics, name, taken, args, dedup=dedup)
