"""Somebody who watches the demo over HTTP, as any client would: on a thread of its own.

It reads the stream of summaries from the first token to the last over the death of the server,
and keeps what it has: that is compared with what is recorded, at the end.
"""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass, field

from outlast.client import Client
from outlast.demo.digest import DIGEST, digest, summary
from outlast.demo.job import SURVEY
from outlast.errors import OutlastError, RunNotFound, ServerRefused, StoreUnavailable

_PAUSE_SECONDS = 0.05
_NOBODY_SECONDS = 1.0


@dataclass(slots=True)
class Seen:
    """What a reader of the stream has, and what it was told to drop."""

    tokens: int = 0
    retracted: int = 0
    text: str = ""
    summaries: dict[str, str] = field(default_factory=dict[str, str])
    approved_by: str | None = None

    @property
    def is_exact(self) -> bool:
        """Whether the text is what the steps recorded, nothing missing and nothing twice."""
        said = "".join(f"\n{name}: {text}" for name, text in self.summaries.items())
        return self.text == said


class Spectator:
    """Watches from the beginning until both jobs have ended."""

    def __init__(self, url: str, token: str, *, approves: bool) -> None:
        self._client_of = (url, token)
        self._approves = approves
        self.seen: Seen = Seen()
        self.asked: str = ""  # the token of the approval, once it is asked for
        self.error: OutlastError | None = None
        self.is_done: bool = False
        self._thread = threading.Thread(target=self._run, name="spectator", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            asyncio.run(self._watch())
        except OutlastError as error:
            self.error = error

    async def _watch(self) -> None:
        url, token = self._client_of
        async with Client(url, token=token) as client:
            await self._wait_for_start(client)
            reading = asyncio.create_task(self._read(client))
            approving = asyncio.create_task(self._approve(client))
            found = await client.get(DIGEST, digest).result(parked="wait")
            self.seen.summaries = found.summaries
            self.seen.approved_by = found.by
            await reading
            approving.cancel()
            await client.get(SURVEY).result(parked="wait")
        self.is_done = True

    async def _wait_for_start(self, client: Client) -> None:
        while True:
            try:
                await client.get(DIGEST).info()
            except (StoreUnavailable, RunNotFound):
                await asyncio.sleep(_PAUSE_SECONDS)
            else:
                return

    async def _read(self, client: Client) -> None:
        kept: list[tuple[str, str]] = []
        async for event in client.get(DIGEST).stream(summary):
            if event.kind == "data":
                kept.append((event.writer, f"{event.value}"))
            elif event.kind == "retract":
                before = len(kept)
                kept = [piece for piece in kept if piece[0] != event.writer]
                self.seen.retracted += before - len(kept)
            self.seen.tokens = len(kept)
            self.seen.text = "".join(text for _, text in kept)

    async def _approve(self, client: Client) -> None:
        """Approve for want of anybody who could, or leave it to the person at the dashboard."""
        while True:
            try:
                asked = [info async for info in client.tokens()]
                if asked:
                    self.asked = asked[0].id
                    if self._approves:
                        await asyncio.sleep(_NOBODY_SECONDS)
                        await client.approve(asked[0].id, reason="no one was at the terminal")
                    return
            except (StoreUnavailable, ServerRefused):
                pass  # it was killed, and comes back
            await asyncio.sleep(_PAUSE_SECONDS)
