r"""Invisible characters, and how they are written where a person reads stored text.

Controls drive terminals, some characters turn the direction of text around ("00001 €" is seen as
"10000 €"), others have no width and hide in names. `dashboard/src/visible.ts` has the same ranges.
"""

from __future__ import annotations

import re

HIDDEN = (
    r"\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5"
    r"\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u2800\u3164\ud800-\udfff"
    r"\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    r"\U000e0000-\U000e0fff"
)
# In a picture that is made of several characters, these are no riddle.
PICTURE = r"\u00a9\u00ae\u203c-\u3299\U0001f000-\U0001faff"
_ALLOWED = rf"(?<=[{PICTURE}])[\ufe0e\ufe0f]|(?<=[{PICTURE}\ufe0f])\u200d(?=[{PICTURE}])"
_IN_LINE = re.compile(rf"(?!{_ALLOWED})[{HIDDEN}\t\n]")
_IN_TEXT = re.compile(rf"(?!{_ALLOWED})[{HIDDEN}]")
_WRITTEN = {9: "\\t", 10: "\\n", 13: "\\r"}


def line_of(text: str) -> str:
    """Return text as one line with nothing hidden in it."""
    return _IN_LINE.sub(_escaped, text)


def text_of(text: str) -> str:
    """Return text with nothing hidden in it; its lines and tabs stay."""
    return _IN_TEXT.sub(_escaped, text)


def json_of(text: str) -> str:
    """Return JSON text with nothing hidden in it; it means the same."""
    return _IN_LINE.sub(_escaped_in_json, text)


def _escaped(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code > 0xFFFF:
        return f"\\U{code:08x}"
    return _WRITTEN.get(code) or (f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}")


def _escaped_in_json(match: re.Match[str]) -> str:
    units = match[0].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[n : n + 2].hex()}" for n in range(0, len(units), 2))
