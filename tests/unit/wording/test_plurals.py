"""Numbers before nouns."""

from __future__ import annotations

import pytest

from outlast._wording.plurals import counted


@pytest.mark.parametrize(
    ("number", "text"),
    [(1, "1 run"), (0, "0 runs"), (2, "2 runs"), (1_000, "1,000 runs"), (1.0, "1 run")],
)
def test_a_noun_has_the_number_of_what_is_counted(number: float, text: str) -> None:
    assert counted(number, "run") == text
    assert counted(2.5, "second") == "2.5 seconds"
