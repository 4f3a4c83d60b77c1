"""Typed names by which the outside and a run talk: `Signal`, `Value`, `Stream`, `Update`.

Declared once, at module level, and imported by both sides:

    approval = Signal("approval", Decision)
    progress = Value("progress", float)
    tokens = Stream("tokens", str)
    add_item = Update("add_item", Item, Receipt)
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from inspect import iscoroutinefunction
from typing import Generic, TypeVar, overload

from typing_extensions import override

from outlast._codec import Adapter, adapter_for
from outlast._execution.bodies.context import NOTHING_POSTED, StepContext, executing_step
from outlast._execution.run_context import OnClose, current_context, in_run
from outlast._registry import NameDefinition, default_registry
from outlast._wording.durations import seconds_of
from outlast._wording.names import check_name
from outlast.errors import NotInRun, UsageError
from outlast.types import Duration

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
        signals = current_context().signals
        seconds = None if timeout is None else seconds_of(timeout)
        value: object = await signals.receive_value(self.name, self.adapter, seconds)
        return value  # type: ignore[return-value]  # the adapter checked it against T

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
        if not in_run():
            return _writing_step(self).set_value(self.name, data)
        current_context().outputs.set_value(self.name, data)
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
        if not in_run():
            return _writing_step(self).write_stream(self.name, data)
        current_context().outputs.write(self.name, data)
        return NOTHING_POSTED


def _writing_step(written: _Named[T]) -> StepContext:
    """Return the step that is running.

    Raises:
        NotInRun: none is.
    """
    step = executing_step.get()
    if step is None:
        what = type(written).__name__
        raise NotInRun(
            f"{what} {written.name!r} can be written in workflows, in steps, and in handlers of "
            "durable actors except those with read=True: here is none of them. To test a step "
            "without an engine, call it under `with outlast.testing.step_context():`"
        )
    return step.context


class Update(Generic[A, B]):
    """A request that a run answers: looked at by its validator, then handled as a task of the run.

    Declared at module level; the handler belongs into the workflow, where it shares its variables:

        add_item = Update("add_item", Item, Receipt)

        @workflow
        async def cart() -> list[Item]:
            items: list[Item] = []

            @add_item.handler
            async def add(item: Item) -> Receipt:
                items.append(item)
                return await reserve(item)
    """

    def __init__(
        self,
        name: str,
        request: type[A] | Callable[..., A],
        response: type[B] | Callable[..., B],
    ) -> None:
        self.name: str = check_name("a name", name)
        self.request: Adapter = adapter_for(request)
        self.response: Adapter = adapter_for(response)
        default_registry.add_update(name, self.request, self.response)

    @overload
    def handler(self, fn: Callable[[A], Awaitable[B]]) -> Callable[[A], Awaitable[B]]: ...
    @overload
    def handler(self, fn: Callable[[A], B]) -> Callable[[A], B]: ...
    @overload
    def handler(self, *, on_close: OnClose) -> _HandlerOf[A, B]: ...
    def handler(
        self,
        fn: Callable[[A], Awaitable[B]] | Callable[[A], B] | None = None,
        *,
        on_close: OnClose = "wait",
    ) -> Callable[[A], Awaitable[B]] | Callable[[A], B] | _HandlerOf[A, B]:
        """Register the handler of this update, in workflow code; updates wait until then.

        It runs as a task of the run, and may await what the workflow may. What it raises is the
        caller's (`UpdateFailed`) and does not fail the run. When the workflow returns, the run
        waits for handlers that have not ended; with `on_close="abandon"` it cancels this one.

        Raises:
            UsageError: the run has a handler for it already.
        """
        if on_close not in ("wait", "abandon"):
            raise UsageError(f"on_close is 'wait' or 'abandon', not {on_close!r}")
        if fn is None:
            return _HandlerOf(self, on_close)
        self._register(fn, on_close)
        return fn

    def _register(self, fn: Callable[[A], object], on_close: OnClose) -> None:
        def call(argument: object) -> object:
            return fn(argument)  # type: ignore[arg-type]  # the adapter checked it against A

        current_context().updates.register(
            self.name, call, request=self.request, response=self.response, on_close=on_close
        )

    def validator(self, fn: Callable[[A], None]) -> Callable[[A], None]:
        """Register a validator that checks each update before it is accepted, in workflow code.

        A plain function that may look at all the workflow has, and changes nothing: what it raises
        refuses the update (`UpdateRejected`), which leaves no record.
        """
        if iscoroutinefunction(fn):
            raise UsageError(
                f"the validator of update {self.name!r} is a plain function: it may not wait"
            )

        def check(argument: object) -> object:
            answer: object = fn(argument)  # type: ignore[arg-type, func-returns-value]  # as above
            return answer

        current_context().updates.validate(self.name, check)
        return fn

    def __repr__(self) -> str:
        return f"Update({self.name!r})"


class _HandlerOf(Generic[A, B]):
    # What `@update.handler(on_close=...)` calls with the function below it.
    def __init__(self, update: Update[A, B], on_close: OnClose) -> None:
        self._update = update
        self._on_close: OnClose = on_close

    @overload
    def __call__(self, fn: Callable[[A], Awaitable[B]]) -> Callable[[A], Awaitable[B]]: ...
    @overload
    def __call__(self, fn: Callable[[A], B]) -> Callable[[A], B]: ...
    def __call__(
        self, fn: Callable[[A], Awaitable[B]] | Callable[[A], B]
    ) -> Callable[[A], Awaitable[B]] | Callable[[A], B]:
        self._update._register(fn, self._on_close)
        return fn
