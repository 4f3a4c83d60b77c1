"""Journals of agents that older versions have written replay under today's code and pydantic-ai."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("pydantic_ai")

from outlast.testing.replaying import replay_end
from tests.replay import agent_programs


@pytest.mark.parametrize("file", agent_programs.golden_files(), ids=lambda file: file.name)
def test_a_journal_of_an_agent_replays(file: Path) -> None:
    records = agent_programs.read(file)
    program = agent_programs.PROGRAMS[file.name.partition("-")[0]]

    assert len(records) > 5
    assert replay_end(program.definition, records) is None


def test_each_program_has_a_journal_of_the_first_version() -> None:
    names = {file.name for file in agent_programs.golden_files()}

    assert {f"{name}-2.68.0" for name in agent_programs.PROGRAMS} <= names
