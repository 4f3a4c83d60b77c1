"""Typed names by which the outside and a run talk: `Signal`, `Value`, `Stream`.

Declared once, at module level, and imported by both sides:

    approval = Signal("approval", Decision)
    progress = Value("progress", float)
    tokens = Stream("tokens", str)
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Generic, TypeVar

from typing_extensions import override

from outlast._codec import Adapter, adapter_for
from outlast._durations import seconds_of, text_of
from outlast._execution.context import NOTHING_POSTED, current_step
from outlast._execution.current import current_run
from outlast._execution.loop import running_loop
from outlast._execution.payloads import read_payload
from outlast._execution.places import calling_place
from outlast._execution.run import LiveRun
from outlast._execution.starting import check_name
from outlast._execution.streams import write_stream, write_value
from outlast._execution.waits import within
from outlast._registry import NameDefinition, default_registry
from outlast.errors import DecodingError, NotSupported
from outlast.types import Duration

log: logging.Logger = logging.getLogger("outlast.workflow")
T = TypeVar("T")
A = TypeVar("A")
B = TypeVar("B")


class _Named(Generic[T]):
    """A name and the type of what goes by it."""

    def __init__(self, name: str, kind: type[T] | Callable[..., T]) -> None:
        self.name: str = check_name("a name", name)
        self.kind = kind
        self.adapter: Adapter = adapter_for(kind)

    def _definition(self) -> NameDefinition:
        return NameDefinition(self.name, self.adapter)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"


class Signal(_Named[T]):
    """Messages to a run: buffered until read, first in first out, kept over crashes."""

    def __init__(self, name: str, kind: type[T] | Callable[..., T]) -> None:
        super().__init__(name, kind)
        default_registry.add_name(default_registry.signals, self._definition())

    async def receive(self, timeout: Duration | None = None) -> T:
        """Return the next unread signal of this name, in workflow code.

        Raises:
            WaitTimeout: none came in time; nothing is lost by that.
        """
        run = current_run()
        while True:
            payload = await self._next_payload(run, timeout)
            try:
                value = read_payload(self.adapter, payload)
            except DecodingError as error:
                # Sent by name only, by someone who did not know the type: the run must not fail.
                log.warning(
                    "a signal %r that does not fit its type was dropped: %s", self.name, error
                )
                continue
            return value  # type: ignore[return-value]  # the adapter checked it against T

    async def _next_payload(self, run: LiveRun, timeout: Duration | None) -> bytes:
        if timeout is None:
            return await run.inbox.receive(self.name)
        seconds = seconds_of(timeout)
        if seconds <= 0 and (ready := run.inbox.take(self.name)) is not None:
            return ready
        message = f"no signal {self.name!r} came within {text_of(seconds)}"
        return await within(run.inbox.receive(self.name), seconds, message)

    def __aiter__(self) -> AsyncIterator[T]:
        return _Signals(self)


class _Signals(AsyncIterator[T]):
    # A plain class, not a generator: an abandoned one leaves nothing to close.
    def __init__(self, signal: Signal[T]) -> None:
        self._signal = signal

    @override
    def __aiter__(self) -> AsyncIterator[T]:
        return self

    @override
    async def __anext__(self) -> T:
        return await self._signal.receive()


class Value(_Named[T]):
    """A value of a run that outsiders can read: the last one set wins."""

    def __init__(self, name: str, kind: type[T] | Callable[..., T]) -> None:
        super().__init__(name, kind)
        default_registry.add_name(default_registry.values, self._definition())

    def set(self, value: T) -> Awaitable[None]:
        """Set it, in a workflow or a step; it is queued at once, awaiting adds backpressure.

        Raises:
            EncodingError: `value` does not fit the declared type.
        """
        data = self.adapter.encode(value)
        if running_loop() is None:
            return current_step().set_value(self.name, data)
        run = current_run()
        key = run.loop.next_key(f"set {self.name}")
        place = calling_place()
        run.journal.issued(key, place)
        if not run.journal.is_recorded("value_set", key):
            now = run.host.world.now()
            write_value(run.journal, now, name=self.name, data=data, key=key, place=place)
        return NOTHING_POSTED


class Stream(_Named[T]):
    """An append-only sequence of values that outsiders follow from any offset.

    A reader sees a value only when it is durable. When an attempt of a step dies, what it wrote is
    taken back by a `retract` event that names its writer.
    """

    def __init__(self, name: str, kind: type[T] | Callable[..., T]) -> None:
        super().__init__(name, kind)
        default_registry.add_name(default_registry.streams, self._definition())

    def write(self, value: T) -> Awaitable[None]:
        """Append a value, in a workflow or a step; queued at once, awaiting adds backpressure.

        Raises:
            EncodingError: `value` does not fit the declared type.
        """
        data = self.adapter.encode(value)
        if running_loop() is None:
            return current_step().write_stream(self.name, data)
        run = current_run()
        key = run.loop.next_key(f"write {self.name}")
        run.journal.issued(key, calling_place())
        if not run.journal.is_recorded("stream_written", key):
            write_stream(
                run.journal,
                run.steps.offsets,
                run.host.world.now(),
                stream=self.name,
                key=key,
                writer=key,
                values=[data],
            )
        return NOTHING_POSTED


class Update(Generic[A, B]):
    """A validated request and response of a run; not supported yet."""

    def __init__(self, name: str, request: type[A], response: type[B]) -> None:
        raise NotSupported("Update")
