"""Entries and events of a conversation as text: what was said, tool calls in a line each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from outlast._shapes import is_dict, is_list
from outlast.cli.printing import as_json, safe_line, safe_text

Data = Mapping[str, object]

_RESULT_CHARS = 70


def data_of(value: object) -> Data:
    """Return a JSON object, an empty one for anything else."""
    return {f"{key}": item for key, item in value.items()} if is_dict(value) else {}


def _text(data: Data, name: str) -> str:
    value = data.get(name)
    return value if isinstance(value, str) else ""


def _parts(entry: Data) -> Iterator[Data]:
    parts = data_of(entry.get("message")).get("parts")
    yield from (data_of(part) for part in parts) if is_list(parts) else ()


def _texts(entry: Data) -> Iterator[str]:
    yield from (
        _text(part, "content") for part in _parts(entry) if _text(part, "part_kind") == "text"
    )


def _answer_in(entry: Data) -> str:
    """Return what was answered to a question, by whom, and why."""
    question, reason = data_of(entry.get("question")), safe_line(_text(entry, "text"))
    approved, by = question.get("approved"), safe_line(_text(question, "by"))
    if approved is None:
        return f"answered by {by}" if by else "answered"
    if not by:
        return "not answered in time"
    return f"{'approved' if approved else 'rejected'} by {by}{f': {reason}' if reason else ''}"


class Shown:
    """Writes a conversation, as it comes: live words, or whole entries where there were none.

    `write` gets text to be printed as it is.
    """

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._is_in_line = False
        self._heard = ""  # live words since the last message
        self._calls: dict[str, str] = {}
        self._told: set[str] = set()  # results that were shown live

    # ------------------------------------------------------------------------------ entries
    def entry(self, value: object) -> None:
        """Write an entry, or what of it was not heard before."""
        entry = data_of(value)
        match entry.get("kind"):
            case "user":
                steers = " (steering)" if entry.get("is_steering") else ""
                self._line(f"you{steers}: {safe_text(_text(entry, 'text'))}")
            case "message":
                self._message(entry)
            case "summary":
                self._line("[what is before is summarised for the agent]")
            case "asked":
                self._line(f"? {safe_line(_text(entry, 'text'))}")
            case "answered":
                self._line(f"  [{_answer_in(entry)}]")
            case "ended":
                self._ended(entry)
            case _:
                pass

    def _message(self, entry: Data) -> None:
        if data_of(entry.get("message")).get("kind") == "response":
            self._complete("".join(_texts(entry)))
        for part in _parts(entry):
            match part.get("part_kind"):
                case "tool-call":
                    self._called(part)
                case "tool-return" | "retry-prompt":
                    self._returned(part)
                case _:
                    pass

    def _complete(self, text: str) -> None:
        """Write what of a response was not heard live: its end, or all of it."""
        heard, self._heard = self._heard, ""
        if text.startswith(heard):
            self._say(text[len(heard) :])
        else:
            self.end_line()
            self._say(text)
        self.end_line()

    def _ended(self, entry: Data) -> None:
        self.end_line()
        outcome = entry.get("outcome")
        if outcome == "interrupted":
            self._line("[interrupted]")
        elif outcome == "failed":
            self._line(f"[failed: {safe_line(_text(entry, 'text'))}]")
        self._calls.clear()
        self._told.clear()

    # ------------------------------------------------------------------------------- events
    def event(self, value: object) -> None:
        """Write what an event of the agent says."""
        event = data_of(value)
        match event.get("event_kind"):
            case "part_start":
                part = data_of(event.get("part"))
                if part.get("part_kind") == "text":
                    self._hear(_text(part, "content"))
            case "part_delta":
                self._hear(_text(data_of(event.get("delta")), "content_delta"))
            case "function_tool_call":
                self._called(data_of(event.get("part")))
            case "function_tool_result":
                self._returned(data_of(event.get("part") or event.get("result")))
            case _:
                pass

    def retract(self) -> None:
        """Say that the words since the last message do not count."""
        if self._heard:
            self.end_line()
            self._line("[the server has restarted: the agent says it again]")
            self._heard = ""

    def end_line(self) -> None:
        """End the line that is being written."""
        if self._is_in_line:
            self._write("\n")
            self._is_in_line = False

    # --------------------------------------------------------------------------------- parts
    def _hear(self, words: str) -> None:
        self._heard += words
        self._say(words)

    def _say(self, words: str) -> None:
        if words:
            self._write(safe_text(words))
            self._is_in_line = not words.endswith("\n")

    def _called(self, part: Data) -> None:
        arguments = part.get("args")
        text = arguments if isinstance(arguments, str) else as_json(arguments or {})
        self._calls[_text(part, "tool_call_id")] = f"{_text(part, 'tool_name')}({text})"

    def _returned(self, part: Data) -> None:
        call = _text(part, "tool_call_id")
        if not call or call in self._told:
            return
        self._told.add(call)
        content = part.get("content")
        result = content if isinstance(content, str) else as_json(content)
        name = self._calls.get(call, _text(part, "tool_name"))
        self._line(f"  · {_short(name)} → {_short(result)}")

    def _line(self, text: str) -> None:
        self.end_line()
        self._write(f"{text}\n")


def _short(text: str) -> str:
    line = safe_line(text)
    return line if len(line) <= _RESULT_CHARS else f"{line[:_RESULT_CHARS]}…"
