"""A worker process: runs the bodies of `where="process"` steps, one at a time.

The main thread runs the bodies; another thread hears the engine, so that a step learns that nobody
waits for it any more. The worker ends when its socket does: with the engine, however that ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import os
import queue
import socket
import sys
import threading
from collections.abc import Awaitable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

from typing_extensions import override

from outlast._codec import capture, encode_failure, home_of
from outlast._execution.bodies.context import (
    Resources,
    StepContext,
    StepFacts,
    StepSink,
    executing_step,
)
from outlast._execution.bodies.held import Open
from outlast._execution.bodies.process_code import load
from outlast._execution.bodies.process_frames import (
    HEADER,
    FromWorker,
    Heartbeat,
    Job,
    Raised,
    Returned,
    Setup,
    Tell,
    ToWorker,
    WasSet,
    Wrote,
    decode_to_worker,
    frame,
    length_of,
)
from outlast._execution.calls.operations import related_errors
from outlast._registry import StepDefinition, default_registry
from outlast.errors import RegistrationError, UsageError

T = TypeVar("T")


class _Channel:
    """The socket to the engine: any thread of a step may send."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._guard = threading.Lock()

    def send(self, message: FromWorker) -> None:
        data = frame(message)
        # The engine reads no faster than its journal writes: a full socket is the backpressure.
        with self._guard:
            self._socket.sendall(data)

    def receive(self) -> ToWorker | None:
        header = self._exactly(HEADER.size)
        body = self._exactly(length_of(header)) if header else b""
        return decode_to_worker(body) if body else None

    def _exactly(self, count: int) -> bytes:
        parts = bytearray()
        while len(parts) < count:
            part = self._socket.recv(count - len(parts))
            if not part:
                return b""
            parts += part
        return bytes(parts)


class _Sink(StepSink):
    """Messages of a step, on their way to the engine; sending blocks when it cannot keep up."""

    def __init__(self, channel: _Channel) -> None:
        self._channel = channel

    @override
    def heartbeat(self, data: bytes) -> None:
        self._channel.send(Heartbeat(data))

    @override
    def write_stream(self, name: str, data: bytes) -> None:
        self._channel.send(Wrote(name, data))

    @override
    def set_value(self, name: str, data: bytes) -> None:
        self._channel.send(WasSet(name, data))

    @override
    async def room(self) -> None:
        """Return at once: sending has waited already."""

    @override
    def wait_for_room(self) -> None:
        """Return at once: sending has waited already."""


class _Makers(Resources):
    """Resources of this process, made by the makers that the engine was opened with."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._made: dict[type[object], object] = {}

    @override
    def get(self, kind: type[T]) -> T:
        made = self._made.get(kind)
        if made is None:
            made = self._made[kind] = self._make(kind)
        if not isinstance(made, kind):
            raise UsageError(
                f"the factory for {kind.__name__} returned a {type(made).__name__} instead"
            )
        return made

    @override
    async def opened(self, owner: str, key: str, opened: Open[T]) -> T:
        raise UsageError("opened() works only in async steps that run on the event loop")

    def _make(self, kind: type[object]) -> object:
        names: list[str] = []
        for wanted, maker in self._setup.resources:
            names.append(wanted.qualname)
            if (wanted.module, wanted.qualname) != (_parents_name(kind), kind.__qualname__):
                continue
            found = load(maker, self._setup) if maker is not None else None
            if not callable(found):
                raise UsageError(
                    f"the factory of resource {kind.__name__} cannot be found in a worker process: "
                    f"make it a function at module level, not a lambda or an inner function"
                )
            return found()
        raise UsageError(
            f"no resource of type {kind.__name__} is configured "
            f"(there are: {', '.join(sorted(names)) or 'none'}); "
            f"pass resources={{{kind.__name__}: make}} to Engine.open"
        )


@dataclass(slots=True)
class _AtWork:
    """A job, as the step that runs sees it, and as the engine's messages change it."""

    number: int
    cancelled: bool = False
    shutting_down: bool = False
    only_waits: bool = False
    made: StepContext | None = None
    task: tuple[asyncio.AbstractEventLoop, asyncio.Task[object]] | None = None

    @property
    def context(self) -> StepContext:
        """What `this_step()` gives."""
        if self.made is None:
            raise UsageError("the step has not started")
        return self.made


