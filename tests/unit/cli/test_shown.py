"""Characters that nobody sees are seen, in a terminal as in the dashboard."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from outlast.cli.printing import as_json, safe_line, safe_text, shown
from outlast.cli.shown import HIDDEN, PICTURE

VISIBLE_TS = Path(__file__).parents[3] / "dashboard" / "src" / "visible.ts"


@pytest.mark.parametrize(
    "code",
    [
        *(0x0, 0x1B, 0x7F, 0x85, 0xAD, 0x34F, 0x61C, 0x115F, 0x180E, 0x200B, 0x200D, 0x200F),
        *(0x2028, 0x202A, 0x202E, 0x2060, 0x2066, 0x2069, 0x2800, 0x3164, 0xD800, 0xFE0F),
        *(0xFEFF, 0xFFF9, 0xE0041, 0xE0100),
    ],
)
def test_every_kind_of_hidden_character_is_written_out(code: int) -> None:
    text = f"a{chr(code)}b"

    for written in (safe_line(text), safe_text(text), shown(text), as_json(text)):
        assert chr(code) not in written
        assert f"{code:x}" in written or code > 0xFFFF
    assert json.loads(as_json(text)) == text


@pytest.mark.parametrize("text", ["déjà vu ñ ß", "日本語", "שלום", "❤️ 👩‍💻 👍🏽", "1\u00a0000 €"])
def test_what_people_write_stays_as_it_is(text: str) -> None:
    assert safe_line(text) == safe_text(text) == text
    assert as_json(text) == f'"{text}"'


def ranges(pattern: str) -> list[int]:
    return [int(code, 16) for code in re.findall(r"u\{?([0-9a-f]+)", pattern.lower())]


def test_the_dashboard_has_the_same_ranges() -> None:
    source = VISIBLE_TS.read_text()
    hidden = source[source.index("const HIDDEN =") : source.index("// In a picture")]
    picture = source[source.index("const PICTURE =") : source.index("const ALLOWED")]

    assert ranges(hidden) == ranges(HIDDEN)
    assert ranges(picture) == ranges(PICTURE)
