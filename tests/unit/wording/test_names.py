"""What a name and a text that people give may be."""

from __future__ import annotations

import pytest

from outlast import limits
from outlast._wording.names import check_name, check_text
from outlast.errors import UsageError


@pytest.mark.parametrize("name", ["", ".", "..", "a\nb", "x" * (limits.NAME_CHARS_MAX + 1)])
def test_what_cannot_be_a_name_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="a topic's name"):
        check_name("a topic's name", name)


def test_a_name_comes_back_as_it_is() -> None:
    assert check_name("a run id", "order/7 für Zoë", limits.ID_CHARS_MAX) == "order/7 für Zoë"


@pytest.mark.parametrize("text", ["\ud800", "x" * (limits.REASON_CHARS_MAX + 1)])
def test_a_text_that_cannot_be_stored_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="the reason"):
        check_text("the reason", text)


def test_a_text_may_be_empty_and_have_any_character() -> None:
    assert check_text("the reason", "") == ""
    assert check_text("the reason", "größer\n") == "größer\n"
