"""Recorded errors of steps, after their classes have moved or their declarations have changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.engine.versions import ran

PROGRAM = """
from outlast import Engine, RunClosed, Signal, StepFailed, step, workflow

{classes}

go = Signal("go", int)

@step(raises=({raises}))
async def charge() -> int:
    {body}

@workflow
async def pays() -> str:
    try:
        await charge()
    except {caught} as error:
        seen = f"declined {getattr(error, 'code', '-')} {type(error.__cause__).__name__}"
    except StepFailed:
        seen = "failed"
    await go.receive()
    return seen

async def begin(engine):
    await engine.start(pays(), id="r")
    async with asyncio.timeout(30):
        while (await engine.get("r").info()).status != "waiting":
            await asyncio.sleep(0.01)

async def parked(engine):
    run = engine.get("r")
    await run.signal(go, 1)
    async with asyncio.timeout(30):
        while (await run.info()).status != "parked":
            await asyncio.sleep(0.01)
    print(await run.why())

async def end(engine):
    run = engine.get("r", pays)
    try:
        await run.signal(go, 1)
    except RunClosed:
        pass  # it has had the signal of `parked`
    print(await run.result(timeout=30))
"""
DECLINED = """
class {name}(Exception):
    def __init__(self, code):
        super().__init__(f"code {code}")
        self.code = code
"""


def program(
    name: str = "Declined",
    *,
    classes: str = "",
    raises: str | None = None,
    body: str = "raise Declined(7)",
) -> str:
    """Return a program whose error class has this name."""
    text = PROGRAM.replace("{classes}", DECLINED.replace("{name}", name) + classes)
    text = text.replace("{raises}", f"{name}," if raises is None else raises)
    return text.replace("{body}", body).replace("{caught}", name)


@pytest.mark.parametrize(
    "later",
    [
        program("Refused"),
        program(raises=""),
        program("Refused", classes="class Declined(Exception): pass"),
    ],
)
def test_an_error_that_cannot_be_itself_any_more_parks_the_run(later: str, tmp_path: Path) -> None:
    ran(tmp_path, program(), "begin")

    (why,) = ran(tmp_path, later, "parked")

    assert "unreadable: the recorded error of step 'app.charge'" in why
    assert "app.Declined was raised in the workflow as its own class" in why
    assert "raises=" in why
    assert "OldName = NewName" in why
    assert ran(tmp_path, program(), "end") == ["declined 7 NoneType"]


def test_a_moved_error_is_found_by_the_alias_in_its_old_module(tmp_path: Path) -> None:
    ran(tmp_path, program(), "begin")

    assert ran(tmp_path, program("Refused", classes="Declined = Refused"), "end") == [
        "declined 7 NoneType"
    ]


def test_an_error_that_came_as_a_failed_step_stays_one(tmp_path: Path) -> None:
    ran(tmp_path, program(raises=""), "begin")

    assert ran(tmp_path, program(), "end") == ["failed"]


CAUSED = "raise Declined(7) from Lower()"
LOWER = "class Lower(Exception): pass"


def test_a_cause_that_was_itself_is_so_on_replay(tmp_path: Path) -> None:
    both = program(classes=LOWER, raises="Declined, Lower", body=CAUSED)
    one = program(classes=LOWER, body=CAUSED)
    ran(tmp_path, both, "begin")

    (why,) = ran(tmp_path, one, "parked")

    assert "app.Lower was raised in the workflow as its own class" in why
    assert ran(tmp_path, both, "end") == ["declined 7 Lower"]


def test_a_cause_that_was_left_out_stays_so_on_replay(tmp_path: Path) -> None:
    ran(tmp_path, program(classes=LOWER, body=CAUSED), "begin")

    both = program(classes=LOWER, raises="Declined, Lower", body=CAUSED)
    assert ran(tmp_path, both, "end") == ["declined 7 NoneType"]


DERIVED = """
    import errors_of_bank
    raise errors_of_bank.Refused(7)"""
BANK = """
from __main__ import Declined

class Refused(Declined):
    pass
"""


def test_an_error_that_derives_from_a_declared_one_comes_as_itself(tmp_path: Path) -> None:
    (tmp_path / "errors_of_bank.py").write_text(BANK)
    raising = program(body=DERIVED)
    ran(tmp_path, raising, "begin")

    (why,) = ran(tmp_path, raising, "parked")  # no step imports its module on replay

    assert "errors_of_bank.Refused was raised in the workflow as its own class" in why
    assert "import its module" in why
    importing = raising.replace("go = Signal", "import errors_of_bank\ngo = Signal")
    assert ran(tmp_path, importing, "end") == ["declined 7 NoneType"]


def test_an_error_that_cannot_be_stored_says_so_where_it_is_caught(tmp_path: Path) -> None:
    told = (
        program(body="raise Declined(object())")
        .replace("except StepFailed:", "except StepFailed as failed:")
        .replace('seen = "failed"', "seen = str(failed)")
        .replace('super().__init__(f"code {code}")', "super().__init__(code)")
    )
    ran(tmp_path, told, "begin")

    (seen,) = ran(tmp_path, told, "end")

    assert "raised as StepFailed: the arguments of Declined cannot be stored" in seen
