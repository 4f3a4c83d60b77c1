"""Which definition a stored name stands for, and which definitions exclude each other."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from outlast import Engine, Workflow, workflow
from outlast._callables import does_the_same
from outlast._registry import Registry, WorkflowDefinition
from outlast.errors import (
    RegistrationError,
    UnknownWorkflow,
)


async def _coroutine(a: int) -> int:
    return a


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
        with pytest.raises(RegistrationError, match=r"test_registry\.py:\d+"):
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
