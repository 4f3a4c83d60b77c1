"""One showing of the demo: its processes from their start to their end, and the kill between."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TypeVar

from outlast._server.codes import new_code
from outlast.client import Client
from outlast.demo.accounts import Account, account_for, gather_evidence
from outlast.demo.agents import BUDGET_TOKENS, BUDGET_USD
from outlast.demo.bill import read_bill
from outlast.demo.manual import Manual, Notice
from outlast.demo.progress import Progress
from outlast.demo.spectator import MIDST_TOKENS, Heard, Outage, Spectator
from outlast.demo.stage import (
    CODE,
    MODEL_NAME,
    MODEL_URL,
    SCRIPTED,
    Child,
    DemoFailed,
    Files,
    free_port,
    write_tokens,
)

T = TypeVar("T")

_PORT = 8787
_STALL_SECONDS = 120.0
_PERSON_SECONDS = 15.0  # before the demo approves by itself
_NOBODY_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Shown:
    """What was shown."""

    account: Account
    model: str
    modules: Sequence[str]
    seconds: float
    outage: Outage | None  # None without a kill


class Play:
    """Plays the demo once."""

    def __init__(
        self, files: Files, modules: Sequence[str], *, is_spared: bool, is_scripted: bool
    ) -> None:
        self.progress: Progress = Progress()
        self._files = files
        self._modules = modules
        self._is_spared = is_spared
        self._is_scripted = is_scripted
        self._has_person = sys.stdin.isatty() and sys.stderr.isatty()
        self._port = free_port(_PORT)
        self._code = new_code()
        self._moment = _Moment(after_pages=(len(modules) - 1) // 2)

    @property
    def url(self) -> str:
        """The server's address."""
        return f"http://127.0.0.1:{self._port}"

    async def run(self, on_shown: Callable[[Shown], None]) -> None:
        """Play it, give what was shown, and stay while a person looks at the dashboard.

        Raises:
            DemoFailed: a process ended by itself, or nothing happened for two minutes.
        """
        began = time.monotonic()
        async with AsyncExitStack() as stack:
            wanted = [f"{self._files.bill}", *[SCRIPTED] * self._is_scripted]
            model = await Child.start("outlast.demo.model", wanted, self._files, {})
            stack.push_async_callback(model.stop)
            name, _, url = model.line.partition(" ")
            self._say_what_is_played(name)
            client = Client(self.url, token=write_tokens(self._files))
            stage = _Stage(
                self._files, self._port, {CODE: self._code, MODEL_NAME: name, MODEL_URL: url}
            )
            stack.push_async_callback(stage.clear)
            spectator = self._spectator(await stack.enter_async_context(client))
            manual = await self._perform(stage, spectator)
            seconds = time.monotonic() - began
            self.progress.clear()
            evidence = await gather_evidence(
                self._files.db,
                manual,
                read_bill(self._files.bill),
                spectator.heard,
                self._files.folder,
            )
            account = account_for(evidence)
            on_shown(Shown(account, name, self._modules, seconds, spectator.outage))
            if self._has_person:
                await self._stay(stage)

    def _say_what_is_played(self, model: str) -> None:
        say = self.progress.say
        say(f"dashboard:  {self.url}/#code={self._code}")
        say(f"live words: {self.url}/#/actors/Writer%2F{self._modules[0]} (once signed in)")
        say(f"manual of:  {', '.join(self._modules)}")
        if model == SCRIPTED:
            reason = "as asked for" if self._is_scripted else "since none is installed here"
            say(f"model:      a script in the place of a language model, {reason}")
        else:
            say(f"model:      {model}, a real but very small one: do not rely on what it says")
        say(f"budget:     ${BUDGET_USD} and {BUDGET_TOKENS:,} tokens; the prices are invented")

    async def _perform(self, stage: _Stage, spectator: Spectator) -> Manual:
        """Have the manual written, and the server killed meanwhile."""
        worker = await stage.start_worker(self._modules)
        spectator.server_is_up()
        watching = asyncio.create_task(spectator.watch())
        approving = asyncio.create_task(self._approve(spectator))
        try:
            if not self._is_spared:
                self.progress.say(f"server:     process {worker.pid}; it is going to be killed")
                await self._wait_for(self._moment.or_end_of(watching), worker)
                spectator.server_was_killed()
                await worker.kill()
                self.progress.say(f"--- kill -9 {worker.pid}, in the middle of a sentence ---")
                worker = await stage.start_worker(self._modules)
                spectator.server_is_up()
                self.progress.say(f"--- process {worker.pid} goes on ---")
            return await self._wait_for(watching, worker)
        finally:
            approving.cancel()
            watching.cancel()
            await asyncio.gather(approving, watching, return_exceptions=True)

    async def _wait_for(self, what: Awaitable[T], worker: Child) -> T:
        """Wait for something that needs the server's process.

        Raises:
            DemoFailed: the process has ended, or nothing happens.
        """
        wanted = asyncio.ensure_future(what)
        ended = asyncio.create_task(worker.ended())
        try:
            async with asyncio.timeout(_STALL_SECONDS) as patience:
                self._moment.patience = patience
                await asyncio.wait({wanted, ended}, return_when=asyncio.FIRST_COMPLETED)
        except TimeoutError:
            raise DemoFailed(f"there was no progress for {_STALL_SECONDS:.0f} seconds") from None
        finally:
            ended.cancel()
            if not wanted.done():
                wanted.cancel()
        if wanted.cancelled() or not wanted.done():
            raise DemoFailed(
                f"the server's process ended by itself; its store is {self._files.db}, and it "
                f"said:\n{self._files.last_words()}"
            )
        return wanted.result()

    def _spectator(self, client: Client) -> Spectator:
        def noticed(notice: Notice) -> None:
            self._moment.notice(notice)
            self.progress.notice(notice)

        def spoken(module: str, heard: Heard) -> None:
            self._moment.words(heard)
            self.progress.words(module, heard)

        return Spectator(client, on_notice=noticed, on_words=spoken)

    async def _approve(self, spectator: Spectator) -> None:
        """Wait for a person to approve, and then do it in the person's place."""
        token = await spectator.asked
        seconds = _PERSON_SECONDS if self._has_person else _NOBODY_SECONDS
        self.progress.say(
            f"the manual waits for your approval, in the dashboard's inbox or by\n"
            f"  outlast approve {token.id} --db {self._files.db}\n"
            f"In {seconds:.0f} s the demo approves it."
        )
        await asyncio.sleep(seconds)
        await spectator.approve(token)

    async def _stay(self, stage: _Stage) -> None:
        """Serve what is there until the person who looks at it has seen enough."""
        self.progress.say(
            f"The dashboard and the agents stay until Ctrl-C: {self.url}\n"
            f"  outlast agent chat Writer --key {self._modules[0]} --db {self._files.db}"
        )
        with contextlib.suppress(asyncio.CancelledError):
            await stage.ended()


