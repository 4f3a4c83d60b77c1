"""200 children under one budget, in a process that is killed: what the provider counts fits in it.

The provider counts in a file what it has answered, also what nobody received: the process is killed
right after an answer was counted, with other requests under way.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("pydantic_ai")

from tests.preloaded import Finished, run_program

CHILDREN = 200

PROGRAM = """
import asyncio, json, os, sys
from pydantic_ai import Agent, ModelMessage, ModelResponse, TextPart
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.settings import ModelSettings
from pydantic_ai.usage import RequestUsage
from outlast import Engine, workflow
from outlast.agents import Durability, Price, budget, budget_info, budget_infos, set_prices
from outlast.errors import OverBudget

db, counts, limit, *kill_at = sys.argv[1:]
set_prices({"metered": Price(input="1", output="10")})

def count(used):
    with open(counts, "a") as file:
        file.write(f"{used.input_tokens} {used.output_tokens}\\n")
    with open(counts) as file:
        answered = len(file.readlines())
    if str(answered) in kill_at:
        os.kill(os.getpid(), 9)

async def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    number = int(messages[0].parts[-1].content.split()[-1])
    await asyncio.sleep(0.001 * (number % 7))
    wants = 5 + number % 40
    used = RequestUsage(
        input_tokens=10 + number % 20,
        output_tokens=min(wants, info.model_settings["max_tokens"]),
    )
    count(used)
    return ModelResponse(parts=[TextPart("ok")], usage=used)

agent = Agent(
    FunctionModel(answer, model_name="metered"), name="crowd", capabilities=[Durability()],
    model_settings=ModelSettings(max_tokens=40),
)

@workflow
async def child(number: int) -> bool:
    try:
        with budget(scope="team", usd="10"):
            await agent.run(f"Question number {number}")
    except OverBudget:
        return False
    return True

@workflow
async def crowd() -> list[int]:
    with budget(tokens=int(limit), usd="10") as spent:
        ended = await asyncio.gather(*(child(number) for number in range(200)))
        await spent.refresh()
    return [sum(ended), spent.tokens, spent.remaining.tokens]

async def main() -> None:
    async with Engine.open(db) as engine:
        run = await engine.start(crowd(), id="crowd")
        made, spent, left = await run.result()
        own = [info.name async for info in budget_infos(engine) if not info.is_named]
        ledger = await budget_info(engine, own[0])
        team = await budget_info(engine, "team")
        print(json.dumps({
            "made": made, "spent": spent, "left": left, "ledgers": len(own),
            "lost": ledger.tokens_lost, "reserved": ledger.tokens_reserved,
            "team": team.tokens, "team_reserved": team.tokens_reserved,
        }))

asyncio.run(main())
"""


def answered(counts: Path) -> tuple[int, int]:
    """Return how many requests the provider has answered, and the tokens of all of them."""
    lines = counts.read_text().splitlines()
    return len(lines), sum(int(number) for line in lines for number in line.split())


@pytest.mark.crash
@pytest.mark.parametrize(
    ("limit", "kill_at"),
    [(4_000, ()), (8_000, (40,)), (100_000, (3, 60, 150))],
    ids=["alive", "scarce", "plenty"],
)
def test_the_provider_counts_no_more_than_the_budget(
    tmp_path: Path, limit: int, kill_at: tuple[int, ...]
) -> None:
    program, counts = tmp_path / "program.py", tmp_path / "counts"
    program.write_text(PROGRAM)

    def run() -> Finished:
        numbers = [f"{number}" for number in kill_at]
        return run_program(program, str(tmp_path / "outlast.db"), str(counts), f"{limit}", *numbers)

    for _ in kill_at:
        assert run().returncode == -9
    done = run()
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])

    requests, tokens = answered(counts)
    assert tokens <= said["spent"] <= limit
    assert said["spent"] - said["lost"] <= tokens
    assert said["reserved"] == 0
    assert said["left"] == limit - said["spent"]
    assert tokens <= said["team"] + said["team_reserved"]
    assert said["ledgers"] == 1
    assert requests >= said["made"]
    if not kill_at:
        assert (said["lost"], tokens) == (0, said["spent"])
        assert limit - said["spent"] < 300  # so little is left that no request fits
    if limit == 100_000:
        assert said["made"] == CHILDREN
        assert said["team_reserved"] == 0
