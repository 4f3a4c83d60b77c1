from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from outlast.cli.printing import as_json, safe_line, safe_text, shown, table
from outlast.types import RunInfo

INFO = RunInfo(
    id="r",
    workflow="w",
    version="v",
    status="completed",
    created_at=datetime(2026, 1, 2, tzinfo=UTC),
    started_at=None,
    closed_at=None,
    wake_at=None,
    parent=None,
)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("plain, ünïcode 漢", "plain, ünïcode 漢"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("two\nlines\tand\r", "two\\nlines\\tand\\r"),
        ("\x9b2J", "\\x9b2J"),
        ("\x00\x7f", "\\x00\\x7f"),
        ("abc\u202edef", "abc\\u202edef"),
    ],
)
def test_control_characters_are_made_harmless(text: str, line: str) -> None:
    assert safe_line(text) == line


def test_text_keeps_its_lines_and_tabs() -> None:
    assert safe_text("a\n\tb\x1b[0m\r") == "a\n\tb\\x1b[0m\\r"


def test_json_is_one_line_that_reads_back_equal() -> None:
    value = {"a": "\x1b[2J\x9b\u202e\n", "b": [1, None, "ü"]}
    text = as_json(value)

    assert json.loads(text) == value
    assert "ü" in text
    assert all(character.isprintable() for character in text)


def test_a_run_info_is_an_object_with_times_in_iso_form() -> None:
    data = json.loads(as_json(INFO))

    assert data["created_at"] == "2026-01-02T00:00:00+00:00"
    assert data["attributes"] == {}


def test_text_is_shown_as_it_is_and_the_rest_as_json() -> None:
    assert shown("it's") == "it's"
    assert shown({"a": [True]}) == '{"a": [true]}'


def test_columns_line_up() -> None:
    assert table(("A", "LONG"), [("wide one", "x"), ("b\n", "y")]) == [
        "A         LONG",
        "wide one  x",
        "b\\n       y",
    ]
