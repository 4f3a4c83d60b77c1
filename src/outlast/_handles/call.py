"""What calling a step or a workflow gives: an inert `Call`, awaited or started once.

match await charge(order, cents).catch(Declined):
    case Ok(receipt): ...
    case Err(declined): ...
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextvars import copy_context
from dataclasses import dataclass
from types import TracebackType
from typing import Generic, TypeVar, overload

from typing_extensions import override

from outlast._codec import Bound
from outlast._execution.run_context import current_context, executing_steps, hash_of_call, in_run
from outlast._registry import StepDefinition, WorkflowDefinition
from outlast._shapes import is_awaitable
from outlast.errors import CallReused, NotInRun

_NOTHING_BOUND = Bound((), {})

R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
E = TypeVar("E", bound=BaseException)
E1 = TypeVar("E1", bound=BaseException)
E2 = TypeVar("E2", bound=BaseException)
E3 = TypeVar("E3", bound=BaseException)
E4 = TypeVar("E4", bound=BaseException)
E5 = TypeVar("E5", bound=BaseException)


@dataclass(frozen=True, slots=True)
class Ok(Generic[R_co]):
    """A call that returned `value`."""

    value: R_co


E_co = TypeVar("E_co", bound=BaseException, covariant=True)


@dataclass(frozen=True, slots=True)
class Err(Generic[E_co]):
    """A call that raised `error`, one of the types that were to be caught."""

    error: E_co


start_checks: list[Callable[[], None]] = []
"""Called before a start, in the context of the caller, which the run will not have."""


class Call(Coroutine[object, object, R_co]):
    """A call of a step or a workflow that has not begun.

    Nothing runs until it is awaited, given to asyncio (`create_task`, `gather`, `TaskGroup`,
    `wait_for`, `shield`), or handed to an engine. It can be used once; a call that is dropped does
    nothing. Two calls are equal only when they are the same object.
    """

    __slots__ = ("_hash", "_is_used", "_steps", "bound", "catches", "place")

    def __init__(self, bound: Bound, place: str) -> None:
        self.bound: Bound = bound
        self.place: str = place
        self.catches: tuple[type[BaseException], ...] = ()
        self._is_used = False
        self._steps: Generator[object, object, R_co] | None = None
        self._hash: int | None = None

    @abstractmethod
    def _begin(self) -> Generator[object, object, R_co]:
        """Begin, and return the generator that drives it."""

    def use(self) -> None:
        """Note that the call begins.

        Raises:
            CallReused: it had begun before.
        """
        if self._is_used:
            raise CallReused(f"{self!r} was already awaited or started: make a new call each time")
        for check in start_checks:
            check()
        self._is_used = True

    @override
    def __await__(self) -> Generator[object, object, R_co]:
        if self._is_used:
            self.use()  # which says that it was used before
        self._is_used = True
        return self._begin()

    @override
    def send(self, value: object, /) -> object:
        if self._steps is None:
            self._steps = _driven(self.__await__())
        return self._steps.send(value)

    @override
    def throw(
        self,
        typ: type[BaseException] | BaseException,
        val: BaseException | object = None,
        tb: TracebackType | None = None,
        /,
    ) -> object:
        error = typ if isinstance(typ, BaseException) else _made(typ, val)
        try:
            if self._steps is None:
                self._is_used = True
                raise error
            return self._steps.throw(error)
        finally:
            # This frame is in the error's traceback: they must not hold each other.
            del error, typ, val, tb

    @override
    def close(self) -> None:
        self._is_used = True
        if self._steps is not None:
            self._steps.close()

    @override
    def __hash__(self) -> int:
        # Inside a run it is the same in every process, so sets of calls iterate alike.
        if self._hash is None:
            self._hash = hash_of_call(self)
        return self._hash

    @override
    def __eq__(self, other: object) -> bool:
        return self is other

    @overload
    def catch(self, e1: type[E1], /) -> Catching[R_co, E1]: ...
    @overload
    def catch(self, e1: type[E1], e2: type[E2], /) -> Catching[R_co, E1 | E2]: ...
    @overload
    def catch(
        self, e1: type[E1], e2: type[E2], e3: type[E3], /
    ) -> Catching[R_co, E1 | E2 | E3]: ...
    @overload
    def catch(
        self, e1: type[E1], e2: type[E2], e3: type[E3], e4: type[E4], /
    ) -> Catching[R_co, E1 | E2 | E3 | E4]: ...
    @overload
    def catch(
        self, e1: type[E1], e2: type[E2], e3: type[E3], e4: type[E4], e5: type[E5], /
    ) -> Catching[R_co, E1 | E2 | E3 | E4 | E5]: ...
    def catch(self, *types: type[BaseException]) -> Catching[R_co, BaseException]:
        """Return an awaitable of `Ok(value)`, or `Err(error)` for an error of these types.

        Errors of these types come back from a step as themselves, as though named in `raises=`.
        """
        if not types:
            raise TypeError("catch() needs the error types to catch")
        self.catches = types
        return Catching(self, types)


class Catching(Coroutine[object, object, Ok[R_co] | Err[E_co]], Generic[R_co, E_co]):
    """A call whose expected errors are values; see `Call.catch`."""

    __slots__ = ("_call", "_steps", "_types")

    def __init__(self, call: Call[R_co], types: tuple[type[BaseException], ...]) -> None:
        self._call = call
        self._types = types
        self._steps: Generator[object, object, Ok[R_co] | Err[E_co]] | None = None

    @override
    def __await__(self) -> Generator[object, object, Ok[R_co] | Err[E_co]]:
        try:
            value = yield from self._call.__await__()
        except self._types as error:
            return Err(error)  # type: ignore[arg-type]  # one of E_co: those are what _types holds
        return Ok(value)

    @override
    def send(self, value: object, /) -> object:
        if self._steps is None:
            self._steps = self.__await__()
        return self._steps.send(value)

    @override
    def throw(
        self,
        typ: type[BaseException] | BaseException,
        val: BaseException | object = None,
        tb: TracebackType | None = None,
        /,
    ) -> object:
        if self._steps is None:
            self._steps = self.__await__()
        try:
            return self._steps.throw(typ if isinstance(typ, BaseException) else _made(typ, val))
        finally:
            del typ, val, tb  # as in `Call.throw`

    @override
    def close(self) -> None:
        if self._steps is not None:
            self._steps.close()
        else:
            self._call.close()


class StepCall(Call[R_co]):
    """A call of a step."""

    __slots__ = ("definition",)

    def __init__(self, definition: StepDefinition, bound: Bound, place: str) -> None:
        super().__init__(bound, place)
        self.definition: StepDefinition = definition

    @override
    def _begin(self) -> Generator[object, object, R_co]:
        awaited: Generator[object, object, object]  # of a value decoded as R
        steps = executing_steps()
        if steps is None:
            awaited = _driven_plainly(self._run_plainly())
        else:
            bound = self.bound
            future = steps.issue(
                self.definition, bound.args, bound.kwargs, place=self.place, catches=self.catches
            )
            awaited = future.__await__()  # type: ignore[assignment]  # it takes what asyncio sends
        return awaited  # type: ignore[return-value]  # pyright: ignore[reportReturnType]  # as said

    async def _run_plainly(self) -> R_co:
        """Outside a run, and inside another step, a step is just its function."""
        result: object = self.definition.fn(*self.bound.args, **self.bound.kwargs)
        if is_awaitable(result):
            result = await result
        return result  # type: ignore[return-value]  # declared so by the function itself

    @override
    def __repr__(self) -> str:
        return f"<call of step {self.definition.name}>"


class ClosureCall(Call[R_co]):
    """A call of a step whose body was given on the spot, under a key of the caller's or none."""

    __slots__ = ("_key", "definition")

    def __init__(self, definition: StepDefinition, place: str, key: str | None) -> None:
        super().__init__(_NOTHING_BOUND, place)
        self.definition: StepDefinition = definition
        self._key = key

    @override
    def _begin(self) -> Generator[object, object, R_co]:
        future = current_context().step(
            self.definition,
            (),
            place=self.place,
            catches=self.catches,
            key=self._key,
            context=copy_context(),
        )
        awaited: Generator[object, object, object]
        awaited = future.__await__()  # type: ignore[assignment]  # it takes what asyncio sends
        return awaited  # type: ignore[return-value]  # pyright: ignore[reportReturnType]  # as R

    @override
    def __repr__(self) -> str:
        return f"<call of step {self.definition.name}>"


