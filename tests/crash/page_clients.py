"""What clients of each protocol hold of a stream, by the rules that the real ones follow.

`tests/e2e/test_web_pages.py` asks the real ones. Here a client is a few lines, so that it can be
cut off anywhere.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field

_EVENT = re.compile(rb"(?:[^\n]+\n)+\n")


@dataclass
class PageClient:
    """Takes bytes as they come; keeps the id of the last whole event."""

    last_id: str = ""
    is_done: bool = False
    error: str = ""
    _rest: bytes = b""

    def take(self, data: bytes) -> None:
        """Take more of an answer."""
        self._rest += data
        end = 0
        for found in _EVENT.finditer(self._rest):
            end = found.end()
            lines = found[0].decode().splitlines()
            fields: dict[str, str] = {}
            for line in lines:
                name, _, value = line.partition(": ")
                fields[name] = value
            if "data" in fields:
                self.event(fields.get("event", ""), fields["data"])
                self.last_id = fields["id"]
        self._rest = self._rest[end:]

    def cut_off(self) -> None:
        """Lose the connection: half an event is none."""
        self._rest = b""

    @property
    def resumes_with(self) -> str:
        """The id that it sends when it comes again."""
        return self.last_id

    def event(self, kind: str, data: str) -> None:
        """Take one event."""
        raise NotImplementedError

    @property
    def text(self) -> str:
        """The text that it holds."""
        raise NotImplementedError


@dataclass
class RawClient(PageClient):
    values: list[tuple[str, dict[str, object]]] = field(
        default_factory=list[tuple[str, dict[str, object]]]
    )

    def event(self, kind: str, data: str) -> None:
        body = json.loads(data)
        if kind == "retract":
            self.values = [pair for pair in self.values if pair[0] != body["writer"]]
        elif kind == "end":
            self.is_done = True
            self.error = "" if body["status"] == "completed" else body["status"]
        else:
            self.values += [(body["writer"], value) for value in body["values"]]

    @property
    def text(self) -> str:
        return "".join(_text_of(value) for _, value in self.values)


def _text_of(value: dict[str, object]) -> str:
    part, delta = value.get("part"), value.get("delta")
    if value["event_kind"] == "part_start" and isinstance(part, dict):
        return f"{part['content']}" if part["part_kind"] == "text" else ""
    if isinstance(delta, dict) and delta["part_delta_kind"] == "text":
        return f"{delta['content_delta']}"
    return ""


@dataclass
class VercelClient(PageClient):
    """As `Chat` of the AI SDK: it resumes without an id, and `start` begins the message anew."""

    parts: dict[str, str] = field(default_factory=dict[str, str])
    active: set[str] = field(default_factory=set[str])
    message: str = ""

    @property
    def resumes_with(self) -> str:
        return ""

    def event(self, kind: str, data: str) -> None:
        if data == "[DONE]":
            self.is_done = True
            return
        chunk = json.loads(data)
        match chunk["type"]:
            case "start":
                assert self.message in ("", chunk["messageId"]), "resumed under another id"
                self.message = chunk["messageId"]
                self.parts, self.active = {}, set()
            case "text-start":
                assert chunk["id"] not in self.parts
                self.parts[chunk["id"]] = ""
                self.active.add(chunk["id"])
            case "text-delta":
                assert chunk["id"] in self.active
                self.parts[chunk["id"]] += chunk["delta"]
            case "text-end":
                self.active.remove(chunk["id"])
            case "finish-step":
                self.active.clear()
            case "error":
                self.error = chunk["errorText"]
            case _:
                pass

    @property
    def text(self) -> str:
        return "".join(self.parts.values())


@dataclass
class AgUiClient(PageClient):
    """As `HttpAgent`: it wants one answer, which goes on where it was cut off."""

    messages: dict[str, str | None] = field(default_factory=dict[str, str | None])
    active: set[str] = field(default_factory=set[str])
    has_started: bool = False

    def event(self, kind: str, data: str) -> None:
        body = json.loads(data)
        assert self.has_started == (body["type"] != "RUN_STARTED")
        assert not self.is_done
        match body["type"]:
            case "RUN_STARTED":
                self.has_started = True
            case "TEXT_MESSAGE_START":
                assert body["messageId"] not in self.active
                self.active.add(body["messageId"])
                self.messages.setdefault(body["messageId"], "")
            case "TEXT_MESSAGE_CONTENT":
                assert body["messageId"] in self.active
                said = self.messages[body["messageId"]]
                assert said is not None
                self.messages[body["messageId"]] = said + body["delta"]
            case "TEXT_MESSAGE_END":
                self.active.remove(body["messageId"])
            case "ACTIVITY_SNAPSHOT":
                self.messages[body["messageId"]] = None
            case "RUN_FINISHED":
                assert not self.active
                self.is_done = True
            case "RUN_ERROR":
                self.is_done, self.error = True, body["message"]
            case _:
                pass

    @property
    def text(self) -> str:
        return "".join(said or "" for said in self.messages.values())


CLIENTS: dict[str, type[PageClient]] = {
    "raw": RawClient,
    "vercel-ai": VercelClient,
    "ag-ui": AgUiClient,
}
