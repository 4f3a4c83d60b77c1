"""What callers have done, and what they were refused, written down.

What a verb commits carries its row (`_store.auditing`). A request that commits nothing, because it
was refused or had nothing to change, has a row of its own; refusals within a bound.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Awaitable, Callable
from urllib.parse import unquote

from starlette.responses import Response

from outlast import limits
from outlast._engine.open_engine import EngineCore
from outlast._engine.reading.audit import audit_page
from outlast._store.auditing import Acting, acting_as
from outlast._store.transactions import Effects, Transaction
from outlast._wire.formats.answers import answer
from outlast._wire.formats.kinds import kind_of
from outlast._wire.formats.problems import Problem
from outlast._wire.requests import Call
from outlast._wire.security.callers import Caller
from outlast._wire.service import Service
from outlast.errors import OutlastError, StoreError
from outlast.types import RunId

log = logging.getLogger("outlast.server")
_TARGET_CHARS = 500


class Auditor:
    """Writes down what the callers of one engine's servers do."""

    def __init__(self, core: EngineCore) -> None:
        self._core = core
        self._refused: dict[str, deque[float]] = {}

    async def watched(
        self, verb: str, call: Call, handle: Callable[[], Awaitable[Response]], *, is_traffic: bool
    ) -> Response:
        """Handle a request that may change something, and see to it that it is written down."""
        who = _acting(verb, call, is_traffic=is_traffic)
        outcome = "failed"
        try:
            with acting_as(who):
                response = await handle()
            outcome = who.outcome or "done"
            return response
        except Problem as problem:
            outcome = problem.kind
            raise
        except OutlastError as error:
            outcome = kind_of(type(error))
            raise
        finally:
            if not who.is_written:
                await self._note(who, outcome)

    async def refused(self, verb: str, call: Call, problem: Problem) -> None:
        """A caller asked for what its role does not allow."""
        log.warning("%s (%s) may not %s", call.caller.name, call.caller.role, verb)
        await self._note(_acting(verb, call, is_traffic=False), problem.kind)

    async def _note(self, who: Acting, outcome: str) -> None:
        """Write a row that no verb's transaction carries."""
        core = self._core
        if not self._may_note(who.caller):
            return
        row = who.row(core.world.now(), who.run, outcome)
        try:
            await core.writer.commit(Transaction(None, RunId(""), [], Effects(audit=(row,))))
        except (StoreError, OutlastError) as error:
            log.warning("cannot write the audit log: %s", error)

    def _may_note(self, caller: str) -> bool:
        """Whether one more refusal of a caller is written down within this minute."""
        now = self._core.world.monotonic()
        for known in [name for name, times in self._refused.items() if times[-1] < now - 60.0]:
            del self._refused[known]
        times = self._refused.setdefault(caller, deque(maxlen=limits.AUDIT_REFUSALS_MAX))
        is_over = len(times) == limits.AUDIT_REFUSALS_MAX and times[0] >= now - 60.0
        if not is_over:
            times.append(now)
        return not is_over


def _acting(verb: str, call: Call, *, is_traffic: bool) -> Acting:
    caller: Caller = call.caller
    target = " ".join(unquote(part) for part in call.path.values())
    return Acting(
        caller=caller.name,
        role=caller.role,
        via="socket" if caller.is_local else "http",
        verb=verb,
        target=target[:_TARGET_CHARS],
        run=RunId(unquote(call.path.get("id", "")) if "/v1/runs/" in call.request.url.path else ""),
        is_traffic=is_traffic,
    )


async def audit(service: Service, call: Call) -> Response:
    """List external actions, newest first: caller, target, reason and outcome."""
    run, caller = call.text("run") or None, call.text("caller") or None
    if (run is None or caller is not None) and not call.caller.may("admin"):
        raise Problem(
            403, "role-missing", "reading the whole audit log needs the role admin: give a `run`"
        )
    size = call.page_size()
    before = call.number("after", 0, most=1 << 60) or None
    lookups = service.core.store.lookups
    rows = await audit_page(lookups, before, size + 1, run=run, caller=caller)
    following = rows[size - 1].number if len(rows) > size else None
    return answer({"audit": rows[:size], "next": following})
