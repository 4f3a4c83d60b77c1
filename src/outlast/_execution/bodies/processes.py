"""Worker processes for `where="process"` steps: started as work comes, kept warm, killed alone.

A worker is a fresh interpreter (never a fork: threads and locks of the engine would be copied
half-way) at the other end of a socket pair. It runs one body at a time; `process_worker` is its
side.

Invariants:
  * a worker that dies fails the attempt it was running, and nothing else;
  * a body that is cancelled is told first; its worker is killed when it does not listen;
  * workers are in sessions of their own, so Ctrl-C reaches the engine alone, which drains; they
    end when the engine's end of their socket closes, however that happens.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace

from typing_extensions import TypeVarTuple, Unpack

from outlast import limits
from outlast._built import BUILT, WORKER_ARGUMENT, worker_environment
from outlast._codec import Bound, Failure, decode_failure
from outlast._execution.bodies.body import Body
from outlast._execution.bodies.process_code import (
    MAIN,
    WORKER_MAIN,
    main_of_this_process,
    reference_to,
)
from outlast._execution.bodies.process_frames import (
    HEADER,
    CodeReference,
    FromWorker,
    Heartbeat,
    Job,
    Raised,
    Returned,
    Setup,
    Tell,
    WasSet,
    Wrote,
    decode_from_worker,
    frame,
    length_of,
)
from outlast._execution.calls.operations import RemoteError
from outlast._registry import StepDefinition
from outlast._world import World
from outlast.errors import EngineClosed, OutcomeUnknown, RegistrationError, StepFailed

Ts = TypeVarTuple("Ts")

log = logging.getLogger("outlast.steps")

# The worker has to find outlast before it can be told anything, so its path is on its command line.
_BOOTSTRAP = (
    "import sys; sys.path[:] = sys.argv[2:]; "
    "from outlast._execution.bodies.process_worker import main; main(int(sys.argv[1]))"
)


def _command(descriptor: int) -> list[str]:
    """Return what a worker process is started with."""
    if BUILT is not None:
        return [sys.executable, WORKER_ARGUMENT, str(descriptor)]
    return [sys.executable, "-c", _BOOTSTRAP, str(descriptor), *sys.path]


class Worker:
    """One worker process, seen from the engine."""

    def __init__(self, world: World, on_gone: Callable[[Worker], None]) -> None:
        self._world = world
        self._on_gone = on_gone
        self._process: subprocess.Popen[bytes] | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._body: Body | None = None
        self._number = 0
        self._outcome: asyncio.Future[Returned | Raised] | None = None
        self._exit: asyncio.Future[int] = world.loop.create_future()
        self.is_alive = False

    async def start(self, setup: Setup) -> None:
        """Start the process.

        Raises:
            OSError: the system refuses another process.
        """
        ours, theirs = socket.socketpair()
        started: asyncio.Future[None] = self._world.loop.create_future()
        thread = threading.Thread(
            target=self._watch, args=(theirs, started), name="outlast-worker", daemon=True
        )
        thread.start()
        try:
            await started
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        reader, self._writer = await asyncio.open_connection(sock=ours)
        if self._exit.done():
            raise OSError(f"it ended immediately with {_cause(self._exit.result())}")
        self.is_alive = True
        self._writer.write(frame(setup))
        self._world.spawn(self._listen(reader), name="outlast-worker")

    def _watch(self, theirs: socket.socket, started: asyncio.Future[None]) -> None:
        """Start the process and wait for its end, on a thread of its own.

        The end of the socket is not enough: a program that the step started may hold it open.
        """
        try:
            # Nothing to read. Not /dev/null: a root with only a built executable has none.
            stdin, nothing = os.pipe()
            os.close(nothing)
            try:
                self._process = process = subprocess.Popen(
                    _command(theirs.fileno()),
                    pass_fds=[theirs.fileno()],
                    env=worker_environment(os.environ),
                    stdin=stdin,
                    start_new_session=True,
                )
            finally:
                os.close(stdin)
        except OSError as error:
            self._tell_loop(_fail, started, error)
            return
        self._tell_loop(_succeed, started)
        self._tell_loop(self._ended, process.wait())

    def _tell_loop(self, call: Callable[[Unpack[Ts]], None], *args: *Ts) -> None:
        try:
            self._world.call_soon_threadsafe(call, *args)
        except RuntimeError:
            pass  # the loop is closed: the engine was left without closing it

    # ------------------------------------------------------------------------ one body
    async def run(self, job: Job, body: Body) -> Returned | Raised:
        """Run one body; cancelling the call tells the body, and after a grace kills the worker.

        Raises:
            StepFailed, OutcomeUnknown: the worker died.
        """
        self._number = job.number
        self._body = body
        outcome: asyncio.Future[Returned | Raised] = self._world.loop.create_future()
        self._outcome = outcome
        try:
            self._send(job)
            # Shielded: a cancelled body may still end by itself.
            return await asyncio.shield(outcome)
        except asyncio.CancelledError:
            await self._stop(outcome)
            raise
        finally:
            self._body = self._outcome = None
            if outcome.done() and not outcome.cancelled():
                outcome.exception()  # looked at: asyncio must not call it lost

    async def _stop(self, outcome: asyncio.Future[Returned | Raised]) -> None:
        self.tell(cancelled=True)
        timer = self._world.call_later(limits.PROCESS_KILL_SECONDS, self.kill)
        try:
            await asyncio.wait([outcome])
        except asyncio.CancelledError:
            self.kill()
            raise
        finally:
            timer.cancel()

    def tell(self, *, cancelled: bool = False) -> None:
        """Tell the body that it is no longer awaited, or that the engine drains."""
        body = self._body
        if body is not None:
            self._send(Tell(self._number, cancelled or body.cancelled, body.shutting_down))

    def _send(self, message: Job | Tell) -> None:
        if self._writer is not None and self.is_alive:
            self._writer.write(frame(message))

    # ----------------------------------------------------------------------- listening
    async def _listen(self, reader: asyncio.StreamReader) -> None:
        try:
            while True:
                header = await reader.readexactly(HEADER.size)
                data = await reader.readexactly(length_of(header))
                await self._heard(decode_from_worker(data))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # it has ended; `_ended` says how
        except Exception as error:  # noqa: BLE001  # not our frames: something else wrote to it
            log.warning("a worker process sent an unreadable message (%r) and is killed", error)
        # A worker that cannot be heard cannot be used, whether it lives or not.
        if self.is_alive:
            self.kill()

    async def _heard(self, message: FromWorker) -> None:
        body = self._body
        match message:
            case Returned() | Raised():
                is_current = message.number == self._number and self._outcome is not None
                if is_current and self._outcome is not None and not self._outcome.done():
                    self._outcome.set_result(message)
                return
            case Heartbeat():
                if body is not None:
                    body.sink.heartbeat(message.data)
            case Wrote():
                if body is not None:
                    body.sink.write_stream(message.name, message.data)
            case WasSet():
                if body is not None:
                    body.sink.set_value(message.name, message.data)
        if body is not None:
            await body.sink.room()

    def _ended(self, code: int) -> None:
        self.is_alive = False
        if self._writer is not None:
            self._writer.close()
        if self._outcome is not None and not self._outcome.done():
            self._outcome.set_exception(self._death(code))
        if not self._exit.done():
            self._exit.set_result(code)
        self._on_gone(self)

    def _death(self, code: int) -> Exception:
        body = self._body
        if body is not None and body.definition.once == "at_most":
            return OutcomeUnknown(body.definition.name, body.key)
        return StepFailed("WorkerDied", f"the worker process ended with {_cause(code)}")

    # -------------------------------------------------------------------------- ending
    def kill(self) -> None:
        """End the process now, and what it started."""
        self.is_alive = False
        process = self._process
        if process is None or process.poll() is not None:
            return
        try:
            os.killpg(process.pid, signal.SIGKILL)  # it leads its session, so this is its group
        except (ProcessLookupError, PermissionError):
            process.kill()

    def dismiss(self) -> None:
        """Hang up: a worker ends when its socket does."""
        self.is_alive = False
        if self._writer is not None:
            self._writer.close()

    async def gone(self) -> None:
        """Return when the process has ended; one that does not end by itself is killed."""
        timer = self._world.call_later(limits.PROCESS_KILL_SECONDS, self.kill)
        try:
            if self._process is not None:
                await asyncio.shield(self._exit)
        finally:
            timer.cancel()


class ProcessPool:
    """The worker processes of one engine."""

    def __init__(
        self,
        world: World,
        resources: Mapping[type[object], Callable[[], object]],
        *,
        workers_max: int | None = None,
    ) -> None:
        self._world = world
        self._resources = resources
        self._workers_max = workers_max or max(1, os.cpu_count() or 1)
        self._workers: list[Worker] = []
        self._idle: list[Worker] = []
        self._waiting: deque[asyncio.Future[Worker]] = deque()
        self._starting = 0
        self._last_number = 0
        self._is_closed = False

    async def run(self, body: Body, began: Callable[[Body], None]) -> object:
        """Run a body in a worker, waiting for a free one; `began` is called when it has one.

        Raises:
            RegistrationError: a worker could not find the step by its name.
            RemoteError: what the step raised.
            StepFailed, OutcomeUnknown: the worker died.
        """
        code = _code_of(body.definition)
        worker = await self._take()
        try:
            began(body)
            outcome = await worker.run(self._job(body, code), body)
            if isinstance(outcome, Raised) and outcome.is_spoilt:
                worker.dismiss()
        finally:
            self._give(worker)
        if isinstance(outcome, Returned):
            return body.definition.signature.returns.decode(outcome.value)
        failure = _as_in_parent(decode_failure(outcome.failure))
        raise RemoteError(failure, frozenset(outcome.classes))

    def shut_down(self) -> None:
        """Let the bodies know that the engine drains."""
        for worker in self._workers:
            worker.tell()

    async def close(self) -> None:
        """End all workers."""
        self._is_closed = True
        for future in self._waiting:
            if not future.done():
                future.set_exception(EngineClosed("the engine is closed"))
        workers = list(self._workers)
        for worker in workers:
            worker.dismiss()
        for worker in workers:
            await worker.gone()

    # -------------------------------------------------------------------- free workers
    async def _take(self) -> Worker:
        while True:
            worker = self._idle.pop() if self._idle else await self._next_free()
            if worker.is_alive:
                return worker

    async def _next_free(self) -> Worker:
        future: asyncio.Future[Worker] = self._world.loop.create_future()
        self._waiting.append(future)
        self._start_more()
        try:
            return await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled() and future.exception() is None:
                self._give(future.result())
            raise

    def _give(self, worker: Worker) -> None:
        if not worker.is_alive:
            self._start_more()
            return
        while self._waiting:
            future = self._waiting.popleft()
            if not future.done():
                future.set_result(worker)
                return
        self._idle.append(worker)

    def _start_more(self) -> None:
        """Start a worker when work waits for one, one at a time."""
        is_wanted = any(not future.done() for future in self._waiting)
        if self._is_closed or self._starting or not is_wanted:
            return
        if len(self._workers) < self._workers_max:
            self._starting += 1
            self._world.spawn(self._start(), name="outlast-start-worker")

    async def _start(self) -> None:
        worker = Worker(self._world, self._gone)
        try:
            await worker.start(self._setup())
        except Exception as error:  # noqa: BLE001  # whoever waits is told, whatever it was
            self._starting -= 1
            while self._waiting:
                future = self._waiting.popleft()
                if not future.done():
                    future.set_exception(
                        StepFailed("WorkerFailed", f"no worker process could be started: {error}")
                    )
                    break
            self._start_more()
            return
        self._starting -= 1
        self._workers.append(worker)
        if self._is_closed:
            worker.dismiss()
            return
        self._give(worker)
        self._start_more()

    def _gone(self, worker: Worker) -> None:
        if worker in self._workers:
            self._workers.remove(worker)
        if worker in self._idle:
            self._idle.remove(worker)
        self._start_more()

    # ------------------------------------------------------------------- what they get
    def _setup(self) -> Setup:
        main_file, main_name = main_of_this_process()
        resources: list[tuple[CodeReference, CodeReference | None]] = []
        for kind, maker in self._resources.items():
            wanted = CodeReference(kind.__module__, kind.__qualname__)
            resources.append((wanted, reference_to(maker)))
        return Setup(list(sys.path), list(sys.argv), main_file, main_name, resources)

    def _job(self, body: Body, code: CodeReference) -> Job:
        definition = body.definition
        self._last_number += 1
        deadline = body.context.deadline
        return Job(
            number=self._last_number,
            step=definition.name,
            code=code,
            arguments=definition.signature.encode(Bound(body.args, dict(body.kwargs))),
            run=body.run,
            key=body.idempotency_key,
            attempt=body.attempt,
            fence=body.fence,
            deadline=None if deadline is None else deadline.timestamp(),
            last_heartbeat=body.last_heartbeat,
        )


def _code_of(definition: StepDefinition) -> CodeReference:
    code = reference_to(definition.fn, is_step=True)
    if code is None:
        raise RegistrationError(
            f"step {definition.name!r} runs in a worker process, which finds it by importing "
            f"its module: declare it with `def` at the top of a module or program file, not "
            f"in a function, as a lambda, or in an interactive session"
        )
    return code


def _as_in_parent(failure: Failure) -> Failure:
    """Return a failure whose classes from the program's file are called as this process does."""
    return replace(
        failure,
        module=MAIN if failure.module == WORKER_MAIN else failure.module,
        cause=None if failure.cause is None else _as_in_parent(failure.cause),
        members=tuple(_as_in_parent(member) for member in failure.members),
    )


def _cause(code: int) -> str:
    if code >= 0:
        return f"exit status {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = "unknown"
    hint = ": killed from outside, or by the system when memory ran out"
    return f"signal {-code} ({name}{hint if -code == signal.SIGKILL else ''})"


def _succeed(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _fail(future: asyncio.Future[None], error: OSError) -> None:
    if not future.done():
        future.set_exception(error)
