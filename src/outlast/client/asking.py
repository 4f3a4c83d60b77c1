"""What every part of a client stands on: one request, and its answer as JSON data."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator
from typing import Literal, TypeVar
from urllib.parse import quote, urlencode

import msgspec

from outlast import limits

T = TypeVar("T")


class Asking(ABC):
    """Makes requests."""

    @abstractmethod
    async def ask(
        self, method: Literal["GET", "POST"], path: str, body: object = None, *, wait: float = 0.0
    ) -> object:
        """Make one request and return its answer as JSON data; for what has no verb here.

        `wait` is how many seconds the server may take beside the client's own timeout.

        Raises:
            StoreUnavailable: the server cannot be reached; WaitTimeout: it does not answer.
            ServerRefused: it does not let us. Else what the verb raises in an engine.
        """

    async def items(
        self, path: str, name: str, kind: type[T], **query: str
    ) -> AsyncGenerator[T, None]:
        """Iterate over a listing, page by page."""
        after: object = ""
        while after is not None:
            asked = urlencode({**query, "after": f"{after}", "limit": limits.PAGE_ROWS})
            page = msgspec.convert(await self.ask("GET", f"{path}?{asked}"), dict[str, object])
            for item in msgspec.convert(page[name], list[object]):
                yield msgspec.convert(item, kind)
            after = page["next"]


def quoted(part: str) -> str:
    """Return a part of a path, slashes in it encoded too."""
    return quote(part, safe="")
