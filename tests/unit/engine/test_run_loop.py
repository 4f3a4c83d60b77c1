"""The loop that a program is run on."""

from __future__ import annotations

import asyncio
import sys

import pytest

from outlast.engine import run_loop


async def fails() -> None:
    raise ValueError("mine")


async def which() -> str:
    return type(asyncio.get_running_loop()).__module__.split(".")[0]


def test_without_uvloop_errors_of_a_program_have_no_other_error_behind_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", None)
    with pytest.raises(ValueError, match="mine") as raised:
        run_loop(fails())
    assert raised.value.__context__ is None
    assert run_loop(which()) == "asyncio"


def test_with_uvloop_its_loop_is_used() -> None:
    pytest.importorskip("uvloop")
    assert run_loop(which()) == "uvloop"
