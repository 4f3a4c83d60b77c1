"""The names that error classes of ours have in problems."""

from __future__ import annotations

import re

from outlast.errors import OutlastError

_WORD = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def kind_of(error: type[OutlastError]) -> str:
    """Return an error class's name as problems spell it: `RunNotFound` is `run-not-found`."""
    return _WORD.sub("-", error.__name__).lower()
