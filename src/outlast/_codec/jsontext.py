"""JSON as text from outside, in which each object must name a member once.

Parsers keep the last of several values under one name: what a user gave before would be dropped.
"""

from __future__ import annotations

import json


class RepeatedName(ValueError):
    """An object in a JSON text has two members of one name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"the name {name[:50]!r} appears twice in one object")
        self.name = name


def refuse_repeated_names(text: str) -> None:
    """Look for an object with two members of one name in a text that is JSON.

    Raises:
        RepeatedName
    """
    if text.count(":") > 1:
        # Numbers are left as text: one of a million digits takes seconds to read.
        json.loads(text, object_pairs_hook=members_once, parse_int=str, parse_float=str)


def members_once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Return the members of an object; a hook for `json.loads`.

    Raises:
        RepeatedName
    """
    found: dict[str, object] = {}
    for name, value in pairs:
        if name in found:
            raise RepeatedName(name)
        found[name] = value
    return found