class WorkflowCall(Call[R_co]):
    """A call of a workflow: awaited in a run it is a child, given to an engine a run."""

    __slots__ = ("definition",)

    def __init__(self, definition: WorkflowDefinition, bound: Bound, place: str) -> None:
        super().__init__(bound, place)
        self.definition: WorkflowDefinition = definition

    @override
    def _begin(self) -> Generator[object, object, R_co]:
        if not in_run():
            raise NotInRun(
                f"workflow {self.definition.name!r} can be awaited only in another workflow: "
                f"start it with `await engine.run(...)`, `await engine.start(...)` or "
                f"`outlast.run(...)`"
            )
        children = current_context().children
        child = children.start(
            self.definition,
            self.bound,
            id=None,
            on_parent_close="cancel",
            timeout=None,
            place=self.place,
        )
        return _typed(children.wait_or_cancel(child))

    @override
    def __repr__(self) -> str:
        return f"<call of workflow {self.definition.name}>"


def _typed(future: Awaitable[object]) -> Generator[object, object, R]:
    # The value was decoded by the declared result, which is R.
    value = yield from future.__await__()
    return value  # type: ignore[return-value]  # pyright: ignore[reportReturnType]  # R, as said


def _driven_plainly(work: Coroutine[object, object, R]) -> Generator[object, object, R]:
    return (yield from work.__await__())


def _driven(awaited: Generator[object, object, R]) -> Generator[object, object, R]:
    # A future's iterator has no close(); a generator around it has all that a coroutine needs.
    return (yield from awaited)


def _made(kind: type[BaseException], value: object) -> BaseException:
    if isinstance(value, BaseException):
        return value
    return kind() if value is None else kind(value)
