"""`Run`: a handle on one durable run, the same outside and inside workflows.

Outside, its verbs go to the engine that made it. In a workflow they are recorded, so that replay
sees the same answers.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Generic, Literal, TypeVar, overload

import msgspec
from typing_extensions import override

from outlast import limits
from outlast._codec import Adapter, adapter_for, register_reference
from outlast._engine.open_engine import EngineCore
from outlast._engine.reading.declared import adapter_json
from outlast._engine.reading.reader import Reader
from outlast._engine.reading.records import Record
from outlast._engine.remote import ANY_SIGNAL, WAIT_STEP, ambient
from outlast._engine.scheduling.outcomes import error_of
from outlast._engine.scheduling.signal_names import check_signal_name, payload_by_name
from outlast._engine.verbs.forks import ForkRequest
from outlast._execution.bodies.context import executing_step, step_dedup
from outlast._execution.run_context import context_here, current_context, in_run
from outlast._handles.declarations import Signal, Stream, Value
from outlast._handles.steering import SteeringVerbs
from outlast._handles.streams import stream_events
from outlast._handles.updating import UpdateVerbs
from outlast._messages.payloads import ReadyPayload, json_payload, typed_payload
from outlast._registry import Registry
from outlast._store.auditing import because
from outlast._store.rows import RunRow
from outlast._wording.durations import seconds_of, text_of
from outlast._wording.names import check_name, check_text
from outlast._world import within
from outlast.errors import (
    CallCycle,
    DecodingError,
    EncodingError,
    NotInRun,
    NotSupported,
    StoreReadOnly,
    UsageError,
)
from outlast.types import (
    CLOSED_STATUSES,
    Duration,
    ForkKeys,
    ForkSignals,
    RunId,
    RunInfo,
    StreamEvent,
)

R_co = TypeVar("R_co", covariant=True)
R = TypeVar("R")
T = TypeVar("T")


class Run(UpdateVerbs, SteeringVerbs, Generic[R_co]):
    """A handle on a run. Making one looks nothing up: an unknown id fails at the first await."""

    __slots__ = ("_core", "_created", "_id", "_known_reader", "_returns")

    def __init__(
        self,
        run_id: str,
        *,
        core: EngineCore | None = None,
        reader: Reader | None = None,
        returns: Adapter | None = None,
        created: bool = False,
    ) -> None:
        self._id = RunId(check_name("a run id", run_id, limits.ID_CHARS_MAX))
        self._core = core
        self._known_reader = reader
        self._returns = returns
        self._created = created

    @property
    @override
    def id(self) -> str:
        """The run's id."""
        return self._id

    @property
    def created(self) -> bool:
        """Whether the call that gave this handle started the run, rather than attached to it."""
        return self._created

    @override
    def _engine(self) -> EngineCore:
        if in_run():
            raise NotInRun("this method of Run cannot be used in workflow code: call it in a step")
        if self._core is None and self._known_reader is not None:
            raise StoreReadOnly("the store was opened with read_only=True")
        return self._core if self._core is not None else ambient()

    def _reader(self) -> Reader:
        """Return what answers questions; a store opened for reading has no more than that."""
        if in_run():
            raise NotInRun("this method of Run cannot be used in workflow code: call it in a step")
        if self._core is None and self._known_reader is not None:
            return self._known_reader
        core = self._engine()
        core.check()
        return core.reader

    # ----------------------------------------------------------------------- its end
    async def result(
        self,
        timeout: Duration | None = None,
        parked: Literal["raise", "wait"] = "raise",
    ) -> R_co:
        """Return what the run returned, once it has.

        Raises:
            RunFailed, RunCancelled, RunTerminated, RunTimedOut: how else it ended.
            DecodingError: it has completed, and its result does not fit the type that is declared.
            RunParked: it cannot go on without a person (unless `parked="wait"`).
            ChildFailed: in a workflow, for a child of it that ended in another way.
            CallCycle: the run asks for its own result, or for that of a run that waits for it.
            WaitTimeout: it took longer than `timeout`; the run goes on.
            RunNotFound: there is no such run.
        """
        if parked not in ("raise", "wait"):
            raise UsageError(f"parked is 'raise' or 'wait', not {parked!r}")
        if self._id == _executing_run():
            raise CallCycle((self._id,), self._id)
        if timeout is None:
            value = await self._result(parked)
        else:
            seconds = seconds_of(timeout)
            message = f"run {self._id!r} did not end within {text_of(seconds)}; it is still running"
            value = await within(self._result(parked), seconds, message)
        return value  # type: ignore[return-value]  # decoded by the workflow's declared result

    async def _result(self, parked: Literal["raise", "wait"]) -> object:
        if in_run():
            return await self._result_in_run()
        reader = self._known_reader
        if self._core is None and reader is not None:
            row = await reader.closed(self._id, parked_counts=parked == "raise")
        else:
            row = await self._engine().closed(self._id, parked_counts=parked == "raise")
        return self._value_of(row)

    async def _result_in_run(self) -> object:
        run = current_context()
        child = run.children.find(self._id)
        if child is not None:
            return await run.children.wait(child)
        answer = await run.step(WAIT_STEP, (self._id,))
        row = _closed_row(self._id, answer)
        error = error_of(row)
        if error is not None:
            raise error
        what, adapter = f"the result of run {self._id!r}", self._adapter_of(row)
        return await run.read(what, lambda: adapter.decode(_data_of(row)))

    def _value_of(self, row: RunRow) -> object:
        if row.kind == "actor":
            raise UsageError(
                f"{self._id} is an actor and has no result: send it a message with ask()"
            )
        error = error_of(row)
        if error is not None:
            raise error
        try:
            return self._adapter_of(row).decode(_data_of(row))
        except DecodingError as unfit:
            # It has completed: an error that says it failed would be compensated for.
            why = f"{unfit.reason} (the recorded result of run {self._id!r}, which has completed)"
            raise DecodingError(unfit.path, why) from unfit

    def _adapter_of(self, row: RunRow) -> Adapter:
        return self._returns or self._declared(row.workflow)

    def _declared(self, workflow: str) -> Adapter:
        registry = self._known_reader.registry if self._known_reader else self._registry()
        definition = registry.workflows.get(workflow)
        return definition.signature.returns if definition is not None else _ANY

    @override
    def _registry(self) -> Registry:
        if in_run():
            return current_context().registry
        return (self._core if self._core is not None else ambient()).registry

    async def info(self) -> RunInfo:
        """Return what the store knows of the run."""
        return await self._reader().info(self._id)

    async def why(self) -> str:
        """Return in one line what the run is waiting for, or how it ended."""
        return await self._reader().why(self._id)

    # ------------------------------------------------------------------ talking to it
    @overload
    async def signal(self, name: Signal[T], value: T, *, dedup: str | None = None) -> None: ...
    @overload
    async def signal(
        self,
        name: str,
        value: object = None,
        *,
        dedup: str | None = None,
        allow_undeclared: bool = False,
    ) -> None: ...
    async def signal(
        self,
        name: Signal[T] | str,
        value: object = None,
        *,
        dedup: str | None = None,
        allow_undeclared: bool = False,
    ) -> None:
        """Send a signal; returns when it is stored.

        With `dedup`, sending again under the same key is acknowledged and not delivered twice.
        A plain name must be declared by a `Signal` in the program that has the run's workflow;
        `allow_undeclared=True` sends it all the same, and it waits until code receives that name.

        Raises:
            UnknownSignal: no signal of this name is declared; nothing was sent.
            EncodingError, DecodingError: the value does not fit the signal's type.
            RunNotFound, RunClosed, MailboxFull: nothing was sent.
            SignalConflict: the dedup key was used with another payload.
        """
        if dedup is not None:
            check_name("a dedup key", dedup)
        text = name.name if isinstance(name, Signal) else check_name("a signal's name", name)
        if in_run():
            body = typed_payload(name.adapter, value) if isinstance(name, Signal) else None
            kind = "signal" if isinstance(name, Signal) or not allow_undeclared else ANY_SIGNAL
            await self._send_in_run(kind, text, body or json_payload(value), dedup or "")
            return
        core = self._engine()
        if isinstance(name, str) and not allow_undeclared:
            core.check()
            await check_signal_name(core.scheduler, self._id, text)
        body = signal_payload(core, name, value)
        # A step may run again: what it sends without a key of its own goes under the step's.
        await self._send(core, "signal", text, body, dedup or step_dedup() or "")

    @overload
    async def read(self, name: Value[T]) -> T | None: ...
    @overload
    async def read(self, name: str) -> object: ...
    async def read(self, name: Value[T] | str) -> object:
        """Return the last value set under `name`, None when none was."""
        reader = self._reader()
        text = name.name if isinstance(name, Value) else check_name("a value's name", name)
        data = await reader.value(self._id, text)
        if data is None:
            return None
        if isinstance(name, Value):
            return name.adapter.decode(data)
        return adapter_json(reader.registry, "value", text, data)

    @overload
    def stream(self, name: Stream[T], offset: int = 0) -> AsyncIterator[StreamEvent[T]]: ...
    @overload
    def stream(self, name: str, offset: int = 0) -> AsyncIterator[StreamEvent[object]]: ...
    async def stream(
        self, name: Stream[T] | str, offset: int = 0
    ) -> AsyncIterator[StreamEvent[T] | StreamEvent[object]]:
        """Iterate over a stream from `offset`, live, until its `end` event.

        No value is shown twice or left out; a `retract` event takes back all that its writer wrote.
        A stream that the run never writes has only its end: see `stream_names`.
        """
        async for event in stream_events(self._reader(), self._id, name, offset):
            yield event

    async def stream_names(self, *, declared: bool = True) -> tuple[str, ...]:
        """Return the names of its streams: written ones, and those that its code here declares.

        With `declared=False` only those that it has written.
        """
        return await self._reader().stream_names(self._id, declared=declared)

    async def journal(self, after: int = 0) -> AsyncIterator[Record]:
        """Iterate over the run's records with a `seq` above `after`."""
        for record in await self._reader().journal(self._id, after):
            yield record

    async def fork(
        self,
        at: int | str,
        input: Mapping[str, object] | None = None,
        version: str | None = None,
        keys: ForkKeys = "same",
        signals: ForkSignals = "leave",
        *,
        reason: str = "",
    ) -> Run[R_co]:
        """Start a new run from a point in this run's history, and return it; this run is unchanged.

        `at` is a `seq`, a step's key, or its name where that is unique: what was recorded before is
        copied, and the new run goes on from there. `fork_plan` shows what that would run again.
        Ended children are results, others are started anew; open tokens are asked anew. The
        attribute `forked_from` of the new run names this one.

        Args:
            input: replaces the arguments.
            keys: "same": steps that run again have this run's idempotency keys
                (`this_step().key`), so that the outside world recognises what it did before.
                "new": they have keys of their own and their effects happen again; what workflow
                code draws by chance is new from there on, too. A key that a tool's own function
                makes of its arguments (`effect(idempotent=...)`) is the same in both.
            signals: "leave": signals that this run was sent behind the point stay with it. "copy":
                the new run gets them too.
            reason: kept in the audit with who asked for it.

        Raises:
            RunNotFound; UsageError: there is no such point.
            DecodingError, EncodingError: `input` does not fit.
        """
        if version is not None:
            raise NotSupported("fork(version=)")
        because(check_text("the reason", reason))
        core = self._engine()
        core.check()
        made = await core.forks.fork(ForkRequest(RunId(self._id), at, input, keys, signals))
        return Run(made, core=core, returns=self._returns, created=True)

    def __repr__(self) -> str:
        return f"Run({self._id!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Run) and other._id == self._id

    def __hash__(self) -> int:
        return hash(self._id)


