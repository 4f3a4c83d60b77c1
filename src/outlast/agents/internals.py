"""What pydantic-ai has no public name for: this is the one place that knows the private ones.

* where it calls plain functions: in workflow code at once, in steps on threads, and which;
* when its messages are stamped: in workflow code with the run's time, which replay repeats;
* what its codec for journals keeps of the types that it has met, which dumps without warnings.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from concurrent.futures import Executor
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from datetime import datetime, tzinfo
from typing import Self

import anyio
from pydantic import TypeAdapter
from pydantic_ai import ModelResponse, _utils
from pydantic_ai.durable_exec import JSON_CODEC, CallToolResult
from pydantic_ai.durable_exec._utils import StreamedModelRequestResult
from pydantic_graph import BaseNode
from typing_extensions import override

from outlast._authoring.workflow import wf
from outlast._execution.run_context import in_run
from outlast._wording.source_lines import folder_of

_without_threads: ContextVar[bool] = vars(_utils)["_disable_threads"]
_executor: ContextVar[Executor | None] = vars(_utils)["_thread_executor"]


def no_threads() -> AbstractContextManager[None]:
    """Have prompts and validators that are plain functions called in workflow code itself."""
    return _utils.disable_threads()


@contextmanager
def threads_in_steps() -> Generator[None]:
    """Let tools that are plain functions run on threads again: a step has its caller's context.

    Not in a simulation, which knows of no threads.
    """
    is_simulated = not getattr(asyncio.get_running_loop(), "has_threads", True)
    token = _without_threads.set(is_simulated)
    try:
        yield
    finally:
        _without_threads.reset(token)


def thread_executor() -> Executor | None:
    """Return where plain functions run, if the agent's options say where."""
    return _executor.get()


LIBRARIES = (
    folder_of(_utils.now_utc.__code__, 0),
    folder_of(BaseNode.run.__code__, 0),
    folder_of(anyio.sleep.__code__, 1),
    contextmanager.__code__.co_filename,
)
"""Where the code between a workflow and our steps is, which is none of the user's."""


class JournalCodec:
    """pydantic-ai's codec for journals, without the warnings of pydantic's serializer.

    A tool may return what fits no type of its results at once, such as bytes that are not UTF-8:
    the serializer then stores the same value, but warns of each type that it has tried.
    """

    def dump(self, tp: object, value: object) -> object:
        """Return a value as JSON data."""
        stored: object = _adapter_of(tp).dump_python(value, mode="json", warnings=False)
        return stored

    def load(self, tp: object, payload: object) -> object:
        """Return the value that was dumped."""
        value: object = JSON_CODEC.load(tp, payload)
        return value


def _adapter_of(tp: object) -> TypeAdapter[object]:
    adapter: TypeAdapter[object] = vars(type(JSON_CODEC))["_adapter"](JSON_CODEC, tp)
    return adapter


# pydantic takes 0.3 s to understand these types: now, and not when the first agent runs, for that
# is the time of the engine's loop.
for _type in (ModelResponse, StreamedModelRequestResult, CallToolResult):
    _adapter_of(_type)


class RunTime(datetime):
    """Stands for `datetime` where pydantic-ai asks for the time of its messages."""

    @classmethod
    @override
    def now(cls, tz: tzinfo | None = None) -> Self:
        moment: object = wf.now().astimezone(tz) if in_run() else datetime.now(tz)
        return moment  # type: ignore[return-value]  # pyright: ignore[reportReturnType]  # as plain


_NAME = "datetime"
setattr(_utils, _NAME, RunTime)
