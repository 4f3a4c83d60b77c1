"""`Client` and `RemoteRun`: an engine's verbs, done by a server."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from types import TracebackType
from typing import Generic, Literal, TypeVar, overload

import msgspec
from typing_extensions import override

from outlast import errors, limits
from outlast._authoring.workflow import Workflow
from outlast._codec import Adapter, adapter_for
from outlast._engine.reading.records import Record
from outlast._handles.call import Call, WorkflowCall
from outlast._handles.declarations import Signal, Stream, Value
from outlast._wording.durations import seconds_of, text_of
from outlast._wording.names import check_name
from outlast.client.actors import ActorVerbs
from outlast.client.asking import PATIENCE, Patience, json_body, quoted
from outlast.client.connection import Connections, Reply, ServerEvent
from outlast.client.inbox import InboxVerbs
from outlast.client.journals import records_of
from outlast.client.looking import LookingVerbs
from outlast.client.refusals import AWAY, error_of
from outlast.client.updating import AskedRun
from outlast.errors import (
    RunCancelled,
    RunFailed,
    RunParked,
    RunTerminated,
    RunTimedOut,
    UsageError,
    WaitTimeout,
)
from outlast.types import (
    Duration,
    ForkKeys,
    ForkSignals,
    OnConflict,
    Reuse,
    RunInfo,
    Status,
    StreamEvent,
)

R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
T = TypeVar("T")
Scalar = str | int | float | bool
_ANY = adapter_for(object)


class _Created(msgspec.Struct):
    id: str
    created: bool = True


class _Ended(msgspec.Struct):
    status: Status
    result: object = None
    error: dict[str, str] = {}
    why: str = ""


class _Streams(msgspec.Struct):
    streams: tuple[str, ...] = ()
    declared_streams: tuple[str, ...] = ()


class _Data(msgspec.Struct):
    offset: int = 0
    writer: str = ""
    values: list[object] = []


class Client(InboxVerbs, LookingVerbs, ActorVerbs):
    """Speaks to one server. Verbs raise what an engine's raise, and `StoreUnavailable` when the
    server cannot be reached. After its `async with` block they raise `EngineClosed`.

    Args:
        url: `http://127.0.0.1:8787`; https where the server is reached through TLS. Or the path
            of a database here: the engine that owns it is reached over the Unix socket beside it.
        token: what the server asks for; without it `OUTLAST_TOKEN`.
        timeout: how long an answer may take, beside what a verb waits for.
        ca_file: a PEM file with the certificates that the server's is checked against, instead
            of the system's: that of a private authority, or the server's own if it signed itself.
            Without it `OUTLAST_CA_FILE`.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        timeout: Duration = "30s",
        ca_file: str | os.PathLike[str] | None = None,
    ) -> None:
        known = token if token is not None else os.environ.get("OUTLAST_TOKEN", "")
        if ca_file is not None and not url.startswith("https:"):
            raise UsageError(f"ca_file applies only to https servers, and {url!r} is not one")
        trusted = ca_file or os.environ.get("OUTLAST_CA_FILE") or None
        self._connections = Connections(
            url,
            known,
            timeout_seconds=seconds_of(timeout),
            ca_file=None if trusted is None else os.fspath(trusted),
        )

    async def __aenter__(self) -> Client:
        self._connections.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._connections.close()

    @property
    def url(self) -> str:
        """The server's."""
        return self._connections.url

    @property
    @override
    def is_local(self) -> bool:
        return self._connections.is_local

    @override
    async def ask(
        self, method: Literal["GET", "POST"], path: str, body: object = None, *, wait: float = 0.0
    ) -> object:
        return msgspec.json.decode((await self._reply(method, path, body, wait=wait)).body)

    async def _reply(
        self, method: Literal["GET", "POST"], path: str, body: object = None, *, wait: float = 0.0
    ) -> Reply:
        data = b"" if method == "GET" else json_body({} if body is None else body)
        patience = Patience()
        while True:
            reply = await self._connections.request(method, path, data, wait_seconds=wait)
            if reply.status < 400:
                return reply
            error = error_of(reply.status, reply.body)
            if not (isinstance(error, errors.ServerRefused) and error.kind == "overloaded"):
                raise error
            await patience.wait(error)  # nothing was done: it is safe to ask again

    # ------------------------------------------------------------------------ starting
    @overload
    async def start(
        self,
        call: Call[R],
        *,
        id: str | None = None,
        on_conflict: OnConflict = "attach",
        reuse: Reuse = "if_failed",
        attributes: Mapping[str, Scalar] | None = None,
        delay: Duration | None = None,
        timeout: Duration | None = None,
    ) -> RemoteRun[R]: ...
    @overload
    async def start(
        self,
        call: str,
        input: Mapping[str, object] | None = None,
        *,
        id: str | None = None,
        on_conflict: OnConflict = "attach",
        reuse: Reuse = "if_failed",
        attributes: Mapping[str, Scalar] | None = None,
        delay: Duration | None = None,
        timeout: Duration | None = None,
    ) -> RemoteRun[object]: ...
    async def start(
        self,
        call: Call[R] | str,
        input: Mapping[str, object] | None = None,
        *,
        id: str | None = None,
        on_conflict: OnConflict = "attach",
        reuse: Reuse = "if_failed",
        attributes: Mapping[str, Scalar] | None = None,
        delay: Duration | None = None,
        timeout: Duration | None = None,
    ) -> RemoteRun[R] | RemoteRun[object]:
        """Start a run, or attach to the one that has this id: a workflow's call, or its name and
        its input as JSON data. See `Engine.start`.

        Raises:
            RunExists, IdempotencyMismatch, UnknownWorkflow, DecodingError
        """
        return await self._start(
            call,
            input,
            id=id,
            on_conflict=on_conflict,
            reuse=reuse,
            attributes=attributes,
            delay=delay,
            timeout=timeout,
        )

    async def _start(
        self,
        call: Call[R] | str,
        input: Mapping[str, object] | None,
        *,
        id: str | None,
        on_conflict: OnConflict,
        reuse: Reuse,
        attributes: Mapping[str, Scalar] | None,
        delay: Duration | None,
        timeout: Duration | None,
    ) -> RemoteRun[R]:
        returns: Adapter | None = None
        if isinstance(call, str):
            if input is not None and not isinstance(input, Mapping):
                raise UsageError(
                    f"the input is a mapping of the workflow's parameters, not {input!r:.100}"
                )
            name, arguments = call, dict(input or {})
        elif isinstance(call, WorkflowCall):
            call.use()
            signature = call.definition.signature
            name, arguments = call.definition.name, signature.to_json(signature.encode(call.bound))
            returns = signature.returns
        else:
            raise UsageError(f"a client starts calls of workflows, or names; got {call!r}")
        if id is not None:
            check_name("a run id", id, limits.ID_CHARS_MAX)
        body = {
            "input": arguments,
            "id": id,
            "on_conflict": on_conflict,
            "reuse": reuse,
            "attributes": dict(attributes or {}),
            "delay": None if delay is None else seconds_of(delay),
            "timeout": None if timeout is None else seconds_of(timeout),
        }
        reply = await self._reply("POST", f"/v1/workflows/{quoted(name)}/runs", body)
        made = msgspec.json.decode(reply.body, type=_Created)
        run: RemoteRun[R] = RemoteRun(self, made.id, returns=returns, created=made.created)
        return run

    @overload
    async def run(
        self,
        call: Call[R],
        *,
        id: str | None = None,
        on_conflict: OnConflict = "attach",
        reuse: Reuse = "if_failed",
        attributes: Mapping[str, Scalar] | None = None,
        timeout: Duration | None = None,
    ) -> R: ...
    @overload
    async def run(
        self,
        call: str,
        input: Mapping[str, object] | None = None,
        *,
        id: str | None = None,
        on_conflict: OnConflict = "attach",
        reuse: Reuse = "if_failed",
        attributes: Mapping[str, Scalar] | None = None,
        timeout: Duration | None = None,
    ) -> object: ...
    async def run(
        self,
        call: Call[R] | str,
        input: Mapping[str, object] | None = None,
        *,
        id: str | None = None,
        on_conflict: OnConflict = "attach",
        reuse: Reuse = "if_failed",
        attributes: Mapping[str, Scalar] | None = None,
        timeout: Duration | None = None,
    ) -> R | object:
        """Start a run and return its result; see `start` and `RemoteRun.result`."""
        started = await self._start(
            call,
            input,
            id=id,
            on_conflict=on_conflict,
            reuse=reuse,
            attributes=attributes,
            delay=None,
            timeout=timeout,
        )
        return await started.result()

    # ------------------------------------------------------------------------- looking
    @overload
    def get(self, run_id: str) -> RemoteRun[object]: ...
    @overload
    def get(self, run_id: str, workflow: Workflow[..., R]) -> RemoteRun[R]: ...
    def get(
        self, run_id: str, workflow: Workflow[..., R] | None = None
    ) -> RemoteRun[R] | RemoteRun[object]:
        """Return a handle on a run; looks nothing up, an unknown id fails at the first await."""
        returns = None if workflow is None else workflow.definition.signature.returns
        run: RemoteRun[R] = RemoteRun(self, run_id, returns=returns)
        return run

    async def runs(self, query: str = "") -> AsyncIterator[RunInfo]:
        """Iterate over runs, newest first; see `Engine.runs`."""
        async for info in self.items("/v1/runs", "runs", RunInfo, query=query):
            yield info

    async def events(self, path: str) -> AsyncGenerator[ServerEvent, None]:
        """Iterate over server-sent events, reconnecting where they were left off; see `ask`."""
        last_id, patience = "", Patience()
        while True:
            try:
                async with aclosing(self._connections.events(path, last_id)) as events:
                    async for event in events:
                        if isinstance(event, Reply):
                            if event.status == 204:
                                return
                            raise error_of(event.status, event.body)
                        patience.renew()
                        last_id = event.id or last_id
                        yield event
                        if event.kind == "end":
                            return
            except AWAY as error:
                await patience.wait(error)
            else:
                await patience.wait(None)


