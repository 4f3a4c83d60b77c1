"""The arithmetic of budgets: whole numbers, in which no sum is rounded.

Dollars are counted in nanodollars: a price of $0.05 for a million tokens is 50 for a token.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

NANOS = 1_000_000_000
UNBOUNDED = 2**62


@dataclass(frozen=True, slots=True)
class Amount:
    """What is spent or reserved: nanodollars and tokens."""

    usd: int = 0
    tokens: int = 0

    def __add__(self, other: Amount) -> Amount:
        return Amount(self.usd + other.usd, self.tokens + other.tokens)

    def times(self, count: int) -> Amount:
        """Return this amount so many times."""
        return Amount(self.usd * count, self.tokens * count)


NOTHING = Amount()


@dataclass(frozen=True, slots=True)
class Limits:
    """What may be spent; None is no limit."""

    usd: int | None = None
    tokens: int | None = None
    tool_calls: int | None = None

    def tightened(self, other: Limits) -> Limits:
        """Return the smaller one of each limit."""
        return Limits(
            _smaller(self.usd, other.usd),
            _smaller(self.tokens, other.tokens),
            _smaller(self.tool_calls, other.tool_calls),
        )

    def room(self, used: Amount) -> Amount:
        """Return what is left beside what is used; it may be negative."""
        return Amount(
            UNBOUNDED if self.usd is None else self.usd - used.usd,
            UNBOUNDED if self.tokens is None else self.tokens - used.tokens,
        )


NO_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Offer:
    """What a request costs with so many output tokens: `base`, and `each` for one of them.

    `least` is the number of output tokens below which the request makes no sense.
    """

    base: Amount
    each: Amount
    least: int

    def cost(self, output: int) -> Amount:
        """Return what the request costs with so many output tokens."""
        return self.base + self.each.times(output)

    def affordable(self, room: Amount, wanted: int) -> int:
        """Return how many output tokens the room pays for, at most `wanted`; 0 for too few."""
        found = wanted
        for left, base, each in (
            (room.usd, self.base.usd, self.each.usd),
            (room.tokens, self.base.tokens, self.each.tokens),
        ):
            if left < base:
                return 0
            if each:
                found = min(found, (left - base) // each)
        return found if found >= self.least else 0


def nanos_of(usd: Decimal) -> int:
    """Return dollars in nanodollars, rounded up: of what something costs."""
    return int((usd * NANOS).to_integral_value(ROUND_CEILING))


def limit_of(usd: Decimal) -> int:
    """Return dollars in nanodollars, rounded down: of what may be spent."""
    return int((usd * NANOS).to_integral_value(ROUND_FLOOR))


def dollars(nanos: int) -> Decimal:
    """Return nanodollars in dollars."""
    return Decimal(nanos) / NANOS


def _smaller(one: int | None, other: int | None) -> int | None:
    if one is None or other is None:
        return other if one is None else one
    return min(one, other)
