"""Agents whose journals were written once, under a known pydantic-ai, and must replay for ever.

`python -m tests.replay.agent_programs` writes those that are not there yet; a journal that is there
is never written again, because users have ones like it.
"""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path

from pydantic import BaseModel
from pydantic_ai import Agent, ModelRetry, RunContext, __version__
from pydantic_ai.capabilities import RequestInput

from outlast import Engine, Retry, Workflow, workflow
from outlast._records import Record, pack_records, unpack_records
from outlast._shapes import is_dict, is_list
from outlast.agents import Durability, effect, requires_approval
from outlast.testing import Calls, Malformed, Says, ScriptedModel

GOLDEN = Path(__file__).parent / "golden"


class Answer(BaseModel):
    place: str
    degrees: int


tries: list[str] = []


# ------------------------------------------------------------------- tools, several at once
clerk = Agent(
    ScriptedModel(
        [
            Calls(("look", {"place": "Oslo"}), ("look", {"place": "Rome"}), text="One moment."),
            Malformed("look", '{"place": '),
            Calls(("doubt", {})),
            Calls(("final_result", {"place": "Oslo", "degrees": -4})),
        ]
    ),
    name="clerk",
    output_type=Answer,
    capabilities=[Durability(steps={"tools": {"retry": Retry(attempts=2, first=0)}})],
)


@clerk.tool_plain
@effect("pure")
async def look(place: str) -> int:
    return len(place)


@clerk.tool_plain(retries=3)
@effect("pure")
async def doubt() -> str:
    tries.append("doubt")
    if len(tries) % 2:
        raise ModelRetry("not now")
    return "sure"


@workflow
async def structured() -> Answer:
    return (await clerk.run("How is the weather?")).output


# ---------------------------------------------------------------------- streams, agents within
speaker = Agent(
    ScriptedModel([Says("It is cold in Oslo.")]),
    name="speaker",
    capabilities=[Durability(stream=True)],
)


@workflow
async def streamed() -> list[str]:
    first, second = await asyncio.gather(speaker.run("One."), speaker.run("Two."))
    return [first.output, second.output, f"{len(second.all_messages())}"]


# --------------------------------------------------------------------- people, and at most once
asked: list[str] = []


def ask(ctx: RunContext[object], requests: object, token: str) -> None:
    del ctx, requests
    asked.append(token)


desk = Agent(
    ScriptedModel([Calls(("refund", {"cents": 5})), Calls(("pay", {})), "Done."]),
    name="desk",
    capabilities=[Durability(), RequestInput(ask)],
)


@desk.tool
@effect("at_most_once")
@requires_approval(by="boss")
async def refund(ctx: RunContext[object], cents: int) -> int:
    assert ctx.tool_call_approved
    return cents


@desk.tool_plain(requires_approval=True)
@effect("pure")
async def pay() -> str:
    return "paid"


@workflow
async def approved() -> str:
    return (await desk.run("Refund me.")).output


Program = Workflow[[], Answer] | Workflow[[], list[str]] | Workflow[[], str]
PROGRAMS: dict[str, Program] = {
    "structured": structured,
    "streamed": streamed,
    "approved": approved,
}


async def journal_of(name: str) -> list[Record]:
    """Run a program, and return its journal."""
    async with Engine.open("memory://golden") as engine:
        run = await engine.start(PROGRAMS[name](), id=name)
        ended = asyncio.ensure_future(run.result())
        given: set[str] = set()
        while not ended.done():
            await asyncio.wait([ended], timeout=0.01)
            async for token in engine.tokens():
                if token.kind == "approval" and token.id not in given:
                    await engine.approve(token.id, by="boss")
                elif token.kind == "token" and token.id not in given:
                    await engine.answer(token.id, {"approvals": {_first_call(token.detail): True}})
                given.add(token.id)
        await ended
        return [record.stored async for record in run.journal() if record.stored is not None]


def _first_call(detail: object) -> str:
    assert is_list(detail)
    assert is_dict(detail[0])
    return f"{detail[0]['id']}"


def golden_files() -> list[Path]:
    """Return the journals that there are, named `PROGRAM-VERSION`."""
    return sorted(GOLDEN.iterdir())


def read(file: Path) -> list[Record]:
    """Return a journal."""
    return unpack_records(base64.b64decode(file.read_bytes()))


def main() -> None:
    """Write the journals that are missing under this pydantic-ai."""
    GOLDEN.mkdir(exist_ok=True)
    for name in PROGRAMS:
        file = GOLDEN / f"{name}-{__version__}"
        if not file.exists():
            records = asyncio.run(journal_of(name))
            file.write_bytes(base64.encodebytes(pack_records(records)))


if __name__ == "__main__":
    main()
