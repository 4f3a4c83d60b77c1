"""MCP servers that run as processes beside the engine: what `MCPToolset(mcp_process(...))` uses.

files = MCPToolset(mcp_process("npx", "-y", "@modelcontextprotocol/server-filesystem", "/data"))

The first step that needs the server starts it; all runs of the engine share it. Nothing is started
when everything replays.
"""

from __future__ import annotations

import asyncio
import inspect
import itertools
import logging
import os
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TextIO

from typing_extensions import Unpack, override

from outlast.errors import UsageError

if find_spec("fastmcp") is None:
    raise UsageError("outlast.agents.mcp needs the MCP client: pip install 'outlast[mcp]'")

from fastmcp.client.transports import StdioTransport
from fastmcp.client.transports.base import SessionKwargs, TransportOptions
from mcp import ClientSession, MCPError

from outlast._execution.bodies.context import executing_step
from outlast._wording.durations import seconds_of
from outlast.agents.programs import (
    LINES_KEPT,
    CallCutOff,
    ErrorLines,
    ProgramFailed,
    Starts,
    found,
    guarded,
    last_words,
    may_have_happened,
)
from outlast.types import Duration

__all__ = ["McpProcess", "ProgramFailed", "mcp_process"]

_log = logging.getLogger("outlast.mcp")
_numbers = itertools.count(1)
_PING_SECONDS = 2.0
_METHOD_NOT_FOUND = -32601  # of JSON-RPC
_CONNECTION_CLOSED = -32000  # of MCP
_CALL = "call_tool"


class McpProcess(StdioTransport):
    """What `mcp_process` returns: a transport of FastMCP, for `MCPToolset`."""

    command: str
    args: list[str]
    log_file: Path | TextIO | None
    _connect_task: asyncio.Task[None] | None

    def __init__(
        self, command: list[str], *, env: dict[str, str], cwd: str | None, policy: Policy
    ) -> None:
        super().__init__(command[0], command[1:], env=env, cwd=cwd, keep_alive=True)
        self._plain = command
        self._policy = policy
        self._key = f"mcp {next(_numbers)}"
        self._gate = asyncio.Lock()
        self._turn = asyncio.Event()  # set when a user comes or the last one leaves
        self._users = 0
        self._is_held = False  # by an engine, which ends it
        self._said: ErrorLines | None = None
        self._last: deque[str] = deque(maxlen=LINES_KEPT)  # lines of its standard error
        self._is_unsure = False

    @override
    @asynccontextmanager
    async def connect_session(
        self,
        *,
        transport_options: TransportOptions | None = None,
        **session_kwargs: Unpack[SessionKwargs],
    ) -> AsyncGenerator[ClientSession, None]:
        step = executing_step.get()
        if not getattr(asyncio.get_running_loop(), "has_threads", True):
            raise ProgramFailed(
                f"{self._policy.name} cannot be started: a simulation has no processes. Give the "
                f"agent a toolset of functions there"
            )
        if step is not None:
            await step.context.opened(self._key, self._held, scope="engine")
        self._users += 1
        self._turn.set()
        try:
            async with super().connect_session(
                transport_options=transport_options, **session_kwargs
            ) as session:
                _tell_cut_off(session, self._policy.name)
                try:
                    yield session
                except Exception as error:
                    if self._must_start():
                        raise self._failed("has ended", error) from error
                    raise
        finally:
            self._users -= 1
            self._is_unsure = not self._users  # a call may have been given up: does it answer?
            self._turn.set()
            if not self._is_held:
                await self._end_unless_used()

    @override
    async def connect(
        self,
        *,
        transport_options: TransportOptions | None = None,
        **session_kwargs: Unpack[SessionKwargs],
    ) -> ClientSession | None:
        async with self._gate:
            return await self._connected(transport_options, session_kwargs)

    async def _connected(
        self, transport_options: TransportOptions | None, session_kwargs: SessionKwargs
    ) -> ClientSession | None:
        await self._end_unless_answering()
        if self._must_start():
            if self._said is None:
                self._said = ErrorLines(self._policy.name, _log, self._last)
                self.log_file = self._said.file
            await self._policy.starts.admit(self._last)
            # Here, not when it was declared: this process may have been forked since.
            self.command, *self.args = guarded(self._plain, self._policy.memory_bytes_max)
        try:
            return await super().connect(transport_options=transport_options, **session_kwargs)
        except Exception as error:
            raise self._failed("did not start", error) from error

    def _failed(self, what: str, error: Exception) -> ProgramFailed:
        if self._said is not None:
            self._said.read()
        return ProgramFailed(f"{self._policy.name} {what}: {error}.{last_words(self._last)}")

    def _must_start(self) -> bool:
        task = self._connect_task
        return task is None or task.done() or self._is_session_dead()

    @asynccontextmanager
    async def _held(self) -> AsyncGenerator[None]:
        """Keep the process until the engine closes, but end it when it is unused for a while."""
        self._is_held = True
        ending = asyncio.create_task(self._end_when_idle())
        try:
            yield
        finally:
            ending.cancel()
            await asyncio.wait([ending])
            self._is_held = False
            await self._end_unless_used()

    async def _end_when_idle(self) -> None:
        while True:
            await self._turn.wait()
            self._turn.clear()
            async with self._gate:
                await self._end_unless_answering()
            if self._users:
                continue
            try:
                async with asyncio.timeout(self._policy.idle_seconds):
                    await self._turn.wait()
            except TimeoutError:
                await self._end_unless_used()

    async def _end_unless_answering(self) -> None:
        """End an unused process that does not answer a ping: it hangs."""
        if not self._is_unsure or self._must_start() or self._session is None:
            return
        self._is_unsure = False
        try:
            async with asyncio.timeout(_PING_SECONDS):
                await self._session.send_ping()
        except Exception as error:  # noqa: BLE001  # whatever it is, it does not answer
            if isinstance(error, MCPError) and error.error.code == _METHOD_NOT_FOUND:
                return  # an answer: newer versions of MCP have no ping
            _log.warning("%s does not answer (%r): it is ended", self._policy.name, error)
            await self._stop()

    async def _end_unless_used(self) -> None:
        async with self._gate:  # no connection begins meanwhile
            if not self._users:
                if not self._must_start():
                    self._policy.starts.ended_well()
                await self._stop()

    async def _stop(self) -> None:
        await self.disconnect()  # type: ignore[no-untyped-call]  # of FastMCP
        said, self._said = self._said, None
        if said is not None:
            said.close()


