"""What names, ids and texts that people give may be."""

from __future__ import annotations

from outlast import limits
from outlast.errors import UsageError


def check_name(what: str, name: str, chars_max: int = limits.NAME_CHARS_MAX) -> str:
    """Return `name` if it can be an id or a name.

    Raises:
        UsageError: it is empty, too long, has control characters, or is "." or "..".
    """
    if not isinstance(name, str):
        raise UsageError(f"{what} must be text, got {type(name).__name__}")
    if not name or len(name) > chars_max or not name.isprintable():
        raise UsageError(f"{what} {name[:50]!r} must have 1 to {chars_max} printable characters")
    if name in (".", ".."):
        # Browsers and HTTP clients take such a part out of a path, also when it is encoded.
        raise UsageError(f"{what} cannot be {name!r}: it has a special meaning in a URL")
    return name


def check_text(what: str, text: str) -> str:
    """Return `text` if it can be stored.

    Raises:
        UsageError: it is no text, or has lone surrogates, or is longer than a line should be.
    """
    if not isinstance(text, str):
        raise UsageError(f"{what} must be text, got {type(text).__name__}")
    if len(text) > limits.REASON_CHARS_MAX or (not text.isascii() and _has_surrogates(text)):
        raise UsageError(
            f"{what} must have at most {limits.REASON_CHARS_MAX:,} characters "
            f"and no lone surrogates"
        )
    return text


def _has_surrogates(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)