class Worker:
    """Takes jobs until the engine goes."""

    def __init__(self, connection: socket.socket) -> None:
        self._channel = _Channel(connection)
        self._jobs: queue.SimpleQueue[tuple[Job, _AtWork]] = queue.SimpleQueue()
        self._setup = Setup([], [], "", "", [])
        self._resources: Resources = _Makers(self._setup)
        self._guard = threading.Lock()
        self._at_work = _AtWork(0)
        self._is_spoilt = False  # see `Raised`

    def run(self) -> None:
        """Work; returns never, the process ends when the engine closes its end."""
        threading.Thread(target=self._listen, name="outlast-engine", daemon=True).start()
        while True:
            job, at_work = self._jobs.get()
            self._channel.send(self._outcome_of(job, at_work))

    # ------------------------------------------------------------------- listening
    def _listen(self) -> None:
        with contextlib.suppress(OSError):
            while (message := self._channel.receive()) is not None:
                self._heard(message)
        # Nobody is there to take an outcome; the engine starts the step again elsewhere.
        _flush()
        os._exit(0)

    def _heard(self, message: ToWorker) -> None:
        match message:
            case Setup():
                sys.path[:] = message.path
                sys.argv[:] = message.argv
                self._setup = message
                self._resources = _Makers(message)
            case Job():
                self._at_work = _AtWork(message.number)
                self._jobs.put((message, self._at_work))
            case Tell():
                self._told(message, self._at_work)

    def _told(self, message: Tell, at_work: _AtWork) -> None:
        if message.number != at_work.number:
            return  # it came after the end
        at_work.shutting_down = message.shutting_down
        with self._guard:
            at_work.cancelled = message.cancelled
            if message.cancelled and at_work.task is not None:
                loop, task = at_work.task
                loop.call_soon_threadsafe(task.cancel)

    # --------------------------------------------------------------------- working
    def _outcome_of(self, job: Job, at_work: _AtWork) -> Returned | Raised:
        try:
            definition = self._find(job)
            value = self._call(job, definition, at_work)
            outcome: Returned | Raised = Returned(
                job.number, definition.signature.returns.encode(value)
            )
        except BaseException as error:  # noqa: BLE001  # any exception of a body is its outcome
            kinds = {kind for one in related_errors(error) for kind in type(one).__mro__}
            classes = [(_parents_name(kind), kind.__qualname__) for kind in kinds]
            failure = encode_failure(capture(error))
            outcome = Raised(job.number, failure, classes, self._is_spoilt)
        _flush()
        return outcome

    def _find(self, job: Job) -> StepDefinition:
        """Return the step: its module registers it when it is imported.

        Raises:
            RegistrationError: it does not.
        """
        if job.step not in default_registry.steps:
            self._is_spoilt = True
            load(job.code, self._setup)
            self._is_spoilt = False
        definition = default_registry.steps.get(job.step)
        if definition is None or definition.fn.__qualname__ != job.code.qualname:
            raise RegistrationError(
                f"a worker process imported {job.code.module} and found no step {job.step!r} "
                f"in it: a process step must be declared at module level"
            )
        return definition

    def _call(self, job: Job, definition: StepDefinition, at_work: _AtWork) -> object:
        args, kwargs = definition.signature.decode(job.arguments)
        ends = None if job.deadline is None else datetime.fromtimestamp(job.deadline, UTC)
        at_work.made = StepContext(
            StepFacts(
                run_id=job.run,
                key=job.key,
                attempt=job.attempt,
                fence=job.fence,
                deadline=ends,
                last_heartbeat=job.last_heartbeat,
                blocks=True,
            ),
            sink=_Sink(self._channel),
            resources=self._resources,
            state=at_work,
        )
        token = executing_step.set(at_work)
        try:
            result = definition.fn(*args, **kwargs)
            if inspect.isawaitable(result):
                return asyncio.run(self._awaited(result, at_work))
            return result
        finally:
            executing_step.reset(token)

    async def _awaited(self, result: Awaitable[object], at_work: _AtWork) -> object:
        task = asyncio.current_task()
        with self._guard:
            if task is not None:
                at_work.task = asyncio.get_running_loop(), task
                if at_work.cancelled:
                    task.cancel()
        try:
            return await result
        finally:
            with self._guard:
                at_work.task = None


def _parents_name(cls: type) -> str:
    """Return the module of a class as the engine's process calls it."""
    return home_of(cls.__module__)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()


def main(descriptor: int) -> None:
    """Work for the engine at the other end of this socket."""
    connection = socket.socket(fileno=descriptor)
    # Programs that a step starts must not keep the socket open when this process is gone.
    connection.set_inheritable(False)
    connection.setblocking(True)
    Worker(connection).run()


if __name__ == "__main__":
    main(int(sys.argv[1]))
