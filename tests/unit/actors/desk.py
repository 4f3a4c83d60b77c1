"""An actor whose messages may be handled within another one, and whose code reads its stream."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from outlast import Actor, Stream, actor, handler, step
from outlast._actors.actor import running_actor
from outlast._execution.actors.handled_message import KeptError, NotNow
from outlast._execution.run_context import current_context
from outlast._registry import ActorDefinition, default_registry


class Stopped(Exception):
    """What an interrupted message is answered with."""


class Refused(Exception):
    """What handlers of the test raise."""


@dataclass
class Noted:
    lines: list[str] = field(default_factory=list[str])


gates: dict[str, asyncio.Event] = {}
begun: dict[str, asyncio.Event] = {}
notes = Stream("desk.notes", str)


def expect(*texts: str) -> None:
    """Make the gates at which the work on these texts waits."""
    for text in texts:
        gates[text], begun[text] = asyncio.Event(), asyncio.Event()


@step
async def passes(text: str) -> str:
    if text in gates:
        begun[text].set()
        await gates[text].wait()
    return text


@actor(name="desk.Desk")
class Desk(Actor[Noted]):
    """Works on one text at a time, and lets others steer and interrupt it."""

    current: asyncio.Future[str] | None = None

    @handler(while_busy="queue")
    async def work(self, text: str) -> str:
        """Work on a text until its gate opens."""
        lines = self.state.lines
        match running_actor().while_busy:
            case "steer":
                lines.append(f"steered by {text}")
                return "taken"
            case "interrupt":
                lines.append(f"interrupted by {text}")
                if self.current is not None:
                    self.current.cancel()
                raise NotNow
            case _:
                pass
        self.current = asyncio.ensure_future(passes(text))
        try:
            await self.current
        except asyncio.CancelledError:
            self.state.lines.append(f"gave up {text}")
            raise KeptError(Stopped(text)) from None
        self.state.lines.append(f"did {text}")
        return text

    @handler(while_busy="steer")
    async def object_to(self, text: str) -> None:
        """Raise, at once or after a wait."""
        self.state.lines.append(f"objected to {text}")
        if text == "late":
            await passes("")
        raise Refused(text)

    @handler
    async def plain(self) -> str:
        """Wait its turn in any case."""
        self.state.lines.append("plain")
        return "plain"

    @handler
    async def note(self, text: str, *, keep_from: int | None = None) -> list[str]:
        """Add a note, and return the notes that the actor has in memory."""
        history = running_actor().history(notes.name)
        offset = current_context().outputs.write(notes.name, notes.adapter.encode(text))
        history.append(offset, notes.adapter.encode(text))
        if keep_from is not None:
            history.cut(keep_from)
        await passes(text)
        if text == "bad":
            raise Refused(text)
        self.state.lines.append(text)
        return [str(notes.adapter.decode(data)) for _, data in history.entries]

    @handler(read=True)
    async def lines(self) -> list[str]:
        """Return what was done."""
        return self.state.lines


def definition() -> ActorDefinition:
    """Return what is declared of the class."""
    return default_registry.actors["desk.Desk"]
