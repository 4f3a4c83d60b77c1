"""Errors that are final at once: those of `never_on`, their causes and members of groups."""

from __future__ import annotations

import pytest

from outlast import Engine, Retry, RunFailed, step, workflow


class NeverAgain(Exception):
    """An error that no attempt mends."""


class NeverAtAll(NeverAgain):
    """A kind of it."""


_FINAL = Retry(attempts=3, first="1ms", jitter="none", never_on=(NeverAgain,))


def raise_related(kind: str) -> None:
    """Raise an error that has to do with `NeverAgain`, or not."""
    if kind == "subclass":
        raise NeverAtAll
    if kind == "cause":
        try:
            raise NeverAtAll
        except NeverAgain as inner:
            raise RuntimeError("outer") from inner
    if kind == "group":
        raise ExceptionGroup("g", [ValueError("a"), ExceptionGroup("inner", [NeverAtAll()])])
    if kind == "cause in a group":
        error = ValueError("b")
        error.__cause__ = NeverAgain()
        raise ExceptionGroup("g", [error])
    if kind == "circle":
        error = ValueError("c")
        error.__cause__ = RuntimeError("d")
        error.__cause__.__cause__ = error
        raise error
    raise RuntimeError("other")


@step(retry=_FINAL)
async def related_on_loop(kind: str) -> None:
    raise_related(kind)


@step(retry=_FINAL)
def related_on_thread(kind: str) -> None:
    raise_related(kind)


@step(retry=_FINAL, where="process")
def related_in_process(kind: str) -> None:
    raise_related(kind)


@workflow
async def related(where: str, kind: str) -> None:
    bodies = {"loop": related_on_loop, "thread": related_on_thread, "process": related_in_process}
    await bodies[where](kind)


@pytest.mark.parametrize("where", ["loop", "thread", "process"])
async def test_never_on_looks_at_causes_and_members_of_groups(engine: Engine, where: str) -> None:
    final = ("subclass", "cause", "group", "cause in a group")
    for kind in (*final, "circle", "other"):
        run = await engine.start(related(where, kind))
        with pytest.raises(RunFailed):
            await run.result(timeout=30)

        last = [r.attempt async for r in run.journal() if r.kind == "step_done"]
        assert last == [1 if kind in final else 3], kind
