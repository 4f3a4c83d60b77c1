"""A client of the engine that owns a database here."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

import msgspec

from outlast import limits
from outlast._store.sqlite.files.lock import read_holder
from outlast._wire.unixsocket import address_of, socket_path
from outlast.client.remote import Client
from outlast.errors import StoreUnavailable


class _Session(msgspec.Struct):
    process: int


@dataclass(frozen=True, slots=True)
class Owner:
    """The process that owns a database, and what speaks to it."""

    client: Client
    process: int


async def owner_of(database: Path) -> Owner | None:
    """Return the engine that owns a database, None when none does or none listens.

    Raises:
        StoreUnavailable: one does, and may not be spoken to, or does not answer.
        NotSupported: the path is too long for a socket here.
    """
    path = socket_path(database)
    if not path.exists():
        return None
    try:
        with address_of(path) as address:
            async with asyncio.timeout(limits.SOCKET_SILENCE_SECONDS):
                _, writer = await asyncio.open_unix_connection(address)
        writer.close()
        await writer.wait_closed()
    except (ConnectionRefusedError, FileNotFoundError):
        return None  # left by an engine that died
    except (OSError, TimeoutError) as error:
        raise StoreUnavailable(
            f"the engine that owns {database} cannot be reached at {path}: {error}"
        ) from None
    client = Client(f"{database}")
    try:
        async with asyncio.timeout(limits.SOCKET_SILENCE_SECONDS):
            told = await client.ask("GET", "/v1/session")
    except TimeoutError:
        await client.__aexit__(None, None, None)
        raise StoreUnavailable(
            f"process {read_holder(database)} owns {database} and does not answer within "
            f"{limits.SOCKET_SILENCE_SECONDS:.0f}s: it is suspended or busy. Nothing was sent"
        ) from None
    return Owner(client, msgspec.convert(told, _Session).process)
