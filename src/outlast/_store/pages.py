"""Pages of rows that hold values: they end with the row with which the values reach a size.

A thousand values of the largest size are two gigabytes. What a page has no room for comes with the
next one, so a page that is short need not be the last.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from outlast import limits
from outlast._store.rows import DeadLetter, RunRow, TokenRow

Row = TypeVar("Row", RunRow, DeadLetter, TokenRow)


def page_of(rows: Sequence[Row], limit: int) -> list[Row]:
    """Return the first of these rows that make a page."""
    size = 0
    for count, row in enumerate(rows[:limit], start=1):
        size += _bytes_of(row)
        if size >= limits.PAGE_READ_BYTES:
            return list(rows[:count])
    return list(rows[:limit])


def is_last(page: Sequence[Row], limit: int) -> bool:
    """Whether a listing ends with this page."""
    return len(page) < limit and sum(map(_bytes_of, page)) < limits.PAGE_READ_BYTES


def _bytes_of(row: RunRow | DeadLetter | TokenRow) -> int:
    if isinstance(row, RunRow):
        if row.parked_as == "damaged":
            return limits.PAGE_READ_BYTES  # what it held is not known: whoever lists goes on
        return len(row.output or b"") + len(row.digest)
    if isinstance(row, DeadLetter):
        return len(row.body)
    return len(row.value or b"")
