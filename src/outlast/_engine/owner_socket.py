"""The Unix socket on which the owner of a database takes verbs from commands of other processes.

Invariants:
  * only the same user (or root) is heard: the socket's mode is 0600 before anyone can connect, and
    the peer is asked for its user where the system tells;
  * a client that is slow, silent or talks garbage costs a bounded time and memory, then it is
    dropped;
  * a reply to a writing verb says that it is durable.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
import struct
from pathlib import Path

import msgspec
from typing_extensions import override

from outlast import limits
from outlast._codec import Bound, SignatureCodec, capture, encode_failure
from outlast._engine.attributes import merged_attributes
from outlast._engine.forks import ForkRequest
from outlast._engine.open_engine import EngineCore
from outlast._engine.owner_protocol import (
    AnswerToken,
    Cancel,
    Done,
    Fork,
    Info,
    Known,
    Ping,
    Planned,
    PlanRerun,
    Pong,
    Publish,
    Redrive,
    Refused,
    Reply,
    Request,
    SendSignal,
    SendUpdate,
    Start,
    Steer,
    Terminate,
    Text,
    WasStarted,
    Why,
    WriteToActor,
    address_of,
    decode_request,
    frame,
    read_frame,
    socket_path,
)
from outlast._engine.signal_names import check_signal_name
from outlast._engine.starts import StartRequest
from outlast._engine.tokens import AnswerRequest
from outlast._engine.topics import publication
from outlast._engine.updates import declared_update, json_of, payload_of, result_of
from outlast._execution.payloads import json_payload, read_payload, typed_payload
from outlast._execution.starting import check_name
from outlast._execution.unreadable import DISCARD
from outlast._execution.updates import update_message
from outlast._execution.waits import within
from outlast._registry import WorkflowDefinition
from outlast._store.contract import Message, MessageKind
from outlast._world import process_id
from outlast.errors import DecodingError, NotSupported, OutlastError, UnknownWorkflow
from outlast.types import RunId

log = logging.getLogger("outlast.engine")


class OwnerSocket:
    """Listens for one engine."""

    def __init__(self, core: EngineCore, database: Path) -> None:
        self._core = core
        self._path = socket_path(database)
        self._server: asyncio.Server | None = None
        self._clients: set[asyncio.StreamWriter] = set()
        self._inode: int | None = None

    async def open(self) -> None:
        """Listen. An engine that cannot still runs; commands then cannot reach it, and say so."""
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            # We own the database, so whoever left a socket here is dead.
            self._path.unlink(missing_ok=True)
            with address_of(self._path) as address:
                listener.bind(address)
                # Nobody can connect before `listen`: there is no moment with another mode.
                self._path.chmod(0o600)
                self._inode = self._path.lstat().st_ino
                listener.listen(limits.SOCKET_CLIENTS_MAX)
            listener.setblocking(False)
            self._server = await asyncio.start_unix_server(self._serve, sock=listener)
        except (OSError, NotSupported) as error:
            listener.close()
            log.warning("no socket for commands of other processes: %s", error)

    async def close(self) -> None:
        """Stop listening and hang up."""
        if self._server is None:
            return
        self._server.close()
        self._server = None
        for client in list(self._clients):
            client.close()
        try:
            if self._path.lstat().st_ino == self._inode:
                self._path.unlink()
        except OSError:
            pass  # somebody else removed it
        await self._core.world.pass_turn()

    # ------------------------------------------------------------------------- clients
    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._clients.add(writer)
        try:
            if len(self._clients) <= limits.SOCKET_CLIENTS_MAX and _is_same_user(writer):
                await self._converse(reader, writer)
        except (OSError, asyncio.IncompleteReadError, TimeoutError):
            pass  # it went away, or was too slow
        except asyncio.CancelledError:
            pass  # the loop ends; a stream's task must not complain about that
        finally:
            self._clients.discard(writer)
            writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        is_sane = True
        reply: Reply
        while is_sane:
            try:
                async with asyncio.timeout(limits.SOCKET_SILENCE_SECONDS):
                    data = await read_frame(reader)
                request = decode_request(data)
            except OutlastError as error:
                reply, is_sane = _refusal(error), False  # what follows cannot be trusted
            else:
                reply = await self._answer(request)
            writer.write(frame(reply))
            async with asyncio.timeout(limits.SOCKET_SILENCE_SECONDS):
                await writer.drain()

    async def _answer(self, request: Request) -> Reply:
        try:
            return await self._do(request)
        except OutlastError as error:
            return _refusal(error)
        except Exception as error:
            # One request must not end the server; the client and the log get the reason.
            log.exception("a request on the owner's socket failed")
            return _refusal(error)

    async def _do(self, request: Request) -> Reply:
        core = self._core
        match request:
            case Ping():
                return Pong(process_id(), sorted(core.registry.workflows))
            case Start():
                return await self._start(request)
            case SendSignal():
                check_name("a signal's name", request.name)
                if request.dedup:
                    check_name("a dedup key", request.dedup)
                run = RunId(check_name("a run id", request.run, limits.ID_CHARS_MAX))
                if not request.allow_undeclared:
                    await check_signal_name(core.scheduler, run, request.name)
                body = signal_body(core, request.name, request.json)
                return await self._send(
                    request.run, "signal", name=request.name, body=body, dedup=request.dedup
                )
            case SendUpdate():
                return Text(await self._update(request))
            case Cancel():
                grace = request.grace_seconds
                body = b"" if grace is None else repr(grace).encode()
                return await self._send(request.run, "cancel", name=request.reason, body=body)
            case Terminate():
                return await self._send(request.run, "terminate", name=request.reason)
            case Steer(verb="retry"):
                core.check()
                await core.forks.retry(RunId(request.run))
                return Done()
            case Steer(verb=verb):
                if verb == "discard":
                    return await self._send(request.run, "resume", name=DISCARD)
                return await self._send(request.run, "pause" if verb == "pause" else "resume")
            case Fork():
                core.check()
                made = await core.forks.fork(_fork_request(request))
                return WasStarted(made, created=True, has_code=True)
            case PlanRerun():
                if request.fork is None:
                    return Planned(await core.forks.retry_plan(RunId(request.run)))
                return Planned(await core.forks.fork_plan(_fork_request(request.fork)))
            case AnswerToken():
                await self._answer_token(request)
                return Done()
            case WriteToActor():
                return Text(await self._write_to_actor(request))
            case Publish():
                value = _json(request.json)
                published = publication(core.registry, request.topic, value, dedup=request.dedup)
                await core.actors.tell(published)
                return Done()
            case Redrive():
                await core.actors.redrive(request.number)
                return Done()
            case Info():
                return Known(await core.reader.info(RunId(request.run)))
            case Why():
                return Text(await core.reader.why(RunId(request.run)))

    async def _send(
        self, run: str, kind: MessageKind, *, name: str = "", body: bytes = b"", dedup: str = ""
    ) -> Reply:
        at = self._core.world.now()
        run_id = RunId(check_name("a run id", run, limits.ID_CHARS_MAX))
        await self._core.send(
            Message(run=run_id, kind=kind, name=name, body=body, dedup=dedup, at=at)
        )
        return Done()

    async def _update(self, request: SendUpdate) -> str:
        """Return the result as JSON."""
        core = self._core
        definition = declared_update(core.registry, request.name)
        message = update_message(
            RunId(check_name("a run id", request.run, limits.ID_CHARS_MAX)),
            definition.name,
            payload_of(definition, _json(request.json)),
            check_name("an update's id", request.id),
            at=core.world.now(),
        )
        late = f"update {request.name!r} of run {request.run!r} is not done yet; it goes on"
        seconds = request.timeout_seconds or limits.HTTP_WAIT_SECONDS_MAX
        kept = await within(core.update(message), seconds, late)
        data = result_of(request.run, request.name, kept)
        return json.dumps(json_of(definition, data), ensure_ascii=False)

    async def _answer_token(self, request: AnswerToken) -> None:
        answer = AnswerRequest(
            request.token,
            _json(request.json),
            request.by,
            request.reason,
            request.digest,
            request.is_verdict,
        )
        await self._core.tokens.answer(answer)

    async def _write_to_actor(self, request: WriteToActor) -> str:
        """Return the answer as JSON, an empty text for what was only told."""
        actors = self._core.actors
        envelope = actors.envelope_of(
            request.actor,
            check_name("an actor's key", request.key, limits.ID_CHARS_MAX),
            request.handler,
            _json(request.json),
            timeout=request.timeout_seconds,
        )
        if not request.asks:
            await actors.tell(envelope)
            return ""
        returns = envelope.handler.signature.returns
        answer = returns.decode(await actors.ask(envelope))
        return json.dumps(returns.to_json(answer), ensure_ascii=False)

    async def _start(self, request: Start) -> Reply:
        definition, bound, has_code = self._work(request)
        started = await self._core.start(
            StartRequest(
                definition=definition,
                bound=bound,
                id=request.id,
                on_conflict=request.on_conflict,
                reuse=request.reuse,
                attributes=merged_attributes("{}", request.attributes),
                timeout_seconds=request.timeout_seconds,
                request=request.request,
                place=request.place,
            )
        )
        return WasStarted(started.run, started.created, has_code)

    def _work(self, request: Start) -> tuple[WorkflowDefinition, Bound, bool]:
        """Return what to run: our own code of that name, or what the sender has encoded."""
        try:
            registry = self._core.registry
            find = registry.find_workflow if request.encoded else registry.workflow_asked_for
            definition = find(request.workflow)
        except UnknownWorkflow:
            if request.encoded is None or not request.digest:
                raise
            return _foreign(request), Bound((), {}), False
        if request.encoded is not None:
            args, kwargs = definition.signature.decode(request.encoded)
            return definition, Bound(args, kwargs), True
        return definition, definition.signature.from_json(_json(request.json or b"{}")), True


def signal_body(core: EngineCore, name: str, data: bytes) -> bytes:
    """Return the payload of a signal that is given as JSON, checked where its type is known.

    Raises:
        DecodingError: it does not fit.
    """
    payload = json_payload(_json(data))
    definition = core.registry.signals.get(name)
    known = definition.adapter if definition is not None else None
    if known is None:
        return payload
    return typed_payload(known, read_payload(known, payload))


def _json(data: bytes) -> object:
    try:
        value: object = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise DecodingError("$", f"this is not JSON: {error}") from None
    return value


def _fork_request(request: Fork) -> ForkRequest:
    given = None if request.json is None else _arguments(request.json)
    run = RunId(request.run)
    return ForkRequest(run, request.at, given, request.keys, request.signals)


def _arguments(data: bytes) -> dict[str, object]:
    try:
        return msgspec.convert(_json(data), dict[str, object])
    except msgspec.ValidationError:
        raise DecodingError("$", "the input is an object of arguments by name") from None


class _SentSignature(SignatureCodec):
    """The arguments of a workflow that only the sender has code for, encoded by it."""

    def __init__(self, data: bytes, digest: bytes) -> None:
        super().__init__(_unknown)
        self._data = data
        self._digest = digest

    @override
    def encode(self, bound: Bound) -> bytes:
        return self._data

    @override
    def digest(self, bound: Bound) -> bytes:
        return self._digest


async def _unknown() -> None:
    """Stand for code that is not here."""


def _foreign(request: Start) -> WorkflowDefinition:
    return WorkflowDefinition(
        name=request.workflow,
        fn=_unknown,
        signature=_SentSignature(request.encoded or b"", request.digest),
        timeout_seconds=request.timeout_seconds,
        known_version=request.version,
    )


def _refusal(error: Exception) -> Refused:
    return Refused(encode_failure(capture(error)))


def _is_same_user(writer: asyncio.StreamWriter) -> bool:
    peer: object = writer.get_extra_info("socket")
    getsockopt = getattr(peer, "getsockopt", None)
    option: int | None = getattr(socket, "SO_PEERCRED", None)
    if option is None or getsockopt is None:
        return True  # the mode of the socket has to do
    credentials = struct.Struct("3i")
    data: bytes = getsockopt(socket.SOL_SOCKET, option, credentials.size)
    _, uid, _ = credentials.unpack(data)
    return uid in (os.geteuid(), 0)
