"""The wait-for graph by itself: which waits close a circle, and which may go on otherwise."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import cast

import pytest

from outlast._engine.scheduling.scheduler import Scheduler
from outlast._engine.scheduling.wait_graph import WaitGraph
from outlast.errors import CallCycle
from outlast.types import RunId

A, B, C, D = RunId("a"), RunId("b"), RunId("c"), RunId("d")


@dataclass
class Definition:
    is_wait: bool


@dataclass
class Step:
    """A step of a run, begun or not; one that waits for another run is `is_wait`."""

    is_started: bool
    definition: Definition


@dataclass
class Child:
    child: RunId
    waiters: list[object]


@dataclass
class Resident:
    """As much of a run in memory as the graph asks about; by itself it waits for nothing."""

    state: str = "live"
    pending: dict[str, Step] = field(default_factory=dict[str, Step])
    timer: tuple[float, str] | None = None
    signals: list[str] = field(default_factory=list[str])
    asked: list[str] = field(default_factory=list[str])
    made_conditions: list[object] = field(default_factory=list[object])
    open_ones: list[Child] = field(default_factory=list[Child])

    @property
    def calls(self) -> Resident:
        return self

    @property
    def steps(self) -> Resident:
        return self

    @property
    def loop(self) -> Resident:
        return self

    @property
    def timers(self) -> Resident:
        return self

    @property
    def made_inbox(self) -> Resident:
        return self

    @property
    def made_tokens(self) -> Resident:
        return self

    @property
    def made_children(self) -> Resident:
        return self

    def next(self) -> tuple[float, str] | None:
        return self.timer

    def waiting_names(self) -> list[str]:
        return self.signals

    def awaited(self) -> list[str]:
        return self.asked

    def open_children(self) -> list[Child]:
        return self.open_ones


@dataclass
class Residents:
    residents: dict[RunId, Resident]


def graph_of(residents: dict[RunId, Resident] | None = None) -> WaitGraph:
    """Return a graph over these runs, or over four that wait for nothing else."""
    runs = residents or {run: Resident() for run in (A, B, C, D)}
    return WaitGraph(cast("Scheduler", Residents(runs)))


def waits(graph: WaitGraph, *pairs: tuple[RunId, RunId]) -> ExitStack:
    """Begin waits that last as long as the block."""
    stack = ExitStack()
    for waiter, target in pairs:
        stack.enter_context(graph.during(waiter, target))
    return stack


def test_the_wait_that_closes_a_circle_is_refused_with_its_chain() -> None:
    graph = graph_of()
    with waits(graph, (A, B), (B, C)), pytest.raises(CallCycle) as raised, graph.during(C, A):
        pass

    assert (raised.value.chain, raised.value.target) == ((A, B, C), A)


def test_a_chain_and_two_ways_to_one_are_no_circle() -> None:
    graph = graph_of()

    with waits(graph, (A, B), (A, C), (B, D), (C, D)):
        pass


def test_a_refused_wait_leaves_nothing_behind() -> None:
    graph = graph_of()
    with waits(graph, (A, B)):
        with pytest.raises(CallCycle), graph.during(B, A):
            pass
        with graph.during(C, B), graph.during(D, A):
            pass

        with graph.during(B, D):
            pass


def test_a_wait_that_is_over_is_forgotten() -> None:
    graph = graph_of()
    with waits(graph, (A, B)):
        pass

    with graph.during(B, A):
        pass


def test_of_two_waits_for_one_target_one_is_left_when_the_other_is_over() -> None:
    graph = graph_of()
    with waits(graph, (A, B)):
        with graph.during(A, B):
            pass

        with pytest.raises(CallCycle), graph.during(B, A):
            pass


def test_a_wait_that_fails_is_over() -> None:
    graph = graph_of()
    with pytest.raises(ValueError, match="no answer"), graph.during(A, B):
        raise ValueError("no answer")

    with graph.during(B, A):
        pass


MAY_GO_ON: dict[str, Callable[[], Resident]] = {
    "a timer": lambda: Resident(timer=(1.0, "0:1")),
    "a signal": lambda: Resident(signals=["paid"]),
    "a token": lambda: Resident(asked=["0:1"]),
    "a condition": lambda: Resident(made_conditions=[object()]),
    "a step": lambda: Resident(pending={"0:1": Step(True, Definition(is_wait=False))}),
    "a wait that has not begun": lambda: Resident(
        pending={"0:1": Step(False, Definition(is_wait=True))}
    ),
    "it ends": lambda: Resident(state="closing"),
}


@pytest.mark.parametrize("why", MAY_GO_ON)
def test_one_that_may_go_on_otherwise_closes_no_circle(why: str) -> None:
    graph = graph_of({A: MAY_GO_ON[why](), B: Resident()})

    with waits(graph, (A, B), (B, A)):
        pass


def test_a_wait_for_another_run_that_has_begun_is_no_other_way_to_go_on() -> None:
    waiting = Resident(pending={"0:1": Step(True, Definition(is_wait=True))})
    graph = graph_of({A: waiting, B: Resident()})

    with waits(graph, (A, B)), pytest.raises(CallCycle), graph.during(B, A):
        pass


def test_one_that_is_not_in_memory_closes_no_circle() -> None:
    graph = graph_of({B: Resident()})

    with waits(graph, (A, B), (B, A)):
        pass


@pytest.mark.parametrize("is_awaited", [True, False])
def test_a_child_is_waited_for_when_the_code_awaits_it(is_awaited: bool) -> None:
    child = Child(B, [object()] if is_awaited else [])
    graph = graph_of({A: Resident(open_ones=[child]), B: Resident()})

    if is_awaited:
        with pytest.raises(CallCycle), graph.during(B, A):
            pass
    else:
        with graph.during(B, A):
            pass
