"""Numbers in texts for people, each with its noun in the right number."""

from __future__ import annotations


def counted(number: float, noun: str) -> str:
    """Return a number and what is counted: '1 second', '2.5 seconds', '1,000 runs'."""
    text = f"{number:,}" if isinstance(number, int) else f"{number:g}"
    return f"{text} {noun}" if text == "1" else f"{text} {noun}s"
