"""A client that watches the demo over HTTP, as any other would.

It reads how far the manual is, and every word of the writer while it is said, over the death of the
server. What it has then is compared with the conversations.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

from pydantic_ai import PartDeltaEvent, PartStartEvent
from pydantic_ai.messages import TextPart, TextPartDelta

from outlast.agents import agent_events
from outlast.agents.events import event_adapter
from outlast.client import Client
from outlast.demo.agents import Writer
from outlast.demo.manual import MANUAL, Manual, Notice, notices, write_manual
from outlast.errors import StoreUnavailable, TokenAnswered, TokenClosed
from outlast.types import StreamEvent, TokenInfo

T = TypeVar("T")

MIDST_TOKENS = 5  # a response that has so many is in the midst of being said


@dataclass(slots=True)
class Heard:
    """What a reader has of one conversation's live words, and what it was told to drop."""

    pieces: list[tuple[str, bool, str]] = field(default_factory=list[tuple[str, bool, str]])
    retracted: int = 0
    saying: int = 0  # tokens of the response that is being said

    @property
    def texts(self) -> list[str]:
        """The responses, in order."""
        found: list[str] = []
        for _, is_new, text in self.pieces:
            if is_new:
                found.append(text)
            else:
                found[-1] += text
        return found

    @property
    def tokens(self) -> int:
        """How many pieces of text there are."""
        return sum(bool(text) for _, _, text in self.pieces)

    def take(self, event: StreamEvent[object]) -> bool:
        """Take in an event, and return whether it has words."""
        if event.kind == "retract":
            before = len(self.pieces)
            self.pieces = [piece for piece in self.pieces if piece[0] != event.writer]
            self.retracted += before - len(self.pieces)
            self.saying = 0
            return False
        if event.kind != "data":
            return False
        match event_adapter().validate_python(event.value):
            case PartStartEvent(part=TextPart(content=text)):
                self.pieces.append((event.writer, True, text))
                self.saying = 1
            case PartDeltaEvent(delta=TextPartDelta(content_delta=text)):
                self.pieces.append((event.writer, False, text))
                self.saying += 1
            case _:
                return False
        return True


@dataclass(frozen=True, slots=True)
class Outage:
    """How long a reader heard nothing: to the next word, and to the next process's readiness."""

    seconds: float
    restart_seconds: float


class _Follower:
    """Reads the live words of one writer until it has all of them."""

    def __init__(self, read: Callable[[_Follower], Awaitable[None]]) -> None:
        self.heard = Heard()
        self.next = 0
        self.end: int | None = None  # the offset behind the last event, once it is known
        self.task: asyncio.Future[None] = asyncio.ensure_future(read(self))

    @property
    def has_all(self) -> bool:
        return self.end is not None and self.next >= self.end


class Spectator:
    """Watches from the beginning to the end.

    `on_notice` and `on_words` are called as things happen; `asked` is what people are asked.
    """

    def __init__(
        self,
        client: Client,
        *,
        on_notice: Callable[[Notice], None],
        on_words: Callable[[str, Heard], None],
    ) -> None:
        self._client = client
        self._on_notice = on_notice
        self._on_words = on_words
        self._followers: dict[str, _Follower] = {}
        self._is_up = asyncio.Event()
        self._was_away = False
        self._killed_at = 0.0
        self._up_at = 0.0
        self.asked: asyncio.Future[TokenInfo] = asyncio.get_running_loop().create_future()
        self.outage: Outage | None = None

    @property
    def heard(self) -> dict[str, Heard]:
        """What was heard of each module."""
        return {module: follower.heard for module, follower in self._followers.items()}

    def server_is_up(self) -> None:
        """The server has said that it is ready."""
        self._is_up.set()
        self._up_at = time.monotonic()

    def server_was_killed(self) -> None:
        """The server is away until it says that it is ready."""
        self._is_up.clear()
        self._was_away = True
        self._killed_at = time.monotonic()

    async def watch(self) -> Manual:
        """Watch until the manual is done, and all of it was heard."""
        reading = asyncio.create_task(self._read_notices())
        asking = asyncio.create_task(self._wait_for_question())
        try:
            manual = await self._client.get(MANUAL, write_manual).result(parked="wait")
            await reading
            for module, follower in self._followers.items():
                await self._hear_out(module, follower)
        finally:
            followers = [follower.task for follower in self._followers.values()]
            for task in (reading, asking, *followers):
                task.cancel()
            await asyncio.gather(reading, asking, *followers, return_exceptions=True)
        return manual

    async def _read_notices(self) -> None:
        async for event in self._client.get(MANUAL).stream(notices):
            if isinstance(event.value, Notice):
                notice = event.value
                if notice.module not in self._followers:
                    self._followers[notice.module] = _Follower(self._listener(notice.module))
                self._on_notice(notice)

    def _listener(self, module: str) -> Callable[[_Follower], Awaitable[None]]:
        async def listen(follower: _Follower) -> None:
            writer = self._client.actor(Writer, module)
            await self._patiently(lambda: writer.ask(Writer.about))  # from here on it is there
            async for event in self._client.get(writer.id).stream(agent_events):
                follower.next = event.offset + 1
                if follower.heard.take(event):
                    self._note_return()
                    self._on_words(module, follower.heard)
                if follower.has_all:
                    return

        return listen

    async def _hear_out(self, module: str, follower: _Follower) -> None:
        """Wait until a follower has what its writer has said by now."""
        writer = self._client.actor(Writer, module)
        follower.end = (await self._patiently(lambda: writer.ask(Writer.about))).events
        if not follower.has_all:
            await follower.task

    def _note_return(self) -> None:
        if self._was_away and self._is_up.is_set() and self.outage is None:
            now = time.monotonic()
            self.outage = Outage(now - self._killed_at, self._up_at - self._killed_at)

    async def _wait_for_question(self) -> None:
        """Tell of the question to people, once it is asked: the server tells when one is."""
        async for _ in self._client.events("/v1/events?kinds=tokens"):
            asked = await self._patiently(self._questions)
            if asked:
                self.asked.set_result(asked[0])
                return

    async def _questions(self) -> list[TokenInfo]:
        return [token async for token in self._client.tokens()]

    async def approve(self, token: TokenInfo) -> None:
        """Approve in the name of the demo's own API token, unless a person has answered."""
        reason = "nobody else answered"
        with contextlib.suppress(TokenAnswered, TokenClosed):
            await self._patiently(lambda: self._client.approve(token.id, reason=reason))

    async def _patiently(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Ask again when the server has come back."""
        while True:
            await self._is_up.wait()
            try:
                return await ask()
            except StoreUnavailable:
                if self._is_up.is_set():
                    raise
