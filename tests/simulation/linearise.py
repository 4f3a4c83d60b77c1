"""Is a history of concurrent operations linearisable?

It is when every operation can be given one moment between its call and its return such that, taken
in the order of these moments, each gave what a sequential model of the object gives. The search is
that of Wing and Gong, with the set of visited (operations taken, state of the model) that Lowe
added: without it the same dead end is searched once for every order that leads there.

An operation whose return was never seen is pending: it may have taken effect at any time after
its call, or never, and nothing is known of its answer.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

S = TypeVar("S", bound=Hashable)
I = TypeVar("I")  # noqa: E741  # what an operation is given, beside O for what it gives
O = TypeVar("O")  # noqa: E741  # what an operation gives


@dataclass(frozen=True, slots=True)
class Operation(Generic[I, O]):
    """One call as its client saw it. Without `returned` it is pending, and has no `output`."""

    input: I
    called: float
    output: O | None = None
    returned: float | None = None


@dataclass(frozen=True, slots=True)
class Model(Generic[S, I, O]):
    """An object used by one client at a time; `apply` gives its next state and its answer."""

    initial: S
    apply: Callable[[S, I], tuple[S, O]]


@dataclass(frozen=True, slots=True)
class _Point(Generic[S]):
    """How far a search is: which operations have been taken, as bits, and the state after them."""

    taken: int
    state: S


def find_order(
    model: Model[S, I, O], history: Sequence[Operation[I, O]]
) -> list[Operation[I, O]] | None:
    """Return an order that explains the history, None when there is none.

    Pending operations are in it as far as they had to take effect.
    """
    wanted = sum(1 << n for n, operation in enumerate(history) if operation.returned is not None)
    start = _Point(0, model.initial)
    # Each point that was reached, with the one it was reached from and by which operation.
    reached: dict[_Point[S], tuple[_Point[S], int] | None] = {start: None}
    stack = [start]
    while stack:
        point = stack.pop()
        if point.taken & wanted == wanted:
            return _way_to(point, reached, history)
        for number in _candidates(history, point.taken):
            operation = history[number]
            state, output = model.apply(point.state, operation.input)
            if operation.returned is not None and output != operation.output:
                continue
            after = _Point(point.taken | 1 << number, state)
            if after not in reached:
                reached[after] = (point, number)
                stack.append(after)
    return None


def _candidates(history: Sequence[Operation[I, O]], taken: int) -> Iterator[int]:
    """Return the operations that may come next: none that is left returned before their call."""
    left = [number for number in range(len(history)) if not taken & 1 << number]
    ends = [end for number in left if (end := history[number].returned) is not None]
    first_end = min(ends)
    # Pending ones come first, so that the stack tries them last: mostly they are not needed.
    left.sort(key=lambda number: history[number].returned is not None)
    return (number for number in left if history[number].called <= first_end)


def _way_to(
    point: _Point[S],
    reached: dict[_Point[S], tuple[_Point[S], int] | None],
    history: Sequence[Operation[I, O]],
) -> list[Operation[I, O]]:
    order: list[Operation[I, O]] = []
    while (step := reached[point]) is not None:
        point, number = step
        order.append(history[number])
    return order[::-1]


# ------------------------------------------------------------------------------- models
@dataclass(frozen=True, slots=True)
class Add:
    """Add to a counter; gives what it is then."""

    amount: int


@dataclass(frozen=True, slots=True)
class Get:
    """Read a counter or a register."""


@dataclass(frozen=True, slots=True)
class Write:
    """Set a register; gives what it is then."""

    value: int


@dataclass(frozen=True, slots=True)
class Swap:
    """Set a register if it has the expected value; gives 1 when it had, else 0."""

    expected: int
    value: int


CellInput = Add | Get | Write | Swap


def _apply(state: int, asked: CellInput) -> tuple[int, int]:
    match asked:
        case Get():
            return state, state
        case Add(amount):
            return state + amount, state + amount
        case Write(value):
            return value, value
        case Swap(expected, value):
            return (value, 1) if state == expected else (state, 0)


# A counter is a cell that is only added to and read.
CELL: Model[int, CellInput, int] = Model(0, _apply)
