"""What a person decides about a run, over HTTP."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from outlast import limits
from outlast._wording.durations import seconds_of
from outlast._wording.names import check_name
from outlast.client.asking import Asking, quoted
from outlast.types import Duration, ForkKeys, ForkSignals, RerunPlan


class SteeredRun:
    """A run on a server, as far as it is stopped, held and forked."""

    __slots__ = ("_asking", "_id", "_path")

    def __init__(self, asking: Asking, run_id: str) -> None:
        self._asking = asking
        self._id = check_name("a run id", run_id, limits.ID_CHARS_MAX)
        self._path = f"/v1/runs/{quoted(run_id)}"

    @property
    def id(self) -> str:
        """The run's id."""
        return self._id

    async def _say(self, verb: str, body: Mapping[str, object] | None = None) -> object:
        return await self._asking.ask("POST", f"{self._path}/{verb}", dict(body or {}))

    async def cancel(self, reason: str = "", grace: Duration | None = None) -> None:
        """Ask the run to stop, a parked one when it is resumed; see `Run.cancel`."""
        await self._say(
            "cancel", {"reason": reason, "grace": None if grace is None else seconds_of(grace)}
        )

    async def terminate(self, reason: str = "") -> None:
        """End the run now, without running any more of its code."""
        await self._say("terminate", {"reason": reason})

    async def pause(self, *, reason: str = "") -> None:
        """Pause the run; see `Run.pause`."""
        await self._say("pause", _because(reason))

    async def resume(self, *, reason: str = "") -> None:
        """Resume a paused or parked run; see `Run.resume`."""
        await self._say("resume", _because(reason))

    async def discard(self, *, reason: str = "") -> None:
        """Discard the message that the run cannot read; see `Run.discard`."""
        await self._say("discard", _because(reason))

    async def retry(self, *, reason: str = "") -> None:
        """Retry the run; see `Run.retry`."""
        await self._say("retry", _because(reason))

    async def retry_plan(self) -> RerunPlan:
        """Return what `retry` would keep and run again; see `Run.retry_plan`."""
        return msgspec.convert(await self._say("retry", {"dry_run": True}), RerunPlan)

    async def fork_plan(
        self, at: int | str, *, keys: ForkKeys = "same", signals: ForkSignals = "leave"
    ) -> RerunPlan:
        """Return what a fork would keep and run again; see `Run.fork_plan`."""
        body = {"at": at, "keys": keys, "signals": signals, "dry_run": True}
        return msgspec.convert(await self._say("fork", body), RerunPlan)

    async def _forked(
        self,
        at: int | str,
        input: Mapping[str, object] | None,
        keys: ForkKeys,
        signals: ForkSignals,
        reason: str,
    ) -> str:
        given = None if input is None else dict(input)
        body: dict[str, object] = {"at": at, "input": given, "keys": keys, "signals": signals}
        body |= _because(reason)
        made = await self._say("fork", body)
        return msgspec.convert(msgspec.convert(made, dict[str, object])["id"], str)


def _because(reason: str) -> dict[str, object]:
    """Return the part of a body that says why; a server of an older version knows no such part."""
    return {"reason": reason} if reason else {}
