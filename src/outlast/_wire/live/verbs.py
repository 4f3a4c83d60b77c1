"""The engine's verb for streams as server-sent events; the rest is loaded when it is called."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from importlib import import_module
from typing import Protocol

from outlast._engine.open_engine import EngineCore
from outlast._wire.live.protocols import check_protocol, encoding_of
from outlast._wording.names import check_name
from outlast.errors import UsageError
from outlast.types import RunId, StreamProtocol

_DIRECT = "outlast._wire.live.direct"


class Streams(Protocol):
    """The streams of one engine."""

    @property
    def core(self) -> EngineCore:
        """The engine."""
        ...

    def events(
        self, run: RunId, name: str, protocol: str, offset: int, last_id: str
    ) -> AsyncIterator[bytes]:
        """Iterate over a stream's events, from an offset or behind an event."""
        ...


class StreamVerbs(ABC):
    """What an open engine gives to pages that follow a run."""

    _direct: Streams | None = None

    @property
    @abstractmethod
    def _core(self) -> EngineCore:
        """The engine; StoreReadOnly when the store is open for reading only."""

    def sse(
        self,
        run_id: str,
        *,
        after: int | str | None = None,
        protocol: StreamProtocol = "raw",
        stream: str = "agent_events",
    ) -> AsyncIterator[bytes]:
        """Iterate over a run's stream as server-sent events, live, until the run ends.

        An answer of one's own web application is made of it, with the content type
        `text/event-stream`. In silence, a comment is sent every 10 seconds; at the latest with the
        next one, the iteration ends when the engine is closed.

        Args:
            after: the id of the last event that the client has, as its `Last-Event-ID` gives it; or
                the offset from which on it wants values. None or 0: from the beginning.
            protocol: "raw" has the values as JSON, for streams of any type. "ag-ui" and "vercel-ai"
                are for `agent_events`: what AG-UI's clients and the Vercel AI SDK read.
            stream: the stream's name. One that the run never writes has no values, only its end:
                which names a run writes is known to its code alone (see `Run.stream_names`).

        Raises (RunNotFound at the first event):
            UsageError: there is no such protocol, the program has no agents, or the name is none.
            RunNotFound: there is no such run.
        """
        check_protocol(protocol)
        check_name("a stream's name", stream)
        if protocol != "raw":
            encoding_of(protocol)
        if not isinstance(after, int | str | None) or isinstance(after, bool):
            raise UsageError(f"after= is the id of an event, or an offset, not {after!r}")
        if isinstance(after, int) and after < 0:
            raise UsageError(f"after= must not be negative, and is {after}")
        core = self._core
        core.check()
        if self._direct is None or self._direct.core is not core:
            make: Callable[[EngineCore], Streams] = import_module(_DIRECT).DirectStreams
            self._direct = make(core)
        offset, last_id = (after, "") if isinstance(after, int) else (0, after or "")
        return self._direct.events(RunId(run_id), stream, protocol, offset, last_id)