class RemoteRun(AskedRun, Generic[R_co]):
    """A run on a server: the verbs of `Run`."""

    __slots__ = ("_client", "_created", "_returns")

    def __init__(
        self, client: Client, run_id: str, *, returns: Adapter | None = None, created: bool = False
    ) -> None:
        super().__init__(client, run_id)
        self._client = client
        self._returns = returns
        self._created = created

    @property
    def created(self) -> bool:
        """Whether the call that gave this handle started the run."""
        return self._created

    @override
    def __repr__(self) -> str:
        return f"RemoteRun({self._id!r})"

    async def info(self) -> RunInfo:
        """Return what the store knows of the run."""
        return msgspec.convert(await self._client.ask("GET", self._path), RunInfo)

    async def why(self) -> str:
        """Return in one line what the run is waiting for, or how it ended."""
        found = msgspec.convert(await self._client.ask("GET", f"{self._path}/why"), dict[str, str])
        return found["why"]

    async def result(
        self, timeout: Duration | None = None, parked: Literal["raise", "wait"] = "raise"
    ) -> R_co:
        """Return what the run returned, once it has; see `Run.result`.

        A server that is away meanwhile is waited for, up to a minute.
        """
        if timeout is None:
            return await self._result(parked)
        message = (
            f"run {self._id!r} did not end within {text_of(seconds_of(timeout))}; it is still "
            "running"
        )
        try:
            async with asyncio.timeout(seconds_of(timeout)):
                return await self._result(parked)
        except TimeoutError:
            raise WaitTimeout(message) from None

    async def _result(self, parked: Literal["raise", "wait"]) -> R_co:
        patience = Patience()
        path = f"{self._path}/result?timeout={PATIENCE:g}&parked={parked}"
        while True:
            try:
                found = await self._client.ask("GET", path, wait=PATIENCE)
            except AWAY as error:
                await patience.wait(error)
                continue
            ended = msgspec.convert(found, _Ended)
            if ended.status == "parked" and parked == "raise":
                raise RunParked(self._id, ended.why)
            if ended.status == "completed":
                returns = self._returns or _ANY
                return returns.from_json(ended.result)  # type: ignore[return-value]  # as declared
            if ended.error:
                raise self._error(ended)
            await patience.wait(None)  # it waited for us, or it drains and soon is away
            patience.renew()

    def _error(self, ended: _Ended) -> errors.RunError:
        told = ended.error
        match ended.status:
            case "cancelled":
                return RunCancelled(self._id, told.get("reason", ""))
            case "terminated":
                return RunTerminated(self._id, told.get("reason", ""))
            case "timed_out":
                return RunTimedOut(self._id, told.get("reason", ""))
            case _:
                return RunFailed(self._id, told["type"], told["message"], told.get("traceback", ""))

    async def signal(
        self,
        name: Signal[T] | str,
        value: object = None,
        *,
        dedup: str | None = None,
        allow_undeclared: bool = False,
    ) -> None:
        """Send a signal; returns when it is stored. See `Run.signal`.

        Raises:
            UnknownSignal: the server's code declares no signal of this name; nothing was sent.
        """
        text, data = name, value
        if isinstance(name, Signal):
            text = name.name
            data = name.adapter.to_json(name.adapter.decode(name.adapter.encode(value)))
        body = {"value": data, "dedup": dedup, "allow_undeclared": allow_undeclared}
        await self._client.ask("POST", f"{self._path}/signals/{quoted(f'{text}')}", body)

    async def fork(
        self,
        at: int | str,
        input: Mapping[str, object] | None = None,
        *,
        keys: ForkKeys = "same",
        signals: ForkSignals = "leave",
        reason: str = "",
    ) -> RemoteRun[R_co]:
        """Start a new run from a point in this run's history, and return it; see `Run.fork`."""
        made = await self._forked(at, input, keys, signals, reason)
        return RemoteRun(self._client, made, returns=self._returns, created=True)

    async def read(self, name: Value[T] | str) -> object:
        """Return the last value set under `name`, None when none was."""
        text = name.name if isinstance(name, Value) else name
        path = f"{self._path}/values/{quoted(text)}"
        try:
            found = msgspec.convert(await self._client.ask("GET", path), dict[str, object])
        except errors.ServerRefused as refusal:
            if refusal.kind == "value-not-found":
                return None
            raise
        data = found["value"]
        return name.adapter.from_json(data) if isinstance(name, Value) else data

    async def stream(
        self, name: Stream[T] | str, offset: int = 0
    ) -> AsyncIterator[StreamEvent[object]]:
        """Iterate over a stream from `offset`, live, until its `end` event, over reconnections."""
        text = name.name if isinstance(name, Stream) else name
        adapter = name.adapter if isinstance(name, Stream) else None
        path = f"{self._path}/streams/{quoted(text)}?offset={offset}"
        async with aclosing(self._client.events(path)) as events:
            async for event in events:
                data = msgspec.json.decode(event.data, type=_Data)
                if event.kind == "data":
                    for at, value in enumerate(data.values, start=data.offset):
                        decoded = value if adapter is None else adapter.from_json(value)
                        yield StreamEvent(at, "data", data.writer, decoded)
                elif event.kind == "retract":
                    yield StreamEvent(_behind(event) - 1, "retract", data.writer)
                elif event.kind == "end":
                    yield StreamEvent(_behind(event), "end", "")

    async def stream_names(self, *, declared: bool = True) -> tuple[str, ...]:
        """Return the names of its streams; see `Run.stream_names`."""
        found = msgspec.convert(await self._client.ask("GET", self._path), _Streams)
        return tuple(sorted({*found.streams, *(found.declared_streams if declared else ())}))

    async def journal(self, after: int = 0) -> AsyncIterator[Record]:
        """Iterate over the run's records with a `seq` above `after`."""
        async for record in records_of(self._client.ask, self._path, after):
            yield record


def _behind(event: ServerEvent) -> int:
    """Return the offset behind an event of a stream: its id ends with it."""
    return int(event.id.rpartition("-")[2].removeprefix("end."))
