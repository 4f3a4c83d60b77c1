"""Keys that the code gives to its operations itself, in place of where it asks for them.

Such a key stays the same when code, or a library, makes its tasks in another order or depth. It is
stored as `=key:name`, in an actor as `7=key:name` for its message 7, since what a step is known by
outside must differ from message to message. Keys that are made of places begin with a task's path.
"""

from __future__ import annotations

from outlast._wording.names import check_name
from outlast.errors import UsageError


class GivenKeys:
    """The keys that the code of one run, or an actor's message, has given: each is used once."""

    __slots__ = ("_counts", "_taken")

    def __init__(self) -> None:
        self._taken: set[str] = set()
        self._counts: dict[str, int] = {}

    def next_number(self, what: str) -> int:
        """Return how often this was asked for, from 1 on: for keys that would be the same."""
        number = self._counts[what] = self._counts.get(what, 0) + 1
        return number

    def take(self, key: str, name: str, *, message: str) -> str:
        """Return what the operation of this name under this key is stored under.

        Raises:
            UsageError: it is no key, or this run has used it.
        """
        if check_name("a key", key) in self._taken:
            raise UsageError(
                f"the run has used the key {key!r} before: each step and each token under a key "
                f"of its own needs a new one"
            )
        self._taken.add(key)
        return f"{message}{place_of_key(key)}:{name}"


def place_of_key(key: str) -> str:
    """Return what stands in front of the name in the stored form of a given key."""
    return "=" + key.replace("%", "%25").replace(":", "%3A")
