"""A tool that is killed in the middle: its effect, counted in a file, is what it declares."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

pytest.importorskip("pydantic_ai")

from tests.preloaded import Finished, run_program

PROGRAM = """
import asyncio, os, sys
from pydantic_ai import Agent, ModelMessage, ModelResponse, RunContext, TextPart, ToolCallPart
from pydantic_ai.messages import ToolReturnPart
from pydantic_ai.models.function import AgentInfo, FunctionModel
from outlast import Engine, workflow
from outlast.agents import Durability, effect, idempotency_key, requires_approval
from outlast.testing import assert_exactly_once

db, effects, kind, kill_at, *answers = sys.argv[1:]

def happens(what):
    with open(effects, "a") as file:
        file.write(what + "\\n")
    with open(effects) as file:
        count = file.read().split().count(what)
    if what == kill_at and count == 1:
        os.kill(os.getpid(), 9)

async def talk(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    if not any(isinstance(message, ModelResponse) for message in messages):
        return ModelResponse(parts=[
            ToolCallPart("refund", {"order": o, "cents": 5}, tool_call_id=f"call_{o}") for o in "AB"
        ])
    told = [part.content for part in messages[-1].parts if isinstance(part, ToolReturnPart)]
    return ModelResponse(parts=[TextPart("; ".join(map(str, told)))])

agent = Agent(FunctionModel(talk), name="desk", capabilities=[Durability()])

async def undo(ctx: RunContext[None], order: str, cents: int) -> None:
    happens(f"undo:{order}")

declared = {
    "none": lambda function: function,
    "pure": effect("pure"),
    "idempotent": effect(idempotent=lambda ctx, order, cents: f"refund:{order}"),
    "compensate": effect(compensate=undo),
    "at_most_once": effect("at_most_once"),
    "approved": lambda f: effect("at_most_once")(requires_approval()(f)),
}[kind]

@agent.tool
@declared
async def refund(ctx: RunContext[None], order: str, cents: int) -> str:
    happens(f"before:{order}")
    happens(f"key:{idempotency_key()}" if kind == "idempotent" else f"effect:{order}")
    happens(f"after:{order}")
    return f"{order} is refunded"

@workflow
async def serve() -> str:
    return (await agent.run("Refund.")).output

async def main() -> None:
    async with Engine.open(db) as engine:
        run = await engine.start(serve(), id="a")
        waiting = asyncio.create_task(run.result())
        given = set()
        while not waiting.done():
            await asyncio.wait([waiting], timeout=0.02)
            async for token in engine.tokens():
                if token.id in given:
                    continue
                given.add(token.id)
                print(token.title, token.detail)
                if token.kind == "approval":
                    await engine.approve(token.id, by="ann", digest=token.digest)
                else:
                    answer = {"happened": answers[0] == "yes"}
                    await engine.answer(token.id, answer, by="ann", digest=token.digest)
        print(await waiting)
        await assert_exactly_once(run, "refund", calls=2)

asyncio.run(main())
"""

DONE = "A is refunded; B is refunded"
QUESTION = (
    "desk: refund was cut off. Did it happen? "
    "{'agent': 'desk', 'arguments': {'cents': 5, 'order': 'A'}, 'tool': 'refund'}"
)


def killed(tmp_path: Path, *arguments: str) -> tuple[list[str], Counter[str], str]:
    """Run the program, which kills itself, and again; what it prints, and its effects."""
    program, effects = tmp_path / "program.py", tmp_path / "effects"
    program.write_text(PROGRAM)

    def run() -> Finished:
        return run_program(program, str(tmp_path / "outlast.db"), str(effects), *arguments)

    assert run().returncode == -9
    done = run()
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines(), Counter(effects.read_text().split()), done.stderr


def test_a_pure_tool_is_called_again(tmp_path: Path) -> None:
    said, effects, errors = killed(tmp_path, "pure", "effect:A")

    assert said == [DONE]
    assert effects["before:A"] == 2
    assert errors == ""


def test_a_tool_without_declaration_is_called_again_with_a_warning(tmp_path: Path) -> None:
    said, effects, errors = killed(tmp_path, "none", "after:A")

    assert said == [DONE]
    assert effects["effect:A"] == 2
    assert errors.count("tool 'refund' of agent 'desk' does not declare its effect") == 1


@pytest.mark.parametrize("kill_at", ["before:A", "after:A"])
def test_an_idempotent_tool_is_called_again_under_the_same_key(
    tmp_path: Path, kill_at: str
) -> None:
    said, effects, _ = killed(tmp_path, "idempotent", kill_at)

    assert said == [DONE]
    keys = {what: count for what, count in effects.items() if what.startswith("key:")}
    assert keys.keys() == {"key:refund:A", "key:refund:B"}
    assert keys["key:refund:A"] == (1 if kill_at == "before:A" else 2)


@pytest.mark.parametrize("kill_at", ["before:A", "after:A"])
def test_a_tool_that_may_have_happened_is_undone_and_called_again(
    tmp_path: Path, kill_at: str
) -> None:
    said, effects, _ = killed(tmp_path, "compensate", kill_at)

    assert said == [DONE]
    assert effects["undo:A"] == 1
    assert effects["effect:A"] == (1 if kill_at == "before:A" else 2)
    assert 1 <= effects["effect:B"] <= 1 + effects["undo:B"]  # it was under way as well


def test_what_a_person_says_has_happened_is_not_done_again(tmp_path: Path) -> None:
    said, effects, _ = killed(tmp_path, "at_most_once", "effect:A", "yes")

    assert QUESTION in said
    assert said[-1].startswith("refund was completed; what it returned is not known.; ")
    assert effects["effect:A"] == 1
    assert effects["effect:B"] <= 1


def test_what_a_person_says_has_not_happened_is_done_once(tmp_path: Path) -> None:
    said, effects, _ = killed(tmp_path, "at_most_once", "before:A", "no")

    assert QUESTION in said
    assert said[-1] == DONE
    assert effects["effect:A"] == 1


def test_an_approval_that_was_given_is_not_asked_for_again(tmp_path: Path) -> None:
    said, effects, _ = killed(tmp_path, "approved", "before:A", "no")

    assert [line for line in said if line.startswith("desk: refund {")] == []
    assert QUESTION in said
    assert said[-1] == DONE
    assert effects["effect:A"] == effects["effect:B"] == 1
