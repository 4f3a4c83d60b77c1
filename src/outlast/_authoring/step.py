"""`@step`: functions whose outcome is recorded, and `this_step()` for their bodies.

@step(retry=Retry(attempts=3), raises=(Declined,))
async def charge(order: str, cents: int) -> str: ...
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Generic, ParamSpec, Protocol, TypeVar, overload

from outlast._callables import check_function
from outlast._codec import SignatureCodec, check_types, name_of_class
from outlast._execution.bodies.context import StepContext, current_step
from outlast._handles.call import StepCall
from outlast._registry import (
    RetryPlan,
    StepDefinition,
    TimeoutPlan,
    default_name,
    default_registry,
    given_name,
)
from outlast._wording.durations import seconds_of
from outlast._wording.source_lines import defining_locals, place_of_frame
from outlast.errors import NotSupported, RegistrationError
from outlast.types import Duration, Once, Retry, Timeout, Where

P = ParamSpec("P")
R = TypeVar("R")
E = TypeVar("E", bound=BaseException)
_ONCE = ("at_least", "at_most")
_FACTOR_MAX = 1_000
_CAP_BY_DEFAULT = Retry().cap
_WHERE = ("auto", "loop", "thread", "process")


class Step(Generic[P, R]):
    """A registered step. Calling it gives an inert `Call`; `fn` is the plain function.

    Guarantee: in a run, the effect of a step may happen more than once (after a crash), its
    outcome is recorded once and never changes. With `once="at_most"` the effect happens at most
    once, and after a crash in the middle `OutcomeUnknown` is raised.
    """

    def __init__(self, fn: Callable[P, object], definition: StepDefinition) -> None:
        self.fn = fn
        self.definition = definition
        self.__wrapped__ = fn
        self.__name__: str = definition.fn.__name__
        self.__qualname__ = definition.fn.__qualname__
        self.__doc__ = definition.fn.__doc__

    @property
    def name(self) -> str:
        """The name that the journal knows the step by."""
        return self.definition.name

    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> StepCall[R]:
        """Return a call to await; TypeError when the arguments do not fit the function."""
        place = place_of_frame(sys._getframe(1))  # CPython's documented call
        definition = self.definition
        return StepCall(definition, definition.signature.bind(args, kwargs), place)

    def options(
        self,
        *,
        retry: Retry | None = None,
        timeout: Timeout | Duration | None = None,
        raises: tuple[type[BaseException], ...] | None = None,
        once: Once | None = None,
        where: Where | None = None,
        limit: object = None,
    ) -> Step[P, R]:
        """Return the same step with other options; those left out stay as they are."""
        old = self.definition
        definition = replace(
            old,
            raises=old.raises if raises is None else raises,
            once=old.once if once is None else once,
            where=old.where if where is None else where,
        )
        definition = checked_definition(definition, retry=retry, timeout=timeout, limit=limit)
        return Step(self.fn, definition)

    def __repr__(self) -> str:
        return f"<step {self.definition.name}>"


class StepDecorator(Protocol):
    """What `@step(...)` with options gives."""

    @overload
    def __call__(self, fn: Callable[P, Awaitable[R]], /) -> Step[P, R]: ...
    @overload
    def __call__(self, fn: Callable[P, R], /) -> Step[P, R]: ...


@overload
def step(fn: Callable[P, Awaitable[R]], /) -> Step[P, R]: ...
@overload
def step(fn: Callable[P, R], /) -> Step[P, R]: ...
@overload
def step(
    *,
    retry: Retry | None = None,
    timeout: Timeout | Duration | None = None,
    raises: tuple[type[BaseException], ...] = (),
    once: Once = "at_least",
    where: Where = "auto",
    name: str | None = None,
    limit: object = None,
) -> StepDecorator: ...
def step(
    fn: Callable[..., object] | None = None,
    /,
    *,
    retry: Retry | None = None,
    timeout: Timeout | Duration | None = None,
    raises: tuple[type[BaseException], ...] = (),
    once: Once = "at_least",
    where: Where = "auto",
    name: str | None = None,
    limit: object = None,
) -> object:
    """Declare a step: a function that a workflow awaits and whose outcome is recorded.

    Args:
        retry: when failed attempts are made again; without it a step has one attempt.
        timeout: how long it may take; a plain duration bounds one attempt.
        raises: errors that come back to the workflow as themselves, not as `StepFailed`.
        once: "at_least" runs again after a crash in the middle, "at_most" never does.
        where: "loop" for coroutines, "thread" for plain functions, "process" for what burns CPU.
        name: instead of `module.qualname`.

    Raises:
        RegistrationError: options that contradict each other, or types that cannot be encoded.
    """

    def decorate(function: Callable[..., object]) -> Step[..., object]:
        check_function("@step", function)
        if function.__name__ == "<lambda>" and name is None:
            raise RegistrationError("@step: a lambda has no name of its own: give it name=")
        definition = StepDefinition(
            name=given_name("a step's name", name) or default_name(function),
            fn=function,
            signature=SignatureCodec(function, localns=defining_locals(function)),
            is_async=inspect.iscoroutinefunction(function),
            raises=raises,
            once=once,
            where=where,
        )
        definition = checked_definition(definition, retry=retry, timeout=timeout, limit=limit)
        default_registry.add_step(definition)
        return Step(function, definition)

    return decorate if fn is None else decorate(fn)


def checked_definition(
    definition: StepDefinition,
    *,
    retry: Retry | None,
    timeout: Timeout | Duration | None,
    limit: object = None,
) -> StepDefinition:
    """Return a definition with the retries and timeouts that are given, checked as a whole.

    Raises:
        RegistrationError: its options contradict each other, or a type cannot be stored.
    """
    if retry is not None:
        definition = replace(definition, retry=_retry_plan(retry))
    if timeout is not None:
        definition = replace(definition, timeout=_timeout_plan(timeout))
    _check(definition, limit)
    return definition


def error(cls: type[E]) -> type[E]:
    """Declare an error class that comes back as itself from every step, without `raises=`."""
    default_registry.known_errors[name_of_class(cls)] = cls
    return cls


def this_step() -> StepContext:
    """Return what the running step may know of itself: key, attempt, deadline, heartbeat.

    Raises:
        NotInRun: no step of a run is executing here.
    """
    return current_step()


def _is_error_class(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, BaseException)


def _retry_plan(retry: Retry) -> RetryPlan:
    if not isinstance(retry, Retry):
        raise RegistrationError(f"retry= takes a Retry(...), got {retry!r}")
    plan = RetryPlan(
        attempts=retry.attempts,
        first_seconds=_length("Retry: first", retry.first),
        factor=retry.factor,
        cap_seconds=_length("Retry: cap", retry.cap),
        jitter=retry.jitter,
        within_seconds=(
            None
            if retry.within is None
            else _length("Retry: within", retry.within, is_positive=True)
        ),
        never_on=retry.never_on,
        parks=retry.then == "park",
    )
    if type(plan.attempts) is not int or plan.attempts < 1:
        raise RegistrationError(
            f"Retry: attempts is a whole number from 1, which counts the first attempt, "
            f"not {plan.attempts!r}"
        )
    if not isinstance(plan.never_on, tuple) or not all(map(_is_error_class, plan.never_on)):
        raise RegistrationError(
            f"Retry: never_on takes a tuple of exception classes, not {plan.never_on!r}; "
            f"for one class write (ValueError,)"
        )
    if type(plan.factor) not in (int, float):
        raise RegistrationError(f"Retry: factor is a number, not {plan.factor!r}")
    if not 1 <= plan.factor <= _FACTOR_MAX:
        raise RegistrationError(
            f"Retry: factor is from 1 (all waits alike) to {_FACTOR_MAX:,}, not {plan.factor!r}; "
            f"for no waits at all write first=0"
        )
    # A `first` above the default cap has always been shortened to it.
    if plan.cap_seconds < plan.first_seconds and retry.cap != _CAP_BY_DEFAULT:
        raise RegistrationError(
            f"Retry: cap={retry.cap!r} is shorter than the first wait, first={retry.first!r}: "
            f"give a longer cap="
        )
    if retry.jitter not in ("full", "none"):
        raise RegistrationError(f"Retry: jitter is 'full' or 'none', not {retry.jitter!r}")
    if retry.then not in ("fail", "park"):
        raise RegistrationError(f"Retry: then is 'fail' or 'park', not {retry.then!r}")
    return plan


def _length(what: str, length: Duration, *, is_positive: bool = False) -> float:
    """Return a length of time in seconds.

    Raises:
        RegistrationError: it is none, or negative, or zero where that makes no sense.
    """
    try:
        seconds = seconds_of(length)
    except (TypeError, ValueError) as error:
        raise RegistrationError(f"{what}: {error}") from error
    if seconds < 0 or (is_positive and not seconds):
        wanted = "positive" if is_positive else "not negative"
        raise RegistrationError(f"{what} is {wanted}, not {length!r}")
    return seconds


def _timeout_plan(timeout: Timeout | Duration) -> TimeoutPlan:
    given = timeout if isinstance(timeout, Timeout) else Timeout(run=timeout)

    def seconds(name: str, length: Duration | None) -> float | None:
        if length is None:
            return None
        return _length(f"Timeout: {name}", length, is_positive=True)

    return TimeoutPlan(
        run=seconds("run", given.run),
        queue=seconds("queue", given.queue),
        total=seconds("total", given.total),
        idle=seconds("idle", given.idle),
    )


def _check(definition: StepDefinition, limit: object) -> None:
    name = definition.name
    if limit is not None:
        raise NotSupported("limit= of a step")
    if definition.once == "tx":
        raise NotSupported("once='tx' (it needs Postgres)")
    for option, value, known in (
        ("once", definition.once, _ONCE),
        ("where", definition.where, _WHERE),
    ):
        if value not in known:
            raise RegistrationError(f"step {name!r}: {option} is one of {known}, not {value!r}")
    if definition.once == "at_most" and definition.retry.attempts > 1:
        raise RegistrationError(
            f"step {name!r}: an at-most-once step cannot have {definition.retry.attempts} attempts"
        )
    if definition.where == "loop" and not definition.is_async:
        raise RegistrationError(
            f"step {name!r} is a plain function, which would block the loop: make it `async def`, "
            f"or use where='thread' or 'process'"
        )
    if not isinstance(definition.raises, tuple):
        raise RegistrationError(f"step {name!r}: raises= takes a tuple of exception classes")
    if not all(map(_is_error_class, definition.raises)):
        raise RegistrationError(f"step {name!r}: raises= takes exception classes")
    check_types(definition.signature)
