"""The demo's second job: a language model says what modules are for, and a person approves it.

Each summary is a step whose tokens go into a stream as the model says them. When the process dies
in the midst of one, what that attempt had said is taken back, and the next one says it anew.
"""

from __future__ import annotations

import ast
import json
import os
import tokenize
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

import msgspec

from outlast import Retry, Stream, Timeout, step, wf, workflow
from outlast.client.connection import Connections, Reply
from outlast.demo.job import Module, standard_library

DIGEST = "digest"
MODEL_URL = "OUTLAST_DEMO_MODEL"
SUMMARIES = 6
_TOKENS_MAX = 90
_TEXT_CHARS = 700

summary: Stream[str] = Stream("summary", str)


@dataclass(frozen=True, slots=True)
class Digest:
    """What the model said of each module, and who let it be published."""

    summaries: dict[str, str]
    approved: bool
    by: str | None


@workflow
async def digest(count: int, limit: int | None) -> Digest:
    """Have some modules summarised, one after another, and ask whether to publish that."""
    said: dict[str, str] = {}
    for module in await choose(count, limit):
        said[module.name] = await summarise(module)
    answer = await wf.approve("Publish the digest?", detail=said)
    return Digest(said, answer.approved, answer.by)


@step
def choose(count: int, limit: int | None) -> list[Module]:
    """Pick modules that say in their first lines what they are for."""
    found: list[Module] = []
    for module in standard_library(limit):
        if "." not in module.name and len(_purpose(module)) > 100:
            found.append(module)
    return found[:: max(1, len(found) // count)][:count] if found else []


@step(retry=Retry(attempts=10, first="100ms", cap="2s"), timeout=Timeout(idle="60s"))
async def summarise(module: Module) -> str:
    """Return what the model says of a module; each token is streamed as it comes."""
    prompt = f"Say in two sentences what this Python module is for:\n\n{_purpose(module)}"
    said: list[str] = []
    await summary.write(f"\n{module.name}: ")
    async with aclosing(spoken(os.environ[MODEL_URL], prompt)) as tokens:
        async for token in tokens:
            said.append(token)
            await summary.write(token)
    return "".join(said)


def _purpose(module: Module) -> str:
    try:
        with tokenize.open(module.path) as file:
            return (ast.get_docstring(ast.parse(file.read())) or "")[:_TEXT_CHARS]
    except (SyntaxError, ValueError):
        return ""


class _Delta(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    delta: _Delta


class _Chunk(msgspec.Struct):
    choices: list[_Choice]


async def spoken(url: str, prompt: str) -> AsyncGenerator[str, None]:
    """Iterate over what a model says to a prompt, token by token."""
    body = {
        "messages": [{"role": "user", "content": prompt}],
        "stream": True,
        "max_tokens": _TOKENS_MAX,
        "temperature": 0.0,
    }
    connections = Connections(url, "", timeout_seconds=60.0)
    asked = connections.events("/v1/chat/completions", "", body=json.dumps(body).encode())
    async with aclosing(asked) as events:
        async for event in events:
            if isinstance(event, Reply):
                raise ConnectionError(f"the model answered {event.status}")
            if event.data == "[DONE]":
                return
            for choice in msgspec.json.decode(event.data, type=_Chunk).choices:
                if choice.delta.content:
                    yield choice.delta.content
