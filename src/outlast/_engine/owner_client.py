"""The other end of the owner's socket: for commands that write to a database that has an owner."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import TypeVar

from outlast import limits
from outlast._codec import decode_failure, revive
from outlast._engine.owner_protocol import (
    AnswerToken,
    Cancel,
    Done,
    Fork,
    Info,
    Known,
    Ping,
    Pong,
    Refused,
    Reply,
    Request,
    SendSignal,
    SendUpdate,
    Start,
    Steer,
    SteeringVerb,
    Terminate,
    Text,
    WasStarted,
    Why,
    WriteToActor,
    address_of,
    decode_reply,
    frame,
    read_frame,
    socket_path,
)
from outlast._registry import Registry, known_error_types
from outlast._store.sqlite_lock import read_holder
from outlast.errors import OutlastError, StoreUnavailable
from outlast.types import RunInfo

R = TypeVar("R", bound=Reply)


class OwnerClient:
    """A conversation with the engine that owns a database.

    Every verb raises the errors that the engine raises for it, and StoreUnavailable when the
    engine went away before it answered: then the verb may or may not have happened.
    """

    def __init__(
        self, database: Path, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._database = database
        self._reader = reader
        self._writer = writer

    @classmethod
    async def connect(cls, database: Path) -> OwnerClient | None:
        """Return a conversation, None when nobody listens.

        Raises:
            StoreUnavailable: somebody does, and may not be spoken to, or does not answer.
            NotSupported: the path is too long for a socket here.
        """
        path = socket_path(database)
        if not path.exists():
            return None
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.setblocking(False)
        try:
            with address_of(path) as address:
                async with asyncio.timeout(limits.SOCKET_SILENCE_SECONDS):
                    await asyncio.get_running_loop().sock_connect(connection, address)
            reader, writer = await asyncio.open_unix_connection(sock=connection)
        except (ConnectionRefusedError, FileNotFoundError):
            connection.close()
            return None  # left by an engine that died
        except (OSError, TimeoutError) as error:
            connection.close()
            raise StoreUnavailable(
                f"the engine that owns {database} cannot be reached at {path}: {error}"
            ) from None
        except BaseException:
            connection.close()
            raise
        client = cls(database, reader, writer)
        try:
            async with asyncio.timeout(limits.SOCKET_SILENCE_SECONDS):
                await client.ping()  # a stopped process is connected to as well
        except TimeoutError:
            await client.close()
            raise StoreUnavailable(
                f"process {read_holder(database)} owns {database} and does not answer within "
                f"{limits.SOCKET_SILENCE_SECONDS:.0f}s: it is stopped, or busy for as long. "
                f"Nothing was asked of it"
            ) from None
        except BaseException:
            await client.close()
            raise
        return client

    async def close(self) -> None:
        """Hang up."""
        self._writer.close()

    # --------------------------------------------------------------------------- verbs
    async def ping(self) -> Pong:
        """Return who is there."""
        return await self.ask(Ping(), Pong)

    async def start(self, request: Start) -> WasStarted:
        """Start a run; sending the same `request.request` again finds what it started."""
        return await self.ask(request, WasStarted)

    async def signal(
        self, run: str, name: str, json: bytes, *, dedup: str = "", allow_undeclared: bool = False
    ) -> None:
        """Send a signal whose value is JSON."""
        await self.ask(SendSignal(run, name, json, dedup, allow_undeclared), Done)

    async def update(self, request: SendUpdate) -> str:
        """Have a run answer an update; return its result as JSON."""
        return (await self.ask(request, Text)).text

    async def cancel(self, run: str, reason: str = "", grace_seconds: float | None = None) -> None:
        """Ask a run to stop."""
        await self.ask(Cancel(run, reason, grace_seconds), Done)

    async def terminate(self, run: str, reason: str = "") -> None:
        """End a run now."""
        await self.ask(Terminate(run, reason), Done)

    async def steer(self, run: str, verb: SteeringVerb) -> None:
        """Have a run stand still, go on, or do again what failed."""
        await self.ask(Steer(run, verb), Done)

    async def fork(self, request: Fork) -> str:
        """Start a run from another one's past; return its id."""
        return (await self.ask(request, WasStarted)).run

    async def answer(self, request: AnswerToken) -> None:
        """Answer a token."""
        await self.ask(request, Done)

    async def write_to_actor(self, request: WriteToActor) -> str:
        """Ask or tell an actor; return its answer as JSON."""
        return (await self.ask(request, Text)).text

    async def info(self, run: str) -> RunInfo:
        """Return what the engine knows of a run."""
        return (await self.ask(Info(run), Known)).info

    async def why(self, run: str) -> str:
        """Return what a run waits for."""
        return (await self.ask(Why(run), Text)).text

    async def ask(self, request: Request, wanted: type[R]) -> R:
        """Return the reply to a request; the verbs above are the usual ones."""
        try:
            self._writer.write(frame(request))
            await self._writer.drain()
            reply = decode_reply(await read_frame(self._reader))
        except (OSError, asyncio.IncompleteReadError):
            raise StoreUnavailable(
                f"the engine that owns {self._database} went away before it answered; "
                f"look with `outlast show` whether it had done it, else ask again"
            ) from None
        if isinstance(reply, Refused):
            raise _error_of(reply)
        if not isinstance(reply, wanted):
            raise StoreUnavailable(f"the engine that owns {self._database} answered nonsense")
        return reply


def _error_of(reply: Refused) -> Exception:
    failure = decode_failure(reply.failure)
    error = revive(failure, known_error_types(Registry()))
    if isinstance(error, OutlastError):
        return error
    return OutlastError(f"the owner's engine failed: {failure.qualname}: {failure.message}")
