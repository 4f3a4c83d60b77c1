"""What the demo prints while it runs, on stderr."""

from __future__ import annotations

import shutil
import sys

from outlast.demo.manual import Notice
from outlast.demo.spectator import Heard

_MODULE_CHARS = 11
_WHAT_CHARS = 16
_TOLD = {
    "picked": "reader picks",
    "wrote": "writer says",
    "accept": "critic accepts",
    "revise": "critic objects",
    "saved": "saved",
}


class Progress:
    """Lines that stay, and on a terminal one below them with what is being said right now."""

    def __init__(self) -> None:
        self._is_terminal = sys.stderr.isatty()
        self._is_shown = False

    def say(self, text: str) -> None:
        """Print a line that stays."""
        self.clear()
        print(text, file=sys.stderr, flush=True)

    def notice(self, notice: Notice) -> None:
        """Print how far a module is."""
        what, text = _TOLD[notice.kind], notice.text
        if notice.kind == "wrote":
            text = f'"{text}"'
        elif notice.kind == "accept":
            text = ""  # no advice is needed
        self.say(_line(notice.module, what, text))

    def words(self, module: str, heard: Heard) -> None:
        """Show what a writer is saying."""
        if self._is_terminal and heard.texts:
            line = _line(module, _TOLD["wrote"], f'"{heard.texts[-1]}')
            print(f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)
            self._is_shown = True

    def clear(self) -> None:
        """Take the line away that is written over."""
        if self._is_shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
            self._is_shown = False


def _line(module: str, what: str, text: str) -> str:
    """Return one line that fits, without control characters: the model may say anything."""
    full = f"{module:{_MODULE_CHARS}} {what:{_WHAT_CHARS}} {text}".rstrip()
    line = "".join(c if c.isprintable() else " " for c in full)
    columns = shutil.get_terminal_size((100, 24)).columns - 1
    return line if len(line) <= columns else f"{line[: columns - 1]}…"
