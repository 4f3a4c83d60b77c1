"""`outlast.App`: what the commands open a program's engine with."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from outlast import App, Engine, step, this_step, workflow
from outlast.cli.loading import options_of
from outlast.errors import UsageError


class Clock:
    def __init__(self) -> None:
        self.ticks = 7


@step
async def ticks() -> int:
    return this_step().resource(Clock).ticks


@workflow
async def looks() -> int:
    return await ticks()


def program(directory: Path, name: str, text: str) -> str:
    file = directory / f"{name}.py"
    file.write_text(textwrap.dedent(text))
    return str(file)


async def test_a_program_opens_its_engine_with_its_app(tmp_path: Path) -> None:
    app = App(resources={Clock: Clock}, retention=None)

    async with app.open(tmp_path / "o.db") as engine:
        assert isinstance(engine, Engine)
        assert await engine.run(looks()) == 7


def test_the_app_of_a_program_is_found(tmp_path: Path) -> None:
    path = program(
        tmp_path,
        "app_with_options",
        """
        from outlast import App
        the_app = App(resources={dict: dict}, retention="90d", live_runs_max=5)
        again = the_app
        """,
    )

    options = options_of(path)

    assert (options.retention_seconds, options.live_runs_max) == (90 * 86_400, 5)
    assert list(options.resources) == [dict]
    assert options.executes


def test_a_program_without_one_has_the_defaults(tmp_path: Path) -> None:
    options = options_of(program(tmp_path, "app_without_options", "x = 1\n"))

    assert options.retention_seconds == 30 * 86_400
    assert options.resources == {}
    assert not options_of(None).executes


def test_several_apps_in_a_program_are_refused(tmp_path: Path) -> None:
    path = program(
        tmp_path, "app_twice", "from outlast import App\none = App()\nother = App(retention=None)\n"
    )

    with pytest.raises(UsageError, match=r"several outlast\.App objects: one, other"):
        options_of(path)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: App(live_runs_max=0), "at least 1"),
        (lambda: App(live_bytes_max=0), "at least 1"),
        (lambda: App(retention="-1d"), "not a duration"),
        (lambda: App(resources=cast("Any", [Clock])), "a mapping of types to makers"),
    ],
)
def test_what_makes_no_sense_is_refused_when_the_app_is_declared(
    make: Callable[[], App], words: str
) -> None:
    with pytest.raises((UsageError, ValueError), match=words):
        make()
