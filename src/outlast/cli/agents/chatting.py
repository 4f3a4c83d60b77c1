"""A conversation at a terminal, or through a pipe.

At a terminal, what is typed during a turn steers the agent, Ctrl-C interrupts the turn, and
requests for approval are answered in place. Through a pipe, each line is said when the one before
it is answered, and only the answers are printed.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import TypeAlias

from outlast.cli.agents.approving import Approvals
from outlast.cli.agents.showing import Shown, data_of
from outlast.cli.agents.talks import Talk
from outlast.cli.agents.typing import Lines
from outlast.cli.printing import complain, flush, note, say, shown
from outlast.errors import HandlerFailed, OutlastError
from outlast.types import StreamEvent, WhileBusy

_ENTRIES_SHOWN = 60
_FAILED = 1
_INTERRUPTED = 130

_Event: TypeAlias = StreamEvent[object] | None


def write_text(text: str) -> None:
    """Print text as it is, at once."""
    sys.stdout.write(text)
    sys.stdout.flush()


def _write_nothing(_: str) -> None:
    """Through a pipe, only answers are printed."""


class Chat:
    """One session with an agent."""

    def __init__(self, talk: Talk, *, by: str) -> None:
        self._talk = talk
        self._lines = Lines()
        self._shown = Shown(write_text if self._lines.is_terminal else _write_nothing)
        self._own: list[str] = []  # said here, and not seen in the conversation yet
        self._seen_to = 0  # the offset of the next entry
        self._told = 0  # events before this offset belong to entries that were seen
        self._has_news = asyncio.Event()
        self._approvals = Approvals(talk.verbs, by=by, ask=self._ask)
        self._is_busy = False  # a turn is under way, perhaps of another's message
        self._is_at_prompt = False
        self._has_failed = False
        self._turn: asyncio.Task[None] | None = None
        self._interrupting: asyncio.Task[None] | None = None  # kept, so that it is not collected

    async def run(self) -> int:
        """Talk until the input ends, or Ctrl-C is pressed between turns; return the exit code."""
        loop = asyncio.get_running_loop()
        await self._history()
        following = asyncio.ensure_future(self._follow())
        talking = asyncio.ensure_future(self._talk_on())
        loop.add_signal_handler(signal.SIGINT, self._interrupt, talking)
        try:
            await asyncio.wait({following, talking}, return_when=asyncio.FIRST_COMPLETED)
            if following.done():
                following.result()
                note("the agent has stopped")
                return _FAILED
            return talking.result()
        except asyncio.CancelledError:
            return _INTERRUPTED
        finally:
            loop.remove_signal_handler(signal.SIGINT)
            self._shown.end_line()
            for task in (following, talking):
                task.cancel()
            await asyncio.gather(following, talking, return_exceptions=True)

    def _interrupt(self, talking: asyncio.Task[int]) -> None:
        if self._turn is None and not self._is_busy:
            talking.cancel()
        else:
            self._interrupting = asyncio.ensure_future(self._talk.interrupt())

    # --------------------------------------------------------------------------------- turns
    async def _talk_on(self) -> int:
        self._lines.begin()
        line = asyncio.ensure_future(self._lines.next())
        try:
            self._prompt()
            while True:
                if self._turn is None:
                    await line
                else:
                    both = {self._turn, line} if self._lines.is_terminal else {self._turn}
                    await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
                if self._turn is not None and self._turn.done():
                    self._turn.result()
                    self._turn = None
                    self._prompt()
                    continue
                text = line.result()
                if text is None:
                    await self._leave()
                    return _FAILED if self._has_failed else 0
                line = asyncio.ensure_future(self._lines.next())
                await self._typed(text)
        finally:
            line.cancel()
            self._lines.close()
            if self._turn is not None:
                self._turn.cancel()

    async def _leave(self) -> None:
        """Let the turn end, unless it waits for an approval: no line can answer that any more."""
        asking = asyncio.ensure_future(self._approvals.is_asking.wait())
        try:
            if self._turn is not None:
                await asyncio.wait({self._turn, asking}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            asking.cancel()
        if self._approvals.is_asking.is_set():
            self._shown.end_line()
            note("the approval stays open: enter the chat again to answer it, or `outlast inbox`")
        elif self._turn is not None:
            await self._turn

    async def _typed(self, text: str) -> None:
        """Do what a line says: answer an approval, steer the turn, or begin one."""
        self._is_at_prompt = False
        if self._lines.is_cut(text):
            complain(
                "this line may have lost its end, since a terminal takes 4,095 bytes at most, so "
                "it was not sent. Send long text through a pipe"
            )
            self._prompt()
        elif await self._approvals.takes(text):
            pass
        elif not text.strip():
            if self._turn is None:
                self._prompt()
        elif self._turn is None:
            policy: WhileBusy | None = "steer" if self._is_busy else None
            self._turn = asyncio.ensure_future(self._take_turn(text, policy))
        else:
            self._turn = asyncio.ensure_future(self._steer(self._turn, text))

    async def _steer(self, turn: asyncio.Task[None], text: str) -> None:
        await asyncio.gather(turn, self._say(text, "steer"))

    async def _take_turn(self, text: str, while_busy: WhileBusy | None) -> None:
        await self._say(text, while_busy)
        ends = await self._talk.look()
        while self._seen_to < ends.entries:
            self._has_news.clear()
            await self._has_news.wait()

    async def _say(self, text: str, while_busy: WhileBusy | None) -> None:
        self._own.append(text)
        try:
            answer = await self._talk.say(text, while_busy)
            if not self._lines.is_terminal or not isinstance(answer, str):
                self._shown.end_line()
                say(shown(answer))
                flush()
        except HandlerFailed as error:
            # At a terminal, its turn tells how it ended.
            self._has_failed = self._has_failed or error.type_name != "TurnInterrupted"
            if not self._lines.is_terminal:
                complain(f"{error}")
        except OutlastError as error:
            self._has_failed = True
            self._shown.end_line()
            complain(f"{error}")

    # ------------------------------------------------------------------------------ following
    async def _history(self) -> None:
        """Show the end of the conversation as it is."""
        ends = await self._talk.look()
        self._seen_to, self._told = ends.entries, ends.events
        if not ends.entries or not self._lines.is_terminal:
            return
        run = self._talk.verbs.get(self._talk.actor)
        async with aclosing(_closable(run.stream("conversation", _from(ends.entries)))) as entries:
            async for seen in entries:
                if seen.kind == "data":
                    self._shown.entry(seen.value)
                if seen.offset >= ends.entries - 1:
                    break

    async def _follow(self) -> None:
        run = self._talk.verbs.get(self._talk.actor)
        entries = _closable(run.stream("conversation", self._seen_to))
        events = _closable(run.stream("agent_events", self._told))
        entry, event = _next(entries), _next(events)
        try:
            while True:
                await asyncio.wait({entry, event}, return_when=asyncio.FIRST_COMPLETED)
                if entry.done():
                    seen = entry.result()
                    if seen is None or seen.kind == "end":
                        return
                    entry = _next(entries)
                    self._entry(seen)
                    await self._approvals.hear(data_of(seen.value))
                elif (heard := event.result()) is not None:
                    event = _next(events)
                    self._event(heard)
                else:
                    event = asyncio.get_running_loop().create_future()
        finally:
            for task in (entry, event):
                task.cancel()
            await asyncio.gather(entry, event, return_exceptions=True)

    def _entry(self, seen: StreamEvent[object]) -> None:
        self._seen_to = seen.offset + 1
        data = data_of(seen.value)
        events = data.get("events")
        self._told = max(self._told, events if isinstance(events, int) else 0)
        text, kind = data.get("text"), data.get("kind")
        if kind in ("user", "ended"):
            self._is_busy = kind == "user"
        if kind == "user" and text in self._own:
            self._own.remove(f"{text}")  # it is on the screen already
        elif seen.kind == "data" and kind != "asked":
            self._leave_prompt()
            self._shown.entry(seen.value)
            if kind == "ended" and self._turn is None:
                self._prompt()
        self._has_news.set()

    def _event(self, heard: StreamEvent[object]) -> None:
        if heard.offset < self._told:
            return
        if heard.kind == "retract":
            self._shown.retract()
        elif heard.kind == "data":
            self._leave_prompt()
            self._shown.event(heard.value)

    def _ask(self, text: str) -> bool:
        """Ask for a line, if there is anybody to type one."""
        if self._lines.is_terminal:
            self._leave_prompt()
            self._shown.end_line()
            write_text(text)
            self._is_at_prompt = True
        return self._lines.is_terminal

    def _prompt(self) -> None:
        self._shown.end_line()
        if self._lines.is_terminal:
            write_text("> ")
            self._is_at_prompt = True

    def _leave_prompt(self) -> None:
        """Others have said something: it is not written behind the prompt."""
        if self._is_at_prompt:
            self._is_at_prompt = False
            write_text("\n")


def _from(entries: int) -> int:
    return max(0, entries - _ENTRIES_SHOWN)


async def _closable(
    stream: AsyncIterator[StreamEvent[object]],
) -> AsyncGenerator[StreamEvent[object]]:
    async for event in stream:
        yield event


def _next(stream: AsyncIterator[StreamEvent[object]]) -> asyncio.Future[_Event]:
    async def seen() -> _Event:
        return await anext(stream, None)

    return asyncio.ensure_future(seen())
