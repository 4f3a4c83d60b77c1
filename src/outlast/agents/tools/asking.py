"""What people are shown of a tool call that they are asked about."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from pydantic_core import to_jsonable_python

from outlast import limits

_SHOWN_CHARS = 2_000


def detail_of(agent: str, tool: str, arguments: Mapping[str, object]) -> dict[str, object]:
    """Return a tool call as JSON-like data; of arguments too large for an inbox, their digest."""
    shown: object = to_jsonable_python(arguments, fallback=_name_of_type)
    text = json.dumps(shown, sort_keys=True, ensure_ascii=False)
    if len(text.encode()) > limits.TOKEN_DETAIL_BYTES_MAX // 2:
        digest = hashlib.sha256(text.encode()).hexdigest()
        shown = {"sha256": digest, "characters": len(text), "begin": text[:_SHOWN_CHARS]}
    return {"agent": agent, "tool": tool, "arguments": shown}


def title_of(text: str) -> str:
    """Return a text as the title of a token."""
    return text[: limits.TOKEN_TITLE_CHARS_MAX]


def _name_of_type(value: object) -> str:
    return type(value).__name__
