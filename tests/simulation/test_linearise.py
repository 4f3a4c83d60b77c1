"""The checker of histories: what it accepts is possible, and what is impossible it rejects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations, permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.simulation.linearise import (
    CELL,
    Add,
    CellInput,
    Get,
    Operation,
    Swap,
    Write,
    find_order,
)

CellOperation = Operation[CellInput, int]


def done(called: float, returned: float, asked: CellInput, output: int) -> CellOperation:
    return Operation(asked, called, output, returned)


def pending(called: float, asked: CellInput) -> CellOperation:
    return Operation(asked, called)


GOOD: dict[str, list[CellOperation]] = {
    "nothing": [],
    "one after another": [done(0, 1, Add(1), 1), done(2, 3, Add(1), 2), done(4, 5, Get(), 2)],
    "concurrent additions in either order": [done(0, 9, Add(1), 3), done(1, 8, Add(2), 2)],
    "a read beside a write may see the old": [done(0, 9, Write(1), 1), done(1, 2, Get(), 0)],
    "a read beside a write may see the new": [done(0, 9, Write(1), 1), done(1, 2, Get(), 1)],
    "touching intervals overlap": [done(0, 5, Write(1), 1), done(5, 6, Get(), 0)],
    "a swap that lost": [
        done(0, 9, Swap(0, 1), 1),
        done(0, 9, Swap(0, 2), 0),
        done(10, 11, Get(), 1),
    ],
    "what is pending took effect": [pending(0, Write(7)), done(5, 6, Get(), 7)],
    "what is pending did not": [pending(0, Write(7)), done(5, 6, Get(), 0)],
    "what is pending took effect late": [
        pending(0, Add(1)),
        done(5, 6, Get(), 0),
        done(7, 8, Get(), 1),
        done(9, 10, Add(1), 2),
    ],
    "a swap needs what is pending": [pending(0, Write(4)), done(1, 2, Swap(4, 5), 1)],
}

BAD: dict[str, list[CellOperation]] = {
    "a stale read": [done(0, 1, Write(1), 1), done(2, 3, Get(), 0)],
    "a lost update": [done(0, 9, Add(1), 1), done(0, 9, Add(1), 1)],
    "a doubled addition": [done(0, 1, Add(1), 1), done(2, 3, Get(), 2)],
    "a read from the future": [done(0, 1, Get(), 1), done(2, 3, Write(1), 1)],
    "swaps that both won": [done(0, 9, Swap(0, 1), 1), done(0, 9, Swap(0, 2), 1)],
    "a swap that lost against nobody": [done(0, 9, Swap(0, 1), 0)],
    "reads that go back": [
        done(0, 9, Write(1), 1),
        done(1, 2, Get(), 1),
        done(3, 4, Get(), 0),
    ],
    "what is pending came before its call": [done(0, 1, Get(), 7), pending(2, Write(7))],
    "what is pending took effect twice": [
        pending(0, Add(1)),
        done(1, 2, Get(), 1),
        done(3, 4, Get(), 2),
    ],
    "what is pending was undone": [
        pending(0, Write(7)),
        done(1, 2, Get(), 7),
        done(3, 4, Get(), 0),
    ],
}


@pytest.mark.parametrize("name", GOOD)
def test_a_possible_history_is_accepted(name: str) -> None:
    order = find_order(CELL, GOOD[name])

    assert order is not None
    assert explains(order)


@pytest.mark.parametrize("name", BAD)
def test_an_impossible_history_is_rejected(name: str) -> None:
    assert find_order(CELL, BAD[name]) is None


numbers = st.integers(0, 2)
inputs: st.SearchStrategy[CellInput] = st.one_of(
    st.builds(Add, numbers),
    st.builds(Get),
    st.builds(Write, numbers),
    st.builds(Swap, numbers, numbers),
)


@st.composite
def histories(draw: st.DrawFn) -> list[CellOperation]:
    """What clients saw of a sequential execution; operation `n` took effect at moment `n`."""
    state, history = CELL.initial, list[CellOperation]()
    for moment, asked in enumerate(draw(st.lists(inputs, max_size=30))):
        before, after = draw(st.floats(0, 4)), draw(st.floats(0, 4))
        is_seen = draw(st.integers(0, 5)) > 0
        if is_seen or draw(st.booleans()):  # else it never took effect
            state, output = CELL.apply(state, asked)
        else:
            output = 0
        if is_seen:
            history.append(done(moment - before, moment + after, asked, output))
        else:
            history.append(pending(moment - before, asked))
    return draw(st.permutations(history))


@given(histories())
def test_what_came_of_a_sequential_execution_is_accepted(history: list[CellOperation]) -> None:
    order = find_order(CELL, history)

    assert order is not None
    assert explains(order)
    assert [o for o in history if o.returned is not None and o not in order] == []


@given(histories(), st.data())
def test_an_answer_that_no_order_gives_is_rejected(
    history: list[CellOperation], data: st.DataObject
) -> None:
    seen = [n for n, operation in enumerate(history) if operation.returned is not None]
    if not seen:
        return
    number = data.draw(st.sampled_from(seen))
    # More than all that was ever written or added together.
    history[number] = replace(history[number], output=1_000)

    assert find_order(CELL, history) is None


@st.composite
def invented(draw: st.DrawFn) -> list[CellOperation]:
    """A few operations with any answers, possible or not."""
    history: list[CellOperation] = []
    for _ in range(draw(st.integers(0, 5))):
        called, asked = draw(st.integers(0, 6)), draw(inputs)
        if draw(st.integers(0, 3)):
            returned = called + draw(st.integers(0, 4))
            history.append(done(called, returned, asked, draw(numbers)))
        else:
            history.append(pending(called, asked))
    return history


@given(invented())
def test_it_agrees_with_trying_every_order(history: list[CellOperation]) -> None:
    assert (find_order(CELL, history) is not None) == is_possible(history)


def is_possible(history: list[CellOperation]) -> bool:
    seen = [operation for operation in history if operation.returned is not None]
    unseen = [operation for operation in history if operation.returned is None]
    return any(
        explains(order)
        for count in range(len(unseen) + 1)
        for effective in combinations(unseen, count)
        for order in permutations([*seen, *effective])
    )


def explains(order: Sequence[CellOperation]) -> bool:
    """Whether the model gives these answers in this order, and none comes before its call."""
    state = CELL.initial
    latest_call = float("-inf")
    for operation in order:
        latest_call = max(latest_call, operation.called)
        if operation.returned is not None and operation.returned < latest_call:
            return False  # it had returned before something that is placed before it was called
        state, output = CELL.apply(state, operation.input)
        if operation.returned is not None and output != operation.output:
            return False
    return True