def _tell_cut_off(session: ClientSession, name: str) -> None:
    """Have calls on a session say that they may have happened, where that matters.

    Everywhere else a call that was cut off is an error that the model is told.
    """
    call: Callable[..., Awaitable[object]] = session.call_tool
    if not inspect.ismethod(call):
        return  # it does: the session is that of an earlier call

    async def call_tool(*args: object, **kwargs: object) -> object:
        try:
            made: object = await call(*args, **kwargs)
        except MCPError as error:
            if error.error.code == _CONNECTION_CLOSED and may_have_happened.get():
                raise CallCutOff(f"{name} has ended in the midst of a call") from error
            raise
        return made

    setattr(session, _CALL, call_tool)


@dataclass(frozen=True, slots=True)
class Policy:
    """How a server may be started again, and when it is ended."""

    name: str
    starts: Starts
    idle_seconds: float
    memory_bytes_max: int


def mcp_process(
    command: str,
    *args: str,
    env: Mapping[str, str] | None = None,
    cwd: str | None = None,
    idle: Duration = "5m",
    restarts: int = 5,
    within: Duration = "60s",
    memory_bytes_max: int = 0,
) -> McpProcess:
    """Return an MCP server that is a process beside the engine, for pydantic-ai's `MCPToolset`.

    In a run, the first step that needs it starts it. It serves all runs of the engine and ends
    with it, on Linux also when the engine's process is killed with SIGKILL. Outside of runs it ends
    with its session: `async with agent:` keeps one.

    Args:
        command: a program on PATH, or its path; `args` are its arguments. `sys.executable` is a
            Python only while the program runs from source: see `outlast build`.
        env: variables beside those that MCP passes on (PATH, HOME and a few more).
        cwd: its working directory.
        idle: how long it is kept while unused.
            A server that does not answer a ping then, because it hangs in a call that was given
            up, is ended at once.
        restarts: how often it may be started `within` a time; not counting those after which it ran
            until it was not needed. Starts that follow another wait for
            0.1 s, 0.2 s and so on; after so many, calls fail with `ProgramFailed`, which tells what
            the server has written last to its standard error, until the time is over.
        memory_bytes_max: how much private writable memory it may take (Linux, RLIMIT_DATA);
            0: as much as there is.

    Raises:
        ProgramFailed: the command, or the working directory, was not found.
        UsageError: an argument is no text, a number makes no sense, or the command is the
            executable that `outlast build` made of this program.
    """
    if memory_bytes_max < 0:
        raise UsageError(f"memory_bytes_max is 0 or more, not {memory_bytes_max}")
    variables = dict(env or {})
    _check_texts(command, *args, env=variables)
    if cwd is not None and not Path(cwd).is_dir():
        raise ProgramFailed(
            f"the working directory {cwd!r} of {command!r} does not exist: make it, or give "
            f"another cwd="
        )
    name = " ".join(["MCP server", command, *args])[:200]
    path = found(command, {**os.environ, **variables})
    starts = Starts(name, most=restarts, within=seconds_of(within))
    return McpProcess(
        [path, *args],
        env=variables,
        cwd=cwd,
        policy=Policy(name, starts, seconds_of(idle), memory_bytes_max),
    )


def _check_texts(*command: object, env: Mapping[str, object]) -> None:
    for value in command:
        if not isinstance(value, str):
            raise UsageError(
                f"mcp_process takes the command and its arguments as text, not {value!r}: write "
                f"{f'{value}'!r}"
            )
    for name, value in env.items():
        if not isinstance(value, str):
            raise UsageError(f"mcp_process: env= has texts by name, not {value!r} under {name!r}")
