"""Seeds of actors under crashes, lost leases and a failing store; and bugs that they must find."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable

import pytest

from outlast._execution.actor_ends import MessageEnds
from outlast._execution.actor_memory import ActorMemory
from outlast._store.contract import Message
from tests.simulation.actors import run_actor_seed

IS_FULL = os.environ.get("OUTLAST_TEST_FULL") == "1"
SEEDS = 10_000 if IS_FULL else 400
PART = 50


@pytest.fixture(autouse=True)
def _quiet() -> None:
    logging.getLogger("outlast").setLevel(logging.CRITICAL)


@pytest.mark.parametrize("first", range(0, SEEDS, PART))
def test_every_message_is_applied_once_and_in_order(first: int) -> None:
    crashes = sum(run_actor_seed(seed) for seed in range(first, first + PART))

    assert crashes > 0


def _forget_outcomes(values: dict[str, bytes]) -> ActorMemory:
    return ActorMemory()


def _unknown(self: MessageEnds, message: Message) -> None:
    return None


BUGS: dict[str, tuple[type[object], str, object]] = {
    "dedup keys are forgotten with the process": (ActorMemory, "read", _forget_outcomes),
    "what came of a message before is not looked at": (MessageEnds, "known_outcome", _unknown),
}


@pytest.mark.parametrize("name", BUGS)
def test_a_planted_bug_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    holder, attribute, replacement = BUGS[name]
    monkeypatch.setattr(holder, attribute, replacement)

    assert _first_failure(run_actor_seed, 600) is not None


def _first_failure(run: Callable[[int], int], seeds: int) -> int | None:
    for seed in range(seeds):
        try:
            run(seed)
        except Exception:  # noqa: BLE001  # a bug breaks things its own way
            return seed
    return None
