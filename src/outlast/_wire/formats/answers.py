"""Answers as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec
from starlette.responses import Response

from outlast import limits
from outlast._shapes import is_dict

_encode = msgspec.json.Encoder().encode


def answer(
    value: object, status: int = 200, *, headers: Mapping[str, str] | None = None
) -> Response:
    """Return a value, dataclasses and times in it, as a JSON response."""
    return Response(_encode(value), status, headers=headers, media_type="application/json")


def fitting(sizes: Iterable[int]) -> tuple[int, int]:
    """Return how many rows of these sizes are one page, at least one, and how large it is."""
    count, total = 0, 0
    for size in sizes:
        count, total = count + 1, total + size
        if total >= limits.HTTP_PAGE_BYTES:
            break
    return count, total


def preview_of(data: bytes, shown: object, href: str) -> tuple[object, dict[str, object] | None]:
    """Return what is shown of a stored value: all of it, or its beginning and where it is whole.

    `href` leads to the whole of a large one.
    """
    if len(data) <= limits.HTTP_VALUE_BYTES:
        return shown, None
    text = _encode(shown)[: limits.HTTP_PREVIEW_BYTES].decode(errors="ignore")
    return f"{text}…", {"bytes": len(data), "href": href}


def fields_of(value: object) -> dict[str, object]:
    """Return a dataclass's fields as JSON data, to add others to them."""
    found: object = msgspec.to_builtins(value)
    return {f"{k}": v for k, v in found.items()} if is_dict(found) else {}
