"""Arguments of the agents' part that make no sense: each error says what was given, and what to do.

The names are held as functions of anything: a type checker would have refused these calls.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pydantic_ai import RunContext
from pydantic_ai.exceptions import UserError

from outlast.agents import Durability, effect, requires_approval
from outlast.errors import UsageError
from outlast.testing import (
    Calls,
    Cut,
    Malformed,
    Refuses,
    Says,
    ToolCall,
    assert_exactly_once,
    fork,
    record,
    replay_model,
)

Anything = Callable[..., object]
durability: Anything = Durability
approval: Anything = requires_approval
said: Anything = Says
called: Anything = Calls
call: Anything = ToolCall
malformed: Anything = Malformed
refused: Anything = Refuses
cut: Anything = Cut
replay: Anything = replay_model


def pay(ctx: RunContext[None], cents: int) -> int:
    del ctx
    return cents


async def is_small(ctx: RunContext[None], cents: int) -> bool:
    del ctx
    return cents < 100


@pytest.mark.parametrize(
    ("declare", "message"),
    [
        (lambda: durability(steps=5), "steps= takes a dict .*, not 5"),
        (lambda: durability(models=["fast"]), r"models= takes a dict .*, not \['fast'\]"),
        (lambda: durability(models={"fast": 5}), "not 5 under 'fast': make it with infer_model"),
        (lambda: durability(event_stream_handler=5), "takes an async function .*, not 5"),
        (lambda: durability(name=""), "name= is a text that is not empty, not ''"),
        (lambda: durability(steps={"model": {"effect": effect("pure")}}), "takes no effect"),
        (
            lambda: durability(steps={"tools": {"once": "twice"}}),
            r"^Durability: steps=\{'tools': ...\}: once is one of \(.*'at_most'\), not 'twice'$",
        ),
        (lambda: approval(pay), r"write @requires_approval\(\) above the function"),
        (lambda: approval(by=5), "the name of who approves, not 5"),
        (lambda: approval(by=" "), "the name of who approves, not ' '"),
        (lambda: approval(unless=5), "a function of the tool's arguments, not 5"),
        (lambda: approval(unless=is_small), "a plain function, not a coroutine function"),
    ],
)
def test_what_agents_are_declared_with_is_checked(declare: Anything, message: str) -> None:
    with pytest.raises(UserError, match=message):
        declare()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: cut(-3, "a b"), "after_tokens is a whole number from 0 on, not -3"),
        (lambda: cut(1, 5), "Cut: text is a text, not 5"),
        (lambda: said(5), "Says: text is a text, not 5"),
        (lambda: called(("pay", 5)), "a dict of its arguments, not 'pay' and 5"),
        (lambda: called("pay"), "takes the name of a tool and its arguments, .*, not 'pay'"),
        (lambda: called(("pay",)), r"or a ToolCall, not \('pay',\)"),
        (lambda: called(("pay", {}), text=5), "Calls: text is a text, not 5"),
        (lambda: call(5, {}), "the name of a tool .*, not 5"),
        (lambda: call("pay", {}, 5), "ToolCall: id is a text, not 5"),
        (lambda: malformed("pay", {}), "Malformed: arguments is a text, not {}"),
        (lambda: refused(None), "Refuses: reason is a text, not None"),
        (lambda: replay("refund.json"), r"not 'refund.json': .* Recording.load\(path\)"),
    ],
)
def test_what_stands_for_a_model_is_checked(make: Anything, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make()


async def test_what_is_no_run_is_refused() -> None:
    with pytest.raises(UsageError, match=r"a run is given by its handle, .*, not by 'r'"):
        await record("r")  # type: ignore[arg-type]  # what the checker refuses
    with pytest.raises(UsageError, match=r"a run is given by its handle, .*, not by 5"):
        await assert_exactly_once(5, "pay")  # type: ignore[arg-type]  # the same
    with pytest.raises(UsageError, match="a run is given by its handle"):
        await record(["r"])  # type: ignore[list-item]  # the same
    with pytest.raises(UsageError, match=r"takes the handle of a run, .*, not 'r'"):
        await fork("r", at=1)  # type: ignore[arg-type]  # the same
