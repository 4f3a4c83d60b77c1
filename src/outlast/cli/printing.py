"""What commands print: data on stdout, messages on stderr, and nothing that drives a terminal.

Invariant: no hidden character of user data reaches a terminal, be it in text or in JSON.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime

from typing_extensions import override

from outlast._shapes import is_dict, is_list, is_tuple
from outlast.cli.shown import json_of, line_of, text_of


def safe_line(text: object) -> str:
    """Return text as one harmless line."""
    return line_of(f"{text}")


def safe_text(text: str) -> str:
    """Return text made harmless; its lines and tabs stay."""
    return text_of(text)


def as_json(value: object) -> str:
    """Return one line of JSON; times are in ISO form, dataclasses are objects."""
    try:
        text = json.dumps(value, ensure_ascii=False, default=_json_of)
    except TypeError:  # a key that JSON cannot have
        text = json.dumps(_text_keys(value), ensure_ascii=False, default=_json_of)
    return json_of(text)


def _text_keys(value: object) -> object:
    """Return a value whose dicts have text for keys, so that they are shown as dicts."""
    if is_dict(value):
        return {_text_key(key): _text_keys(item) for key, item in value.items()}
    if is_list(value) or is_tuple(value):
        return [_text_keys(item) for item in value]
    return value


def _text_key(key: object) -> object:
    is_plain = isinstance(key, str | int | float) or key is None
    return key if is_plain else json.dumps(_text_keys(key), ensure_ascii=False, default=_json_of)


def _json_of(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    return repr(value)


class OutputError(OSError):
    """Standard output cannot be written; a closed pipe is `BrokenPipeError`, as ever."""


def say(line: str = "") -> None:
    """Print a line of data."""
    try:
        print(line)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(error.errno, error.strerror) from error


def flush() -> None:
    """Let who reads through a pipe see what has come so far."""
    sys.stdout.flush()


def note(line: str) -> None:
    """Print a message."""
    print(line, file=sys.stderr, flush=True)


def complain(message: str) -> None:
    """Print an error."""
    note(f"error: {safe_text(message)}")


def shown(value: object) -> str:
    """Return a value for a person: text as it is, anything else as JSON."""
    return safe_text(value) if isinstance(value, str) else as_json(value)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return lines of columns, cells made harmless."""
    cells = [list(head), *([safe_line(cell) for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    ]


def moment(at: datetime | None) -> str:
    """Return a time in the reader's zone."""
    return "-" if at is None else at.astimezone().strftime("%Y-%m-%d %H:%M:%S")


class _HarmlessLines(logging.Formatter):
    @override
    def format(self, record: logging.LogRecord) -> str:
        return safe_text(super().format(record))


def log_harmlessly() -> None:
    """Let no log line drive the terminal, if the program says nothing of where they go."""
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(_HarmlessLines())


class Status:
    """A line on a terminal that is written over again and again; nothing where there is none."""

    def __init__(self) -> None:
        self._is_live = sys.stderr.isatty()
        self._is_shown = False

    def show(self, text: str) -> None:
        """Replace the line."""
        if self._is_live:
            print(f"\r\x1b[K{safe_line(text)[:110]}", end="", file=sys.stderr, flush=True)
            self._is_shown = True

    def clear(self) -> None:
        """Remove the line."""
        if self._is_shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
            self._is_shown = False
