"""The verbs of operators: to cancel, pause, resume and retry a run, and to plan what runs again."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Literal

from outlast._engine.open_engine import EngineCore
from outlast._engine.remote import SEND_STEP
from outlast._engine.verbs.forks import ForkRequest
from outlast._execution.run_context import current_context, in_run
from outlast._messages.requests import DISCARD, grace_body
from outlast._store.auditing import because
from outlast._store.rows import Message
from outlast._wording.durations import seconds_of
from outlast._wording.names import check_text
from outlast.errors import NotSupported, UsageError
from outlast.types import Duration, ForkKeys, ForkSignals, RerunPlan, RunId


class SteeringVerbs(ABC):
    """The verbs of a `Run` that are for people rather than for code."""

    __slots__ = ()

    @property
    @abstractmethod
    def id(self) -> str:
        """The run's id."""

    @abstractmethod
    def _engine(self) -> EngineCore:
        """Return the engine to ask; NotInRun in workflow code."""

    async def cancel(self, reason: str = "", grace: Duration | None = None) -> None:
        """Ask the run to stop: its code sees `CancelledError` and may clean up for `grace`.

        Returns when the request is safe, not when the run has ended. Asking again may only shorten
        the grace. A parked run keeps the request and sees it when it is resumed, since its code
        cannot run before; `why` says so, and `terminate` ends it without its code.
        """
        check_text("the reason", reason)
        seconds = None if grace is None else seconds_of(grace)
        if seconds is not None and seconds < 0:
            raise UsageError("grace must not be negative")
        body = grace_body(seconds)
        if in_run():
            children = current_context().children
            child = children.find(RunId(self.id))
            if child is not None:
                children.cancel([child], reason)
                return
            await self._send_in_run("cancel", reason, body, "")
            return
        await self._send(self._engine(), "cancel", reason, body, "")

    async def terminate(self, reason: str = "") -> None:
        """End the run now, without running any more of its code."""
        check_text("the reason", reason)
        if in_run():
            await self._send_in_run("terminate", reason, b"", "")
            return
        await self._send(self._engine(), "terminate", reason, b"", "")

    async def pause(self, *, reason: str = "") -> None:
        """Pause the run: no new operation starts, and steps in flight finish and are recorded.

        Returns when the request is safe. The run is `paused` when no step is in flight any more;
        signals, answers and timers wait until it is resumed, `result()` waits too, and so does
        everything over a restart. A cancelled run that cleans up does not pause. `reason` is kept
        in the audit with who asked for it; so it is by the other verbs.

        Raises:
            RunNotFound, RunClosed
        """
        because(check_text("the reason", reason))
        core = self._engine()
        await core.send(Message(run=RunId(self.id), kind="pause", at=core.world.now()))

    async def resume(self, version: str | None = None, *, reason: str = "") -> None:
        """Resume a paused or parked run; a step that has used all its attempts is tried again.

        Raises:
            UsageError: it is neither: nothing was done.
            RunNotFound, RunClosed
        """
        if version is not None:
            raise NotSupported("resume(version=)")
        because(check_text("the reason", reason))
        core = self._engine()
        await core.send(Message(run=RunId(self.id), kind="resume", at=core.world.now()))

    async def discard(self, *, reason: str = "") -> None:
        """Discard the message that the run's code cannot read, and resume the run.

        For a run or an actor that is parked as unreadable because of a message: a signal, an
        update, or what an actor was asked or told. The dead letter can be sent again.

        Raises:
            UsageError: the run is not parked for a message that its code cannot read.
            RunNotFound
        """
        because(check_text("the reason", reason))
        core = self._engine()
        message = Message(run=RunId(self.id), kind="resume", name=DISCARD, at=core.world.now())
        await core.send(message)

    async def retry(self, *, reason: str = "") -> None:
        """Retry the run.

        A parked run is resumed. One that has ended without completing goes on under its id: what it
        had recorded before the operation that failed is kept, and that one runs again, under the
        same idempotency key. If that was a question that nobody answered in time, it is asked
        again. A timeout that failed the run runs out anew, if nothing was recorded after it.
        What it was sent meanwhile is kept too; of a cancelled run, what came before the request.

        A child that the run asks for again gives its result if it has completed. One that was
        started with `on_parent_close="abandon"` is attached to as it stands: it is waited for while
        it is open, and raises `ChildFailed` if it failed or was ended, until it is retried itself.
        Any other is started anew at its first line. `retry_plan` shows what would run again.

        Raises:
            RunClosed: it has completed.
            UsageError: it is neither parked nor closed: nothing of it has failed.
            RunNotFound
        """
        because(check_text("the reason", reason))
        core = self._engine()
        core.check()
        await core.forks.retry(RunId(self.id))

    async def retry_plan(self) -> RerunPlan:
        """Return what `retry` would keep and run again; nothing is done.

        Raises:
            RunClosed, UsageError, RunNotFound: as `retry` does.
        """
        core = self._engine()
        core.check()
        return await core.forks.retry_plan(RunId(self.id))

    async def fork_plan(
        self, at: int | str, *, keys: ForkKeys = "same", signals: ForkSignals = "leave"
    ) -> RerunPlan:
        """Return what a fork at this point would keep and run again; nothing is done.

        Raises:
            RunNotFound; UsageError: there is no such point.
        """
        core = self._engine()
        core.check()
        request = ForkRequest(RunId(self.id), at, keys=keys, signals=signals)
        return await core.forks.fork_plan(request)

    async def _send(
        self,
        core: EngineCore,
        kind: Literal["signal", "cancel", "terminate"],
        name: str,
        body: bytes,
        dedup: str,
    ) -> None:
        at = core.world.now()
        await core.send(
            Message(run=RunId(self.id), kind=kind, name=name, body=body, dedup=dedup, at=at)
        )

    async def _send_in_run(self, kind: str, name: str, body: bytes, dedup: str) -> None:
        arguments = (self.id, kind, name, body, dedup)
        await current_context().step(SEND_STEP, arguments)
