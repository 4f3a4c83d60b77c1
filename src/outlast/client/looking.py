"""Actors, teams, dead letters and comparisons, over HTTP."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from typing import Literal
from urllib.parse import urlencode

import msgspec

from outlast._durations import seconds_of
from outlast._engine.diffs import RunDiff
from outlast.client.asking import Asking, quoted
from outlast.types import ActorInfo, DeadLetterInfo, Duration, TeamInfo


class LookingVerbs(Asking):
    """An engine's verbs that look at more than one run, and at actors."""

    async def count(self, query: str = "") -> int:
        """Return how many runs a query wants; see `Engine.count`."""
        found = await self.ask("GET", f"/v1/count?{urlencode({'query': query})}")
        return msgspec.convert(msgspec.convert(found, dict[str, object])["count"], int)

    async def diff(self, a: str, b: str) -> RunDiff:
        """Return where two runs part, and their records side by side."""
        found = await self.ask("GET", f"/v1/diff?{urlencode({'a': a, 'b': b})}")
        return msgspec.convert(found, RunDiff)

    async def actors(self, kind: str | None = None) -> AsyncGenerator[ActorInfo, None]:
        """Iterate over actors that exist, newest first: of a type's name, or all."""
        async for info in self.items("/v1/actors", "actors", ActorInfo, type=kind or ""):
            yield info

    async def actor_info(self, kind: str, key: str) -> ActorInfo:
        """Return what is known of one actor."""
        found = await self.ask("GET", f"/v1/actors/{quoted(kind)}/{quoted(key)}")
        return msgspec.convert(found, ActorInfo)

    async def ask_actor(
        self,
        kind: str,
        key: str,
        handler: str,
        arguments: Mapping[str, object],
        *,
        mode: Literal["ask", "tell"] = "ask",
        timeout: Duration = "1m",
        dedup: str = "",
    ) -> object:
        """Return an actor's answer to a message as JSON data; None for what is only told."""
        seconds = seconds_of(timeout)
        query = urlencode({"mode": mode, "timeout": f"{seconds:g}", "dedup": dedup})
        path = f"/v1/actors/{quoted(kind)}/{quoted(key)}/{quoted(handler)}?{query}"
        found = await self.ask("POST", path, dict(arguments), wait=seconds)
        return msgspec.convert(found, dict[str, object]).get("result")

    async def teams(self) -> AsyncGenerator[TeamInfo, None]:
        """Iterate over the teams that exist, each with all that is in it."""
        found = msgspec.convert(await self.ask("GET", "/v1/teams"), dict[str, list[TeamInfo]])
        for team in found["teams"]:
            yield team

    async def dead_letters(self) -> AsyncGenerator[DeadLetterInfo, None]:
        """Iterate over the messages that nobody will take any more, oldest first."""
        async for letter in self.items("/v1/dead-letters", "dead_letters", DeadLetterInfo):
            yield letter

    async def redrive(self, number: int) -> None:
        """Send a dead letter again."""
        await self.ask("POST", f"/v1/dead-letters/{number}/redrive")
