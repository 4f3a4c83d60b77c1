"""What tools take and return, as the journal keeps it; and what is said when it cannot."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
from pydantic_ai import Agent, RunContext, Tool

from outlast import Engine, RunFailed, RunParked, limits, workflow
from outlast.agents import Durability, effect, requires_approval
from outlast.testing import Asked, Calls, ScriptedModel, Turn


def told(asked: Asked) -> str:
    return " ".join(result.content for result in asked.results)


@effect("pure")
async def doubled(data: bytes) -> list[bytes]:
    return [data, bytes(range(256))]


def agent_with_bytes(name: str, *, stream: bool) -> Agent[None, str]:
    script: list[Turn] = [Calls(("doubled", {"data": "aé"})), told]
    made = Agent(ScriptedModel(script), name=name, capabilities=[Durability(stream=stream)])
    made.tool_plain(doubled)
    return made


AGENTS = {
    False: agent_with_bytes("plain", stream=False),
    True: agent_with_bytes("streaming", stream=True),
}


@workflow
async def ask_for_bytes(stream: bool) -> str:
    return (await AGENTS[stream].run("Go.")).output


@pytest.mark.parametrize("stream", [False, True])
async def test_bytes_that_are_no_text_are_stored_without_a_warning(
    engine: Engine, stream: bool
) -> None:
    said = await (await engine.start(ask_for_bytes(stream))).result()  # a warning would fail it
    assert said.startswith('["YcOp","AAECAwQF')


# ------------------------------------------------------------------- what fails says where
@effect("pure")
async def unstorable() -> object:
    return object()


@effect("pure")
async def large() -> str:
    return "x" * (limits.PAYLOAD_BYTES_MAX + 1)


def key_of(order: str) -> str:
    return order


def is_known(ctx: RunContext[None], order: str) -> bool:
    del ctx
    return bool(order)


@effect(idempotent=key_of)
async def misnamed(number: int) -> int:
    return number


@requires_approval(unless=is_known)
@effect("pure")
async def misasked(ctx: RunContext[None], number: int) -> int:
    del ctx
    return number


def agent_with(name: str) -> Agent[None, str]:
    arguments = {"number": 1} if name.startswith("mis") else {}
    script: list[Turn] = [Calls((name, arguments)), told]
    return Agent(
        ScriptedModel(script),
        name="desk",
        tools=[Tool(FAILING[name], name=name)],
        capabilities=[Durability()],
    )


FAILING: dict[str, Callable[..., Awaitable[object]]] = {
    "unstorable": unstorable,
    "large": large,
    "misnamed": misnamed,
    "misasked": misasked,
}
FAILING_AGENTS = {name: agent_with(name) for name in FAILING}


@workflow
async def ask_in_vain(name: str) -> str:
    return (await FAILING_AGENTS[name].run("Go.")).output


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("unstorable", "tool 'unstorable' of agent 'desk': cannot store the value"),
        ("large", "tool 'large' of agent 'desk': the value is 2,097,"),
        (
            "misnamed",
            r"the key function, effect\(idempotent=...\), of tool 'misnamed' raised TypeError: ",
        ),
        (
            "misasked",
            r"the function of requires_approval\(unless=...\) of tool 'misasked' raised TypeError",
        ),
    ],
)
async def test_a_failure_names_the_tool_and_the_function(
    engine: Engine, name: str, message: str
) -> None:
    run = await engine.start(ask_in_vain(name))
    with pytest.raises(RunFailed, match=message):
        await run.result()


@workflow
async def ask_blocking() -> str:
    return AGENTS[False].run_sync("Go.").output


async def test_a_blocking_run_in_a_workflow_is_told_to_await(engine: Engine) -> None:
    run = await engine.start(ask_blocking())
    with pytest.raises(RunParked, match=r"`await agent.run\(...\)`, not agent.run_sync\(...\)"):
        await run.result()
