"""Answers as JSON."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from starlette.responses import Response

from outlast._codec.shapes import is_dict

_encode = msgspec.json.Encoder().encode


def answer(
    value: object, status: int = 200, *, headers: Mapping[str, str] | None = None
) -> Response:
    """Return a value, dataclasses and times in it, as a JSON response."""
    return Response(_encode(value), status, headers=headers, media_type="application/json")


def fields_of(value: object) -> dict[str, object]:
    """Return a dataclass's fields as JSON data, to add others to them."""
    found: object = msgspec.to_builtins(value)
    return {f"{k}": v for k, v in found.items()} if is_dict(found) else {}
