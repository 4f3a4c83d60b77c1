"""What the models of a run's agents said, taken out of its journal, as data for a file."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import msgspec

from outlast._engine.reading.records import Record
from outlast._handles.run import Run
from outlast.errors import UsageError
from outlast.testing.models.journals import agent_steps, journal_of, response_in, result_in

_FORMAT = 1


@dataclass(frozen=True, slots=True)
class RecordedResponse:
    """One response of a model.

    Attributes:
        agent_run: the run of the agent, such as `support#1`: its name and which of its runs.
        request: which request of that run, from 1 on.
        response: pydantic-ai's `ModelResponse` as JSON data.
        results: what the tools gave that it called, as JSON data, by the ids of the calls.
    """

    agent_run: str
    request: int
    response: Mapping[str, object]
    results: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Recording:
    """What the models of a run's agents said, in order."""

    responses: tuple[RecordedResponse, ...]

    @property
    def agent_runs(self) -> tuple[str, ...]:
        """The runs of agents that it has, in the order of their first response."""
        return tuple(dict.fromkeys(said.agent_run for said in self.responses))

    def dump(self, path: str | os.PathLike[str]) -> None:
        """Write it to a file, as JSON."""
        data = {"format": _FORMAT, "responses": [asdict(said) for said in self.responses]}
        text = json.dumps(data, indent=1, ensure_ascii=False)
        Path(path).write_text(f"{text}\n", encoding="utf-8")

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Recording:
        """Read it from a file that `dump` has written.

        Raises:
            UsageError: it is no such file.
        """
        try:
            stored = msgspec.json.decode(Path(path).read_bytes(), type=_Stored)
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            raise UsageError(f"{os.fspath(path)} is no recording: {error}") from error
        if stored.format != _FORMAT:
            raise UsageError(
                f"{os.fspath(path)} is a recording of format {stored.format}, and this version "
                f"reads format {_FORMAT}: record it again"
            )
        return cls(tuple(stored.responses))


class _Stored(msgspec.Struct):
    format: int
    responses: list[RecordedResponse]


async def record(run: Run[object] | Iterable[Record]) -> Recording:
    """Return what the models of a run's agents have said so far.

    The run is given by a handle, or by its records (of `Run.journal()` or `Sim.journal()`). Only
    responses that are in the journal are there: of agents with `Durability`, not of child runs.

    Raises:
        UsageError: there are none.
    """
    journal = await journal_of(run)
    found: list[RecordedResponse] = []
    results: dict[tuple[str, int], dict[str, object]] = {}
    for step in agent_steps(journal):
        if step.record.kind != "step_done" or step.record.error is not None:
            continue
        place = step.place
        given = results.setdefault((place.run, place.request), {})
        if place.call:
            given[place.call] = result_in(step)
        else:
            found.append(RecordedResponse(place.run, place.request, response_in(step), given))
    if not found:
        raise UsageError(
            "the journal has no response of a model: is the agent made with Durability(), and did "
            "it run in this run, and not in a child of it?"
        )
    return Recording(tuple(found))