class _Moment:
    """The moment for the kill: about half of the pages are saved, and the writer is speaking."""

    def __init__(self, *, after_pages: int) -> None:
        self.patience: asyncio.Timeout | None = None
        self._after_pages = after_pages
        self._saved = 0
        self._has_come = False
        self._is_over = asyncio.Event()  # it has come, or will not

    def notice(self, notice: Notice) -> None:
        self._saved += notice.kind == "saved"
        self._be_patient()

    def words(self, heard: Heard) -> None:
        if self._saved >= self._after_pages and heard.saying >= MIDST_TOKENS:
            self._has_come = True
            self._is_over.set()
        self._be_patient()

    async def or_end_of(self, watching: asyncio.Future[Manual]) -> None:
        """Wait for the moment.

        Raises:
            DemoFailed: it has not come. Whatever ended `watching` instead.
        """
        watching.add_done_callback(lambda _: self._is_over.set())
        await self._is_over.wait()
        if not self._has_come:
            watching.result()
            raise DemoFailed("the manual was done before the server could be killed")

    def _be_patient(self) -> None:
        """Something has happened."""
        if self.patience is not None and not self.patience.expired():
            self.patience.reschedule(asyncio.get_running_loop().time() + _STALL_SECONDS)


class _Stage:
    """Has one server process at a time."""

    def __init__(self, files: Files, port: int, env: Mapping[str, str]) -> None:
        self._files = files
        self._port = port
        self._env = env
        self._worker: Child | None = None

    async def start_worker(self, modules: Sequence[str]) -> Child:
        arguments = [f"{self._files.db}", f"{self._port}", *modules]
        self._worker = await Child.start("outlast.demo.worker", arguments, self._files, self._env)
        return self._worker

    async def ended(self) -> None:
        if self._worker is not None:
            await self._worker.ended()

    async def clear(self) -> None:
        if self._worker is not None:
            await self._worker.stop()