def _executing_run() -> str:
    """Return the run whose workflow code or step is executing here, "" when there is none."""
    run = context_here()
    if run is not None:
        return run.id
    step = executing_step.get()
    return "" if step is None else step.context.run_id


def _closed_row(run: RunId, answer: object) -> RunRow:
    """Return what `WAIT_STEP` tells of a run's end as a row."""
    parts = msgspec.convert(answer, tuple[str, str, bytes, str])
    workflow, status, outcome, reason = parts
    known = next((s for s in CLOSED_STATUSES if s == status), "failed")
    return msgspec.structs.replace(
        _CLOSED, id=run, workflow=workflow, output=outcome, error=reason, status=known
    )


def signal_payload(core: EngineCore, name: Signal[T] | str, value: object) -> bytes:
    """Return a signal's payload, checked against the type where it is known.

    Raises:
        EncodingError, DecodingError: `value` does not fit.
    """
    if isinstance(name, Signal):
        return typed_payload(name.adapter, value)
    if isinstance(value, ReadyPayload):
        return value.data
    return payload_by_name(core.registry, name, value)


_ANY = adapter_for(object)
_CLOSED = RunRow(id=RunId("x"), shard=0, workflow="", version="", status="completed", created_at=0)


def _to_data(value: object) -> object:
    if not isinstance(value, Run):
        raise EncodingError("$", f"expected a Run, got {type(value).__name__}")
    return value.id


def _from_data(data: object) -> object:
    if not isinstance(data, str):
        raise DecodingError("$", "expected the id of a run")
    handle: Run[object] = Run(data)
    return handle


register_reference(Run, _to_data, _from_data)


def _data_of(row: RunRow) -> bytes:
    return (row.output or b"\x00")[1:]
