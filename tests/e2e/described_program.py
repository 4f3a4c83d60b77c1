"""What the server of `test_description.py` runs: everything ends at once."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from outlast import Actor, actor, handler, step, workflow


@dataclass
class Part:
    """One part of an order."""

    name: str
    count: int = 1
    at: datetime | None = None
    parts: list[Part] = field(default_factory=list["Part"])


@step
async def sum_of(a: int, b: int) -> int:
    """Add."""
    return a + b


@workflow(name="described.add")
async def add(a: int, b: int = 0) -> int:
    """Add two numbers durably."""
    return await sum_of(a, b)


@workflow(name="described.pack")
async def pack(part: Part, note: str | None = None, tags: set[str] | None = None) -> str:
    """Take apart a nested input."""
    return f"{part.name} {note} {len(tags or ())}"


@dataclass
class Total:
    """A sum."""

    value: int = 0


@actor
class Counter(Actor[Total]):
    """Counts."""

    @handler
    async def add(self, number: int = 1) -> int:
        """Add to the total."""
        self.state.value = (self.state.value + number) % 1_000_000
        return self.state.value
