"""A server killed again and again while clients talk to an agent and others read along."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Sequence
from pathlib import Path

import pytest
from pydantic_ai import ModelRequest, ModelResponse

from outlast.agents import Entry, conversation_entries
from outlast.client import Client
from outlast.errors import EngineClosed, HandlerFailed, StoreUnavailable
from outlast.types import WhileBusy
from tests.crash.conversation_program import WORDS, Host
from tests.crash.serving import Server
from tests.simulation.conversations import said_in, texts_in

IS_FULL = os.environ.get("OUTLAST_TEST_FULL") == "1"
KILLS = 20 if IS_FULL else 6
TEXTS = 40 if IS_FULL else 16
READERS = 3
PROGRAM = Path(__file__).with_name("conversation_program.py")
POLICIES: Sequence[WhileBusy] = ("queue", "queue", "steer", "interrupt")


async def talk(client: Client, texts: Sequence[str], chance: random.Random) -> list[str]:
    """Say texts at random moments, each until it is answered, and return the answers."""

    async def say(number: int, text: str, policy: WhileBusy) -> str:
        await asyncio.sleep(0.25 * number * chance.random())
        host = client.actor(Host, "one").options(dedup=text, while_busy=policy, timeout="60s")
        while True:
            try:
                return await host.ask(Host.chat, text)
            except HandlerFailed as error:
                return error.type_name
            except (StoreUnavailable, EngineClosed):
                await asyncio.sleep(0.05)  # until the server is back

    said = (say(n, text, chance.choice(POLICIES)) for n, text in enumerate(texts))
    return list(await asyncio.gather(*said))


async def read(client: Client) -> tuple[list[Entry], str]:
    """Follow the conversation to its end; return its entries and the words that are left."""
    run = client.get(client.actor(Host, "one").id)

    async def entries() -> list[Entry]:
        values = [event.value async for event in run.stream(conversation_entries)]
        return [value for value in values if isinstance(value, Entry)]

    async def words() -> str:
        kept: list[tuple[str, str]] = []
        async for event in run.stream("agent_events"):
            if event.kind == "retract":
                kept = [pair for pair in kept if pair[0] != event.writer]
            elif event.kind == "data":
                kept.append((event.writer, said_in(event.value)))
        return "".join(said for _, said in kept)

    return await asyncio.gather(entries(), words())


@pytest.mark.crash
async def test_a_conversation_is_the_same_for_all_while_its_server_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(14)
    counted = tmp_path / "counted"
    monkeypatch.setenv("OUTLAST_TEST_COUNTED", str(counted))
    texts = [f"{'gift' if number % 4 == 0 else 'talk'}{number}" for number in range(TEXTS)]
    server = Server(tmp_path, PROGRAM)
    server.start()
    try:
        async with server.client() as client:
            await server.ready()
            assert await client.actor(Host, "one").ask(Host.chat, "hello") != ""
            readers = [asyncio.create_task(read(client)) for _ in range(READERS)]
            talking = asyncio.create_task(talk(client, texts, chance))
            for _ in range(KILLS):
                await asyncio.wait([talking], timeout=0.3 + 0.5 * chance.random())
                server.kill()
                server.start()
            answers = await talking
            await client.get(client.actor(Host, "one").id).terminate("the test is over")
            found = await asyncio.gather(*readers)
    finally:
        server.kill()

    entries, words = found[0]
    assert all(other == found[0] for other in found)
    assert sorted(e.text for e in entries if e.kind == "user") == sorted(["hello", *texts])
    assert sorted(texts_in(entries, ModelRequest)) == sorted(["hello", *texts])
    assert "".join(texts_in(entries, ModelResponse)) == words
    for text, answer in zip(texts, answers, strict=True):
        assert answer == "TurnInterrupted" or answer.count(".") == WORDS, (text, answer)
    ended = [entry for entry in entries if entry.kind == "ended"]
    assert [entry.turn for entry in ended] == list(range(1, len(ended) + 1))
    # The provider counts more: a request that was killed is made again.
    requests = sum(entry.usage.requests for entry in ended if entry.usage is not None)
    lines = counted.read_text().splitlines()
    assert requests <= sum(line.startswith("request ") for line in lines)
    gifts = {line for line in lines if line.startswith("gift ")}
    assert gifts <= {f"gift {text} under gift:{text}" for text in texts}
    assert gifts
