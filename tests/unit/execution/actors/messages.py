"""Messages as an actor in memory has them, and a class of actors without an engine."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import msgspec

from outlast import Actor, actor, handler
from outlast._execution.actors.handled_message import HandledMessage
from outlast._messages.letters import Letter, encode_letter
from outlast._registry import ActorDefinition, default_registry
from outlast._store.rows import Message, MessageKind
from outlast.types import RunId

ACTOR = RunId("parts.Notes/a")


@dataclass
class Lines:
    """What was noted."""

    lines: list[str] = field(default_factory=list[str])


@actor(name="parts.Notes", reentrant="chain", mailbox=2, overflow="dead_letter")
class Notes(Actor[Lines]):
    """Notes lines."""

    @handler
    async def add(self, line: str) -> int:
        self.state.lines.append(line)
        return len(self.state.lines)

    @handler
    async def refuse(self, line: str) -> int:
        self.state.lines.append(line)
        raise ValueError(f"not {line!r}")

    @handler(while_busy="steer")
    async def wait(self, line: str) -> int:
        """Wait for ever beside the message that is handled."""
        self.state.lines.append(line)
        await asyncio.get_running_loop().create_future()
        return 0


def definition() -> ActorDefinition:
    """Return what is declared of the class."""
    return default_registry.actors["parts.Notes"]


def message(
    number: int, letter: Letter | None = None, *, name: str = "add", kind: MessageKind = "tell"
) -> Message:
    """Return a message as it is in the mailbox."""
    body = encode_letter(letter or letter_with("x"))
    return Message(run=ACTOR, kind=kind, name=name, body=body, number=number)


def letter_with(line: str, *, sender: str = "", chain: tuple[str, ...] = ()) -> Letter:
    """Return a letter that asks to add, or refuse, a line."""
    return Letter(args=msgspec.msgpack.encode({"line": line}), sender=sender, chain=chain)


def handled(number: int, *, sender: str = "") -> HandledMessage:
    """Return a message whose turn has come."""
    letter = letter_with("outer", sender=sender)
    return HandledMessage(message(number, letter), letter, definition().handlers["add"], 1_000)
