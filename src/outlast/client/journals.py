"""Reading a run's journal from a server, page by page, large values one by one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from typing import Literal, Protocol

import msgspec

from outlast import limits
from outlast._engine.reading.records import Record


class _Ask(Protocol):
    def __call__(self, method: Literal["GET"], path: str, /) -> Awaitable[object]: ...


class _Preview(msgspec.Struct):
    href: str


class _JournalPage(msgspec.Struct):
    records: list[dict[str, object]]
    next: int | None


async def records_of(ask: _Ask, run_path: str, after: int) -> AsyncIterator[Record]:
    """Iterate over a run's records with a `seq` above `after`, their values whole."""
    following: int | None = after
    while following is not None:
        path = f"{run_path}/journal?after={following}&limit={limits.HTTP_PAGE_MAX}"
        page = msgspec.convert(await ask("GET", path), _JournalPage)
        for told in page.records:
            if (preview := told.get("preview")) is not None:
                told = await _whole(ask, preview)
            yield msgspec.convert(told, Record)
        following = page.next


async def _whole(ask: _Ask, preview: object) -> dict[str, object]:
    found = await ask("GET", msgspec.convert(preview, _Preview).href)
    return msgspec.convert(found, dict[str, object])
