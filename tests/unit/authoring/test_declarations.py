"""What cannot be declared, and which definition a stored name stands for."""

from __future__ import annotations

import functools
import inspect
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path

import pytest

from outlast import Engine, NotSupported, Retry, Step, Timeout, Workflow, step, wf, workflow
from outlast._callables import does_the_same
from outlast._registry import Registry, WorkflowDefinition
from outlast.errors import EncodingError, RegistrationError, UnknownWorkflow, UsageError


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


@pytest.mark.parametrize("verb", ["step", "saga", "fold", "patched"])
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


# ---- names -----------------------------------------------------------------------------------


def _definition(name: str) -> WorkflowDefinition:
    return WorkflowDefinition(
        name, _coroutine, workflow(name=name)(_coroutine).definition.signature
    )


def test_a_stored_name_means_the_definition_of_exactly_that_name() -> None:
    registry = Registry()
    registry.add_workflow(_definition("shop.checkout"))

    with pytest.raises(
        UnknownWorkflow, match=r"'checkout' is registered; registered: shop\.checkout"
    ):
        registry.find_workflow("checkout")
    assert registry.workflow_asked_for("checkout").name == "shop.checkout"
    registry.add_workflow(_definition("bar.checkout"))
    with pytest.raises(UnknownWorkflow, match=r"several workflows: bar\.checkout, shop\.checkout"):
        registry.workflow_asked_for("checkout")
    registry.add_workflow(_definition("checkout"))
    assert registry.workflow_asked_for("checkout").name == "checkout"


def _made(factor: int) -> Workflow[[int], int]:
    @workflow
    async def times(a: int) -> int:
        return a * factor

    return times


async def test_two_live_workflows_of_one_factory_are_refused_when_an_engine_opens() -> None:
    ten, hundred = _made(10), _made(100)

    with pytest.raises(RegistrationError, match=r"two workflows .*_made\.times.*name="):
        async with Engine.open("memory://two-live"):
            pass
    assert ten is not hundred
    del ten, hundred


async def test_a_second_one_is_refused_while_an_engine_is_open() -> None:
    async with Engine.open("memory://second"):
        ten = _made(10)
        with pytest.raises(RegistrationError, match=r"test_declarations\.py:\d+"):
            _made(100)
    assert ten.name.endswith("_made.times")
    del ten


async def test_a_definition_that_nothing_refers_to_is_no_conflict() -> None:
    _made(10)
    again = _made(100)

    async with Engine.open("memory://collected") as engine:
        assert await engine.run(again(2)) == 200


async def test_the_same_code_over_the_same_values_is_no_conflict() -> None:
    one, other = _made(10), _made(10)

    async with Engine.open("memory://same") as engine:
        assert await engine.run(one(2)) == await engine.run(other(2)) == 20


PROGRAM = """
import asyncio, sys
from outlast import Engine, OutlastError, workflow
@workflow{name}
async def checkout(order: str) -> str:
    return "{file} did " + order
async def main() -> None:
    async with Engine.open(sys.argv[1]) as engine:
        if sys.argv[2] == "start":
            await engine.start(checkout("o1"), id="r", delay=0.5)
        else:
            try:
                print(await engine.get("r").result(timeout=1.5))
            except OutlastError:
                print(await engine.get("r").why())
asyncio.run(main())
"""


def test_a_stored_run_is_left_alone_by_another_workflow_with_the_same_ending(
    tmp_path: Path,
) -> None:
    (tmp_path / "billing.py").write_text(PROGRAM.format(name="(name='checkout')", file="billing"))
    (tmp_path / "shop.py").write_text(PROGRAM.format(name="", file="shop"))

    def said(file: str, verb: str) -> str:
        command = [sys.executable, str(tmp_path / file), str(tmp_path / "o.db"), verb]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    said("billing.py", "start")

    assert "no code here for workflow 'checkout'" in said("shop.py", "why")


@pytest.mark.parametrize(
    "later",
    [{"namespace": "eu"}, {"gate": "strict"}],
    ids=lambda later: next(iter(later)),
)
def test_an_option_of_a_later_version_is_not_ignored(later: dict[str, object]) -> None:
    with pytest.raises(NotSupported, match=next(iter(later))):
        Engine.open("memory://later", **later)  # type: ignore[arg-type]  # each is of its own type


def test_twins_of_a_factory_that_differ_in_keyword_defaults_or_types_are_not_the_same() -> None:
    def make(tax: int, kind: type) -> Sequence[object]:
        async def by_keyword(net: int, *, rate: int = tax) -> int:
            return net * rate

        async def by_type(value: object) -> int:
            return 1

        async def alike(value: int) -> int:
            return value

        by_type.__annotations__["value"] = kind  # as without postponed annotations
        return by_keyword, by_type, alike

    ones, others = make(19, int), make(20, str)

    assert [does_the_same(*pair) for pair in zip(ones, others, strict=True)] == [False, False, True]


JOB = """
from outlast import Actor, actor, step, workflow

def amount():
    return {amount}

@step
async def charge() -> int:
    return amount()

@workflow
async def pays() -> int:
    return await charge()
"""
TWO_FILES = """
import asyncio, gc, importlib.util, sys
from outlast import Engine

def load(file):
    spec = importlib.util.spec_from_file_location("job", file)
    module = importlib.util.module_from_spec(spec)
    sys.modules["job"] = module
    spec.loader.exec_module(module)
    return module

first = load("{first}")
{between}
second = load("{second}")

async def main():
    async with Engine.open("o.db") as engine:
        print(await engine.run(second.pays()))

asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("second", "between", "words"),
    [
        ("b/job.py", "", "two files with one module name"),
        ("b/job.py", "del first", ""),
        ("a/job.py", "", ""),
    ],
)
def test_two_files_of_one_module_name_are_refused_while_both_are_in_use(
    second: str, between: str, words: str, tmp_path: Path
) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "job.py").write_text(JOB.replace("{amount}", "7"))
    program = tmp_path / "program.py"
    text = TWO_FILES.replace("{first}", "a/job.py").replace("{second}", second)
    program.write_text(text.replace("{between}", between))

    done = subprocess.run(
        [sys.executable, str(program)], cwd=tmp_path, capture_output=True, text=True, check=False
    )

    assert (done.returncode == 0) == (not words)
    assert words in done.stderr
    assert done.stdout.strip() == ("" if words else "7")


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
