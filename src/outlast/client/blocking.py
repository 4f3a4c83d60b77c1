"""`SyncClient`: a client for programs without an event loop: Django, Flask, scripts.

It is a face of `Client`, which does the work on a thread with a loop of its own.

Invariants:
  * a verb that is interrupted (Ctrl-C) is cancelled before the error goes on;
  * threads may share a client; a process that was forked gets a thread and connections of its own.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Callable,
    Coroutine,
    Iterator,
    Mapping,
)
from functools import partial
from types import TracebackType
from typing import Generic, Literal, ParamSpec, TypedDict, TypeVar, overload

from typing_extensions import override

from outlast._actors.topic import Topic
from outlast._authoring.workflow import Workflow
from outlast._engine.reading.records import Record
from outlast._handles.actor_ref import Handler
from outlast._handles.call import Call
from outlast._handles.declarations import Signal, Stream, Update
from outlast._world import process_id
from outlast.client.actors import RemoteActor
from outlast.client.remote import Client, RemoteRun
from outlast.errors import EngineClosed, UsageError
from outlast.types import (
    Duration,
    ForkKeys,
    ForkSignals,
    OnConflict,
    Reuse,
    RunInfo,
    StreamEvent,
    TokenInfo,
)

A = TypeVar("A")
B = TypeVar("B")
P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
T = TypeVar("T")
Scalar = str | int | float | bool


class _Bridge:
    """A client on a thread with an event loop, both begun when they are first needed."""

    def __init__(self, make: Callable[[], Client]) -> None:
        self._make = make
        self._guard = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._client: Client | None = None
        self._thread: threading.Thread | None = None
        self._process = 0
        self._is_closed = False

    @property
    def client(self) -> Client:
        """The client of this process."""
        return self._running()[0]

    def _running(self) -> tuple[Client, asyncio.AbstractEventLoop]:
        with self._guard:
            if self._is_closed:
                raise EngineClosed("this client is closed: create a new SyncClient")
            if self._loop is None or self._client is None or self._process != process_id():
                self._process = process_id()
                self._client = self._make()
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(
                    target=_run, args=(self._loop,), name="outlast-client", daemon=True
                )
                self._thread.start()
            return self._client, self._loop

    def wait(self, work: Coroutine[object, object, T]) -> T:
        """Run a coroutine of the client to its end, and return what it returns."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            pass
        else:
            work.close()
            raise UsageError("SyncClient blocks: in a coroutine use Client, and await its verbs")
        future = asyncio.run_coroutine_threadsafe(work, self._running()[1])
        try:
            return future.result()
        except BaseException:
            future.cancel()  # does nothing to one that has ended
            raise

    def each(self, items: AsyncIterator[T]) -> Iterator[T]:
        """Iterate over what an asynchronous iterator of the client gives."""
        try:
            while (found := self.wait(_next_of(items))) is not None:
                yield found[0]
        finally:
            if isinstance(items, AsyncGenerator):
                self.wait(items.aclose())

    def close(self) -> None:
        """Hang up and end the thread; a second call does nothing."""
        with self._guard:
            loop, client, self._loop, self._client = self._loop, self._client, None, None
            self._is_closed = True
        if loop is None or client is None or self._process != process_id():
            return
        asyncio.run_coroutine_threadsafe(client.__aexit__(None, None, None), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        if self._thread is not None:
            self._thread.join()


def _run(loop: asyncio.AbstractEventLoop) -> None:
    loop.run_forever()
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.run_until_complete(asyncio.sleep(0))  # transports that were closed let go of their sockets
    loop.close()


async def _next_of(items: AsyncIterator[T]) -> tuple[T] | None:
    try:
        return (await anext(items),)
    except StopAsyncIteration:
        return None


class SyncClient:
    """The verbs of `Client`, blocking. Threads may share one; coroutines use `Client`.

    with SyncClient("http://127.0.0.1:8787") as client:
        label = client.run(checkout("7", 999), id="order-7")

    Verbs raise what those of `Client` raise. What has no verb here is done with `wait`:
    `client.wait(client.remote.diff("a", "b"))`.

    Args:
        url: a server's, or the path of a database here; see `Client`.
        token: what the server asks for; without it `OUTLAST_TOKEN`.
        timeout: how long an answer may take, beside what a verb waits for.
        ca_file: the certificates that the server's is checked against.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        timeout: Duration = "30s",
        ca_file: str | os.PathLike[str] | None = None,
    ) -> None:
        make = partial(Client, url, token=token, timeout=timeout, ca_file=ca_file)
        make()  # wrong arguments are told here
        self._bridge = _Bridge(make)

    def __enter__(self) -> SyncClient:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Hang up; a second call does nothing."""
        self._bridge.close()

    @property
    def remote(self) -> Client:
        """The client that does the work, for `wait`."""
        return self._bridge.client

    def wait(self, work: Coroutine[object, object, T]) -> T:
        """Return what a coroutine of `remote`, or of what it gave, returns."""
        return self._bridge.wait(work)

    @overload
    def start(
        self,
        call: Call[R],
        *,
        id: str | None = None,
        on_conflict: OnConflict = "attach",
        reuse: Reuse = "if_failed",
        attributes: Mapping[str, Scalar] | None = None,
        delay: Duration | None = None,
        timeout: Duration | None = None,
    ) -> SyncRun[R]: ...
    @overload
    def start(
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
    ) -> SyncRun[object]: ...
    def start(
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
    ) -> SyncRun[R] | SyncRun[object]:
        """Start a run, or attach to the one that has this id; see `Client.start`."""
        options: _Options = {
            "id": id,
            "on_conflict": on_conflict,
            "reuse": reuse,
            "attributes": attributes,
            "delay": delay,
            "timeout": timeout,
        }
        if isinstance(call, str):
            named = self.wait(self.remote.start(call, input, **options))
            return SyncRun(self._bridge, named)
        return SyncRun(self._bridge, self.wait(self.remote.start(call, **options)))

    def run(
        self,
        call: Call[R],
        *,
        id: str | None = None,
        on_conflict: OnConflict = "attach",
        reuse: Reuse = "if_failed",
        attributes: Mapping[str, Scalar] | None = None,
        timeout: Duration | None = None,
    ) -> R:
        """Start a run and return its result; see `start` and `SyncRun.result`."""
        return self.start(
            call,
            id=id,
            on_conflict=on_conflict,
            reuse=reuse,
            attributes=attributes,
            timeout=timeout,
        ).result()

    @overload
    def get(self, run_id: str) -> SyncRun[object]: ...
    @overload
    def get(self, run_id: str, workflow: Workflow[..., R]) -> SyncRun[R]: ...
    def get(
        self, run_id: str, workflow: Workflow[..., R] | None = None
    ) -> SyncRun[R] | SyncRun[object]:
        """Return a handle on a run; looks nothing up, an unknown id fails at the first verb."""
        if workflow is None:
            return SyncRun(self._bridge, self.remote.get(run_id))
        return SyncRun(self._bridge, self.remote.get(run_id, workflow))

    def runs(self, query: str = "") -> Iterator[RunInfo]:
        """Iterate over runs, newest first; see `Engine.runs`."""
        return self._bridge.each(self.remote.runs(query))

    def count(self, query: str = "") -> int:
        """Return how many runs match a query; see `Engine.count`."""
        return self.wait(self.remote.count(query))

    def tokens(self, *, open_only: bool = True) -> Iterator[TokenInfo]:
        """Iterate over tokens and approvals, oldest first."""
        return self._bridge.each(self.remote.tokens(open_only=open_only))

    def answer(self, token_id: str, value: object, *, by: str = "", digest: str = "") -> None:
        """Answer a token; see `Client.answer`."""
        self.wait(self.remote.answer(token_id, value, by=by, digest=digest))

    def approve(self, token_id: str, *, by: str = "", reason: str = "", digest: str = "") -> None:
        """Give an approval; see `Client.approve`."""
        self.wait(self.remote.approve(token_id, by=by, reason=reason, digest=digest))

    def reject(self, token_id: str, *, by: str = "", reason: str = "", digest: str = "") -> None:
        """Reject an approval; see `Client.reject`."""
        self.wait(self.remote.reject(token_id, by=by, reason=reason, digest=digest))

    @overload
    def actor(self, kind: type[A], key: str) -> SyncActor[A]: ...
    @overload
    def actor(self, kind: str, key: str) -> SyncActor[object]: ...
    def actor(self, kind: type[A] | str, key: str) -> SyncActor[A] | SyncActor[object]:
        """Return the actor of a class, or of a type's name, under a key; looks nothing up."""
        if isinstance(kind, str):
            return SyncActor(self._bridge, self.remote.actor(kind, key))
        return SyncActor(self._bridge, self.remote.actor(kind, key))

    def publish(self, topic: Topic[T] | str, value: T, *, dedup: str = "") -> None:
        """Publish a value to the actors that are subscribed; see `Client.publish`."""
        self.wait(self.remote.publish(topic, value, dedup=dedup))


class _Options(TypedDict):
    id: str | None
    on_conflict: OnConflict
    reuse: Reuse
    attributes: Mapping[str, Scalar] | None
    delay: Duration | None
    timeout: Duration | None


class SyncRun(Generic[R_co]):
    """A run: the verbs of `RemoteRun`, blocking."""

    __slots__ = ("_bridge", "remote")

    def __init__(self, bridge: _Bridge, remote: RemoteRun[R_co]) -> None:
        self._bridge = bridge
        self.remote: RemoteRun[R_co] = remote  # for `SyncClient.wait`

    @override
    def __repr__(self) -> str:
        return f"SyncRun({self.remote.id!r})"

    @property
    def id(self) -> str:
        """The run's id."""
        return self.remote.id

    @property
    def created(self) -> bool:
        """Whether the call that gave this handle started the run."""
        return self.remote.created

    def info(self) -> RunInfo:
        """Return what is known of the run."""
        return self._bridge.wait(self.remote.info())

    def why(self) -> str:
        """Return in one line what the run is waiting for, or how it ended."""
        return self._bridge.wait(self.remote.why())

    def result(
        self, timeout: Duration | None = None, parked: Literal["raise", "wait"] = "raise"
    ) -> R_co:
        """Return what the run returned, once it has; see `RemoteRun.result`."""
        return self._bridge.wait(self.remote.result(timeout, parked))

    def signal(self, name: Signal[T] | str, value: T, *, dedup: str | None = None) -> None:
        """Send a signal; see `RemoteRun.signal`."""
        self._bridge.wait(self.remote.signal(name, value, dedup=dedup))

    @overload
    def update(
        self,
        name: Update[A, B],
        value: A,
        *,
        id: str | None = None,
        timeout: Duration | None = None,
    ) -> B: ...
    @overload
    def update(
        self,
        name: str,
        value: object = None,
        *,
        id: str | None = None,
        timeout: Duration | None = None,
    ) -> object: ...
    def update(
        self,
        name: Update[A, B] | str,
        value: object = None,
        *,
        id: str | None = None,
        timeout: Duration | None = None,
    ) -> object:
        """Send an update, and return what its handler returns; see `RemoteRun`."""
        return self._bridge.wait(self.remote._update(name, value, id=id, timeout=timeout))

    def cancel(self, reason: str = "", grace: Duration | None = None) -> None:
        """Ask the run to stop; see `RemoteRun.cancel`."""
        self._bridge.wait(self.remote.cancel(reason, grace))

    def terminate(self, reason: str = "") -> None:
        """End the run now, without running any more of its code."""
        self._bridge.wait(self.remote.terminate(reason))

    def pause(self, *, reason: str = "") -> None:
        """Pause the run."""
        self._bridge.wait(self.remote.pause(reason=reason))

    def resume(self, *, reason: str = "") -> None:
        """Resume a paused or parked run."""
        self._bridge.wait(self.remote.resume(reason=reason))

    def retry(self, *, reason: str = "") -> None:
        """Retry a run that did not complete."""
        self._bridge.wait(self.remote.retry(reason=reason))

    def fork(
        self,
        at: int | str,
        input: Mapping[str, object] | None = None,
        *,
        keys: ForkKeys = "same",
        signals: ForkSignals = "leave",
        reason: str = "",
    ) -> SyncRun[R_co]:
        """Start a new run from a point in this run's history, and return it; see `Run.fork`."""
        forked = self.remote.fork(at, input, keys=keys, signals=signals, reason=reason)
        made = self._bridge.wait(forked)
        return SyncRun(self._bridge, made)

    def stream(self, name: Stream[T] | str, offset: int = 0) -> Iterator[StreamEvent[object]]:
        """Iterate over a stream from `offset`, live, until its `end` event."""
        return self._bridge.each(self.remote.stream(name, offset))

    def journal(self, after: int = 0) -> Iterator[Record]:
        """Iterate over the run's records with a `seq` above `after`."""
        return self._bridge.each(self.remote.journal(after))


class SyncActor(Generic[A]):
    """An actor: the verbs of `RemoteActor`, blocking."""

    __slots__ = ("_bridge", "remote")

    def __init__(self, bridge: _Bridge, remote: RemoteActor[A]) -> None:
        self._bridge = bridge
        self.remote: RemoteActor[A] = remote  # for `SyncClient.wait`

    @overload
    def ask(self, handler: Handler[A, P, R], *args: P.args, **kwargs: P.kwargs) -> R: ...
    @overload
    def ask(self, handler: str, **arguments: object) -> object: ...
    def ask(self, handler: Handler[A, P, R] | str, *args: P.args, **kwargs: P.kwargs) -> object:
        """Send a message and return its answer; see `RemoteActor.ask`."""
        if isinstance(handler, str):
            return self._bridge.wait(self.remote.ask(handler, **kwargs))
        return self._bridge.wait(self.remote.ask(handler, *args, **kwargs))

    @overload
    def tell(self, handler: Handler[A, P, R], *args: P.args, **kwargs: P.kwargs) -> None: ...
    @overload
    def tell(self, handler: str, **arguments: object) -> None: ...
    def tell(self, handler: Handler[A, P, R] | str, *args: P.args, **kwargs: P.kwargs) -> None:
        """Send a message; returns when it is stored in the mailbox."""
        if isinstance(handler, str):
            self._bridge.wait(self.remote.tell(handler, **kwargs))
        else:
            self._bridge.wait(self.remote.tell(handler, *args, **kwargs))
