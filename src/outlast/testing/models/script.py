"""A script: which of its turns answers a request.

Invariant: a response is chosen by the number of responses in the history alone, and a fault by the
number of the attempt; neither by how often this process was asked. So a run that is replayed, or
goes on in another process, gets the turn that it would have got.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from typing_extensions import TypeIs

from outlast.errors import UsageError
from outlast.testing.models.turns import (
    Answer,
    Asked,
    Calls,
    ContextOverflow,
    Cut,
    Fails,
    Fault,
    Malformed,
    Refuses,
    Says,
    Turn,
    TurnFunction,
)


@dataclass(frozen=True, slots=True)
class _Place:
    """What is said at one place of the conversation: faults, and the response that follows them."""

    faults: tuple[Fault, ...]
    answer: Answer | TurnFunction | None


class Script:
    """Turns in order, or one function that decides all of them.

    Args:
        name: of the model, for errors.
        after: how many responses the history has already when the first turn is due.
    """

    def __init__(self, turns: Sequence[Turn] | TurnFunction, *, name: str, after: int = 0) -> None:
        if after < 0:
            raise UsageError(f"after= must not be negative, not {after}")
        self._every: TurnFunction | None = None
        self._places: list[_Place] = []
        if isinstance(turns, str):
            raise UsageError(f"a script is a list of turns: write [{turns!r}]")
        if _is_list(turns):
            self._places = _places_of(turns)
        else:
            self._every = turns
        self._name = name
        self._after = after

    def has_faults(self, turn: int) -> bool:
        """Whether it matters how often this turn was asked for."""
        at = turn - 1 - self._after
        return self._every is not None or not (
            0 <= at < len(self._places) and not self._places[at].faults
        )

    def turn_for(self, asked: Asked) -> Answer | Fault:
        """Return what answers a request.

        Raises:
            UsageError: the script has no turn for it.
        """
        if self._every is not None:
            return _decided(self._every, asked)
        at = asked.turn - 1 - self._after
        if not 0 <= at < len(self._places):
            raise self._out_of_turns(asked, f"which would be response {asked.turn}")
        place = self._places[at]
        if asked.attempt <= len(place.faults):
            return place.faults[asked.attempt - 1]
        if place.answer is None:
            raise self._out_of_turns(
                asked, f"attempt {asked.attempt} of response {asked.turn}, behind its last fault"
            )
        return place.answer if _is_answer(place.answer) else _decided(place.answer, asked)

    def _out_of_turns(self, asked: Asked, what: str) -> UsageError:
        count = len(self._places)
        first = f", the first of them for response {self._after + 1}" if self._after else ""
        said = ", ".join(f"{result.name} gave {result.content!r}" for result in asked.results)
        return UsageError(
            f"the script of {self._name!r} has no turn for this request, {what}: it has {count} "
            f"{'turn' if count == 1 else 'turns'}{first}. The request: prompt {asked.prompt!r}"
            f"{f'; {said}' if said else ''}. Add a turn, or find out why the agent asked again"
        )


def _is_list(turns: Sequence[Turn] | TurnFunction) -> TypeIs[Sequence[Turn]]:
    return not callable(turns)


def _is_answer(turn: Answer | TurnFunction) -> TypeIs[Answer]:
    return not callable(turn)


def _decided(function: TurnFunction, asked: Asked) -> Answer | Fault:
    turn = function(asked)
    if isinstance(turn, str):
        return Says(turn)
    if not isinstance(turn, _TURNS):
        raise UsageError(f"a function in a script returns a turn, or a text, not {turn!r}")
    return turn


_TURNS = (Says, Calls, Malformed, Refuses, Fails, ContextOverflow, Cut)


def _places_of(turns: Sequence[Turn]) -> list[_Place]:
    places: list[_Place] = []
    faults: list[Fault] = []
    for turn in turns:
        if not (isinstance(turn, (*_TURNS, str)) or callable(turn)):
            raise UsageError(f"a script is made of turns, texts and functions, not {turn!r}")
        if isinstance(turn, Fails | ContextOverflow | Cut):
            faults += [turn] * turn.times
            continue
        places.append(_Place(tuple(faults), Says(turn) if isinstance(turn, str) else turn))
        faults = []
    if faults:
        places.append(_Place(tuple(faults), None))
    return places
