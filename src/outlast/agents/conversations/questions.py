"""Who hears of the questions that a turn asks people: its conversation, in which they are shown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass

from outlast.agents.conversations.entries import Question


@dataclass(frozen=True, slots=True)
class Listener:
    """Hears of a question with its title and the calls that wait for it, and of its answer."""

    asked: Callable[[str, Question, Sequence[str]], None]
    answered: Callable[[str, Question], None]


listener: ContextVar[Listener | None] = ContextVar("outlast_questions", default=None)
"""Who listens in the turn that executes; None outside of conversations."""


def note_asked(title: str, token: str, calls: Sequence[str], *, unmade: Sequence[str]) -> None:
    """Tell that people are asked about calls of tools; `unmade` are those made only after it."""
    found = listener.get()
    if found is not None:
        found.asked(title, Question(token, [*calls]), unmade)


def note_answered(
    token: str,
    calls: Sequence[str],
    *,
    approved: bool | None = None,
    by: str = "",
    reason: str = "",
) -> None:
    """Tell what was answered; without `by`, it was not answered in time, or is no approval."""
    found = listener.get()
    if found is not None:
        found.answered(reason, Question(token, [*calls], approved, by))
