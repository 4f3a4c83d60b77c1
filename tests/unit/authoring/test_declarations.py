"""What cannot be declared, and which definition a stored name stands for."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import cast

import pytest

from outlast import Engine, NotSupported, Retry, Step, Timeout, step, wf, workflow
from outlast.errors import (
    EncodingError,
    RegistrationError,
    UsageError,
)


def _plain(a: int) -> int:
    return a


async def _many(a: int) -> AsyncIterator[int]:
    yield a


async def _coroutine(a: int) -> int:
    return a


@functools.wraps(_coroutine)
def _wrapped(a: int) -> Awaitable[int]:
    return _coroutine(a)


class Bank:
    async def charge(self, cents: int) -> int:
        return cents

    @classmethod
    async def default(cls, cents: int) -> int:
        return cents

    async def __call__(self, cents: int) -> int:
        return cents


REFUSED: list[tuple[object, str]] = [
    (Bank.charge, "is a method, .*@staticmethod"),
    (Bank().charge, "bound method"),
    (vars(Bank)["default"], "classmethod"),
    (staticmethod(_plain), "write @staticmethod above"),
    (functools.partial(_plain, 1), "partial"),
    (Bank(), "needs a function"),
    (Bank, "needs a function"),
    (len, "needs a function"),
    (_many, "generator"),
    (_wrapped, "wrapped in a plain function"),
]


@pytest.mark.parametrize("decorate", [step, workflow])
@pytest.mark.parametrize(("function", "message"), REFUSED)
def test_what_cannot_run_later_is_refused_when_it_is_declared(
    decorate: Callable[..., object], function: object, message: str
) -> None:
    with pytest.raises(RegistrationError, match=message):
        decorate(function)


def test_a_static_step_of_a_class_and_a_named_lambda_can_be_declared() -> None:
    class Shop:
        @staticmethod
        @step
        async def charge(cents: int) -> int:
            return cents

    same: Callable[[int], int] = lambda a: a  # noqa: E731 - a lambda is what is declared
    named = step(name="tests.doubled")(same)

    assert isinstance(Shop.charge, Step)
    assert named.name == "tests.doubled"
    with pytest.raises(RegistrationError, match="give it name="):
        step(same)


BAD_OPTIONS: list[dict[str, object]] = [
    {"retry": Retry(first="5 parsecs")},
    {"retry": Retry(attempts=0)},
    {"retry": Retry(attempts=True)},
    {"retry": Retry(factor=-1.0)},
    {"retry": Retry(first="10s", cap="1s")},
    {"retry": Retry(within=0)},
    {"timeout": Timeout(run=0)},
    {"timeout": Timeout(total="soon")},
    {"timeout": -1},
    {"name": "."},
    {"name": ".."},
    {"name": "a\nb"},
    {"once": "sometimes"},
    {"where": "elsewhere"},
    {"raises": (int,)},
    {"raises": ValueError},
]


@pytest.mark.parametrize("options", BAD_OPTIONS)
def test_options_that_make_no_sense_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(RegistrationError):
        _declare(step, options)


def _declare(make: Callable[..., object], options: dict[str, object]) -> None:
    decorator = make(**options)
    if inspect.isfunction(decorator):
        decorator(_plain)


@pytest.mark.parametrize("timeout", [0, -1, "soon"])
def test_a_workflows_timeout_is_positive(timeout: float | str) -> None:
    with pytest.raises(RegistrationError, match="timeout="):
        workflow(timeout=timeout)(_coroutine)


@pytest.mark.parametrize("verb", ["saga", "fold", "patched"])
def test_a_verb_that_is_not_built_says_so_whatever_it_is_given(verb: str) -> None:
    call: Callable[..., object] = getattr(wf, verb)

    with pytest.raises(NotSupported, match=verb):
        call(1, undo=2)


def test_a_step_that_returns_a_coroutine_is_told_to_await_it() -> None:
    @step
    def returns_one(a: int) -> object:
        return _coroutine(a)

    coroutine = returns_one.fn(1)
    try:
        with pytest.raises(EncodingError, match=r"await it, .*async def"):
            returns_one.definition.signature.returns.encode(coroutine)
    finally:
        getattr(coroutine, "close", str)()


@pytest.mark.parametrize("run_id", [".", ".."])
async def test_ids_that_no_url_can_name_are_refused(run_id: str) -> None:
    @workflow
    async def flow() -> int:
        return 1

    async with Engine.open("memory://dot-ids") as engine:
        with pytest.raises(UsageError, match="URL"):
            await engine.start(flow(), id=run_id)
        with pytest.raises(UsageError, match="URL"):
            engine.get(run_id)


@pytest.mark.parametrize(
    "later",
    [{"namespace": "eu"}, {"gate": "strict"}],
    ids=lambda later: next(iter(later)),
)
def test_an_option_of_a_later_version_is_not_ignored(later: dict[str, object]) -> None:
    with pytest.raises(NotSupported, match=next(iter(later))):
        Engine.open("memory://later", **later)  # type: ignore[arg-type]  # each is of its own type


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("attempts", -1),
        ("attempts", 0),
        ("attempts", 2.0),
        ("factor", 0),
        ("factor", 0.5),
        ("factor", float("nan")),
        ("factor", float("inf")),
        ("first", -1),
        ("first", "soon"),
        ("first", float("inf")),
        ("cap", "-1s"),
        ("cap", -1),
        ("within", "0s"),
        ("within", -1),
        ("jitter", "some"),
        ("then", "stop"),
        ("never_on", ValueError),
    ],
)
def test_a_retry_that_makes_no_sense_is_refused_by_the_name_of_its_field(
    field: str, value: object
) -> None:
    def declare(make: Callable[..., Retry]) -> None:
        _declare(step, {"retry": make(**{field: value})})

    with pytest.raises(RegistrationError, match=f"^Retry: {field}"):
        declare(Retry)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Retry(attempts=3, never_on=cast("tuple[type[BaseException]]", ValueError)),
        lambda: Retry(attempts=3, never_on=cast("tuple[type[BaseException]]", 5)),
        lambda: Retry(attempts=cast("int", 1.5)),
        lambda: Retry(attempts=cast("int", "a")),
        lambda: Retry(attempts=3, factor=1e308),
        lambda: Retry(attempts=3, factor=math.nan),
    ],
)
def test_a_retry_that_cannot_be_is_refused(make: Callable[[], Retry]) -> None:
    with pytest.raises(RegistrationError, match="Retry"):
        step(retry=make())(_nothing)


@pytest.mark.parametrize("name", ["", "x" * 300, cast("str", 5), "a\nb"])
def test_a_name_that_cannot_be_is_refused(name: str) -> None:
    with pytest.raises(RegistrationError, match="name"):
        step(name=name)(_nothing)
    with pytest.raises(RegistrationError, match="name"):
        workflow(name=name)(_nothing_either)


async def _nothing() -> None: ...


async def _nothing_either() -> None: ...
