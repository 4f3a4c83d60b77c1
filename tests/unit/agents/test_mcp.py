"""MCP servers as processes beside the engine: started once, restarted, limited, ended with it."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("fastmcp")

from pydantic_ai import Agent, ModelMessage, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.mcp import MCPToolset
from pydantic_ai.models.function import AgentInfo, FunctionModel
from typing_extensions import override

from outlast import Engine, workflow
from outlast._built import Built
from outlast._execution.bodies.context import in_step
from outlast.agents import (
    Durability,
    StepConfig,
    StepConfigs,
    ToolOutcome,
    effect,
    programs,
)
from outlast.agents.mcp import McpProcess, ProgramFailed, mcp_process
from outlast.agents.tools.effects import warned_of
from outlast.errors import RunFailed, UsageError
from outlast.testing import Sim
from tests.unit.agents.scripted import returns_in, turn_of

SERVER = Path(__file__).with_name("tool_server.py")


class Servers:
    """The server that the workflow of a test uses."""

    agent: Agent[object, str]


async def talk(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    """Call what the prompt names, one tool a turn, then say what the last one returned."""
    del info
    first = messages[0]
    names = f"{getattr(first.parts[0], 'content', '')}".split()
    turn = turn_of(messages)
    if turn < len(names):
        call = ToolCallPart(names[turn], {"text": f"t{turn}"}, tool_call_id=f"call_{turn}")
        return ModelResponse(parts=[call])
    return ModelResponse(parts=[TextPart(" ".join(returns_in(messages)))])


def use(process: McpProcess, *, timeout: str = "60s", steps: StepConfigs | None = None) -> None:
    toolset: MCPToolset[object] = MCPToolset(process, id="tools")
    mcp: StepConfig = {"effect": effect("pure"), "timeout": timeout}
    Servers.agent = Agent(
        FunctionModel(talk),
        name="tooled",
        toolsets=[toolset],
        capabilities=[Durability(steps={"mcp": mcp} if steps is None else steps)],
    )


@workflow
async def call_tools(names: str) -> str:
    return (await Servers.agent.run(names)).output


def lines(log: Path, what: str) -> list[str]:
    text = log.read_text() if log.exists() else ""
    return [line for line in text.split() if line.startswith(what)]


def is_alive(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    return True


async def until_gone(pid: str) -> None:
    async with asyncio.timeout(10):
        while is_alive(pid):  # noqa: ASYNC110  # a process of the system has no event
            await asyncio.sleep(0.01)


def server(log: Path, *arguments: str, idle: str = "5m", restarts: int = 5) -> McpProcess:
    return mcp_process(
        sys.executable,
        str(SERVER),
        str(log),
        *arguments,
        idle=idle,
        restarts=restarts,
        within="30s",
        memory_bytes_max=256 * 1024 * 1024,
    )


async def test_one_process_serves_all_runs_and_ends_with_the_engine(tmp_path: Path) -> None:
    log = tmp_path / "log"
    use(server(log))
    async with Engine.open(str(tmp_path / "a.db")) as engine:
        assert lines(log, "started") == []
        runs = [await engine.start(call_tools("echo echo")) for _ in range(5)]
        said = {await run.result() for run in runs}
        (started,) = lines(log, "started:")
        pid = started.partition(":")[2]
        assert said == {f"t1 of {pid}"}
        assert is_alive(pid)
    await until_gone(pid)
    assert len(lines(log, "echo")) == 10


async def test_the_step_of_a_call_names_its_tool(tmp_path: Path) -> None:
    use(server(tmp_path / "log"))
    async with Engine.open(str(tmp_path / "a.db")) as engine:
        run = await engine.start(call_tools("echo"))
        await run.result()
        names = [record.name async for record in run.journal() if record.kind == "step_done"]
    assert "tooled__mcp_server__tools.call_tool:echo" in names


async def test_an_undeclared_tool_of_a_server_is_told_what_can_declare_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    use(server(tmp_path / "log"), steps={})
    warned_of.clear()
    with caplog.at_level(logging.WARNING, logger="outlast.agents"):
        async with Engine.open(str(tmp_path / "a.db")) as engine:
            await (await engine.start(call_tools("echo"))).result()
    (warning,) = [r.getMessage() for r in caplog.records if r.name == "outlast.agents"]
    assert 'Durability(steps={"mcp": {"effect": effect("at_most_once")}})' in warning
    assert "Decorate" not in warning


async def test_a_call_that_must_not_be_repeated_is_asked_about_when_its_server_ends(
    tmp_path: Path,
) -> None:
    log = tmp_path / "log"
    use(server(log), steps={"mcp": {"effect": effect("at_most_once")}})
    async with Engine.open(str(tmp_path / "a.db")) as engine:
        run = await engine.start(call_tools("die echo"))
        async with asyncio.timeout(20):
            while not (tokens := [t async for t in engine.tokens()]):  # noqa: ASYNC110  # a person
                await asyncio.sleep(0.01)
        assert "die was cut off. Did it happen?" in f"{tokens[0].title}"
        await engine.answer(tokens[0].id, ToolOutcome(happened=True, result="dead"))
        assert "of" in await run.result()
    assert lines(log, "die") == ["die:t0"]


async def test_a_server_that_ends_is_started_again(tmp_path: Path) -> None:
    log = tmp_path / "log"
    use(server(log))
    async with Engine.open(str(tmp_path / "a.db")) as engine:
        assert await (await engine.start(call_tools("die"))).result() == "Connection closed"
        assert "t0 of" in await (await engine.start(call_tools("echo"))).result()
    assert len(lines(log, "started:")) == 2


async def test_a_server_that_ends_at_once_is_not_started_for_ever(tmp_path: Path) -> None:
    log = tmp_path / "log"
    use(server(log, "--broken", restarts=2))
    async with Engine.open(str(tmp_path / "a.db")) as engine:
        for _ in range(2):
            with pytest.raises(
                RunFailed, match=r"ProgramFailed: MCP server .* has ended: .* It has written "
            ):
                await (await engine.start(call_tools("echo"))).result()
        with pytest.raises(
            RunFailed,
            match=r"ProgramFailed: .* was started 2 times within 30 s and ended each time: it is "
            r"not started again for \d+ s. It has written last: cannot read the configuration",
        ):
            await (await engine.start(call_tools("echo"))).result()
    assert len(lines(log, "started:")) == 2


async def test_a_server_that_hangs_in_a_call_is_replaced(tmp_path: Path) -> None:
    log = tmp_path / "log"
    use(server(log), timeout="2s")
    async with Engine.open(str(tmp_path / "a.db")) as engine:
        with pytest.raises(RunFailed, match="StepTimeout"):
            await (await engine.start(call_tools("hang"))).result()
        await until_gone(lines(log, "started:")[0].partition(":")[2])
        assert "t0 of" in await (await engine.start(call_tools("echo"))).result()
    assert len(lines(log, "started:")) == 2


async def test_a_server_without_ping_is_not_taken_for_one_that_hangs(tmp_path: Path) -> None:
    log = tmp_path / "log"
    use(server(log, "no-ping"))
    async with Engine.open(str(tmp_path / "a.db")) as engine:
        for _ in range(3):
            assert "of" in await (await engine.start(call_tools("echo"))).result()
    assert len(lines(log, "started:")) == 1


async def test_starts_of_servers_that_end_with_their_engine_do_not_count(tmp_path: Path) -> None:
    log = tmp_path / "log"
    use(server(log, restarts=1))
    for number in range(3):
        async with Engine.open(str(tmp_path / f"{number}.db")) as engine:
            assert "of" in await (await engine.start(call_tools("echo"))).result()
    assert len(lines(log, "started:")) == 3


async def test_what_a_server_writes_is_logged_under_no_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[bool] = []

    class Noting(logging.Filter):
        @override
        def filter(self, record: logging.LogRecord) -> bool:
            seen.append(in_step())
            return True

    logger, noting = logging.getLogger("outlast.mcp"), Noting()
    logger.addFilter(noting)
    use(server(tmp_path / "log", "--broken", restarts=1))
    try:
        with caplog.at_level(logging.INFO, logger="outlast.mcp"):
            async with Engine.open(str(tmp_path / "a.db")) as engine:
                with pytest.raises(RunFailed, match="cannot read the configuration"):
                    await (await engine.start(call_tools("echo"))).result()
    finally:
        logger.removeFilter(noting)
    assert "cannot read the configuration" in caplog.text
    assert seen
    assert not any(seen)


async def test_the_process_that_starts_it_is_the_one_it_ends_with(tmp_path: Path) -> None:
    process = server(tmp_path / "log")
    assert process.command == sys.executable
    assert str(os.getpid()) not in process.args  # a fork may come between
    use(process)
    async with Engine.open(str(tmp_path / "a.db")) as engine:
        await (await engine.start(call_tools("echo"))).result()
    assert str(os.getpid()) in process.args


async def test_a_server_that_nobody_uses_is_ended_and_comes_back(tmp_path: Path) -> None:
    log = tmp_path / "log"
    use(server(log, idle="300ms"))
    async with Engine.open(str(tmp_path / "a.db")) as engine:
        await (await engine.start(call_tools("echo"))).result()
        await until_gone(lines(log, "started:")[0].partition(":")[2])
        await (await engine.start(call_tools("echo"))).result()
    assert len(lines(log, "started:")) >= 2
    assert len(lines(log, "echo:")) == 2


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_DATA is Linux's")
async def test_a_server_cannot_take_more_memory_than_it_may(tmp_path: Path) -> None:
    log = tmp_path / "log"
    use(server(log))
    async with Engine.open(str(tmp_path / "a.db")) as engine:
        assert await (await engine.start(call_tools("eat"))).result() == "Connection closed"
        assert "t0 of" in await (await engine.start(call_tools("echo"))).result()
    assert lines(log, "eat") == ["eat:t0"]


async def test_outside_of_a_run_it_ends_with_its_session(tmp_path: Path) -> None:
    log = tmp_path / "log"
    use(server(log))

    async with Servers.agent:
        said = (await Servers.agent.run("echo")).output

    (started,) = lines(log, "started:")
    assert said == f"t0 of {started.partition(':')[2]}"
    await until_gone(started.partition(":")[2])


async def test_a_simulation_says_that_it_has_no_processes(tmp_path: Path) -> None:
    use(server(tmp_path / "log"))
    async with Sim(seed=1) as sim:
        with pytest.raises(RunFailed, match="a simulation has no processes"):
            await sim.run(call_tools("echo"))


def called(function: Callable[..., object], *args: object, **kwargs: object) -> object:
    """Call a function with what a type checker would have refused."""
    return function(*args, **kwargs)


def test_what_cannot_be_started_is_said_when_it_is_declared() -> None:
    with pytest.raises(ProgramFailed, match="'no-such-program' was not found on PATH: install it"):
        mcp_process("no-such-program")
    with pytest.raises(ProgramFailed, match=r"the working directory '/no/such' .* does not exist"):
        mcp_process(sys.executable, cwd="/no/such")
    with pytest.raises(UsageError, match="as text, not 5: write '5'"):
        called(mcp_process, sys.executable, 5)
    with pytest.raises(UsageError, match="env= has texts by name, not 5 under 'A'"):
        called(mcp_process, sys.executable, env={"A": 5})
    with pytest.raises(UsageError, match="restarts is at least 1"):
        mcp_process(sys.executable, restarts=0)
    with pytest.raises(UsageError, match="memory_bytes_max"):
        mcp_process(sys.executable, memory_bytes_max=-1)


def test_a_built_executable_is_not_started_as_if_it_were_a_python(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    built = Built(name="watch", app="watch.py", module="watch", code="", built_at=0.0, versions={})
    monkeypatch.setattr(programs, "BUILT", built)

    with pytest.raises(UsageError, match=r"made by `outlast build`.*Name a Python that is"):
        mcp_process(sys.executable, "clock.py")
    assert mcp_process("sh", "-c", "true").command.endswith("/sh")
