"""What every part of a client stands on: one request, and its answer as JSON data."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Mapping
from typing import Literal, TypeVar
from urllib.parse import quote, urlencode

import msgspec

from outlast import limits
from outlast.errors import OutlastError, UsageError

T = TypeVar("T")
_PAUSES = (0.1, 0.2, 0.5, 1.0, 2.0)
_AWAY_SECONDS = 60.0
PATIENCE = 30.0
"""How long one request waits for what may take as long as it likes, in seconds."""


class Asking(ABC):
    """Makes requests."""

    @property
    @abstractmethod
    def is_local(self) -> bool:
        """Whether it speaks to the owner of a database here, over its Unix socket."""

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
            asked = query_of({**query, "after": f"{after}", "limit": limits.PAGE_ROWS})
            page = msgspec.convert(await self.ask("GET", f"{path}?{asked}"), dict[str, object])
            for item in msgspec.convert(page[name], list[object]):
                yield msgspec.convert(item, kind)
            after = page["next"]


class Patience:
    """How long a server that is away is waited for: it may be starting anew."""

    def __init__(self) -> None:
        self._tries = 0
        self._waited = 0.0

    def renew(self) -> None:
        """It has answered."""
        self._tries, self._waited = 0, 0.0

    async def wait(self, error: OutlastError | None) -> None:
        """Wait for longer each time; raise the error when it has been long enough."""
        if error is not None and self._waited > _AWAY_SECONDS:
            raise error
        seconds = _PAUSES[min(self._tries, len(_PAUSES) - 1)]
        self._tries += 1
        self._waited += seconds
        await asyncio.sleep(seconds)


def quoted(part: str) -> str:
    """Return a part of a path, slashes in it encoded too.

    Raises:
        UsageError: it has a lone surrogate.
    """
    try:
        return quote(part, safe="")
    except UnicodeEncodeError as error:
        raise not_text(error) from None


def query_of(parameters: Mapping[str, str | int]) -> str:
    """Return parameters as the query of a url.

    Raises:
        UsageError: one has a lone surrogate.
    """
    try:
        return urlencode(parameters)
    except UnicodeEncodeError as error:
        raise not_text(error) from None


def json_body(body: object) -> bytes:
    """Return what is sent to the server as JSON.

    Raises:
        UsageError: a text in it has a lone surrogate, or it has what JSON has not.
    """
    try:
        return msgspec.json.encode(body)
    except UnicodeEncodeError as error:
        raise not_text(error) from None
    except (TypeError, OverflowError, RecursionError) as error:
        raise UsageError(f"this cannot be sent as JSON: {error}") from None


def not_text(error: UnicodeEncodeError) -> UsageError:
    """Return the error of text that cannot be sent: it is not Unicode text."""
    found = f"{error.object}"[:50]
    return UsageError(
        f"{found!r} has a lone surrogate at character {error.start}, so it is not text "
        f"and nothing was sent"
    )
