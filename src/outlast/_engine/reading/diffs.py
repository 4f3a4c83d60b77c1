"""Two runs side by side: where they part, and what each recorded for the same operation."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from outlast._engine.reading.records import Record


@dataclass(frozen=True, slots=True)
class DiffRow:
    """What two runs recorded at one place: `a` and `b`, None where one has nothing there."""

    key: str
    a: Record | None
    b: Record | None
    differs: bool


@dataclass(frozen=True, slots=True)
class RunDiff:
    """Two journals, aligned by key; `first` is the `seq` of the first record that differs.

    It is that of the first run, or of the second where the first has none; None when the runs
    recorded the same. Times, attempts and epochs may differ, and so may ids of children.
    """

    first: int | None
    rows: tuple[DiffRow, ...]


def compared(a: Iterable[Record], b: Iterable[Record]) -> RunDiff:
    """Return how two journals differ."""
    ours, theirs = _by_place(a), _by_place(b)
    rows: list[DiffRow] = []
    for place, record in ours.items():
        other = theirs.get(place)
        rows.append(DiffRow(place, record, other, other is None or _differs(record, other)))
    rows += [DiffRow(place, None, r, True) for place, r in theirs.items() if place not in ours]
    parting = (row.a or row.b for row in rows if row.differs)
    first = next((record.seq for record in parting if record is not None), None)
    return RunDiff(first, tuple(rows))


def _by_place(records: Iterable[Record]) -> dict[str, Record]:
    """Return the last record of each operation, and others by kind, name and count."""
    found: dict[str, Record] = {}
    counts: dict[str, int] = {}
    for record in records:
        place = record.key
        if not place:
            what = f"{record.kind} {record.name}".strip()
            counts[what] = count = counts.get(what, 0) + 1
            place = what if count == 1 else f"{what} ({count})"
        elif record.kind not in ("step_done", "attempt_failed", "step_intent"):
            # What an operation does beside its outcome stands beside it.
            place = f"{place} {record.kind}" if place in found else place
        if place not in found or record.kind in ("step_done", "child_done", "token_answered"):
            found[place] = record
    return found


def _differs(a: Record, b: Record) -> bool:
    return (a.kind, a.value, a.error) != (b.kind, b.value, b.error)
