"""Teams as programs and people see them: applied as a whole, and looked at."""

from __future__ import annotations

from collections.abc import AsyncIterator

from outlast import limits
from outlast._actors.leading import Member, Team
from outlast._actors.supervising import SupervisorActor
from outlast._actors.supervisor import Supervisor, TeamSpec
from outlast._engine.open_engine import EngineCore
from outlast._handles.actor_ref import ActorRef
from outlast._messages.actor_ids import SUPERVISORS, actor_id
from outlast._messages.envelopes import Envelope
from outlast._messages.system_messages import ORDERS, Assignment, Join, encode_order
from outlast._registry import ActorDefinition, Registry, default_registry
from outlast._store.contract import Cursor, RunFilter, Store
from outlast._store.pages import is_last
from outlast._store.rows import JOIN, RunRow
from outlast.errors import ActorStopped, UnknownActor, UsageError
from outlast.types import CLOSED_STATUSES, Applied, MemberInfo, RunId, TeamInfo


async def apply_team(core: EngineCore, team: Supervisor) -> Applied:
    """Make a team what it is said to be; see `Engine.apply`."""
    if not isinstance(team, Supervisor):
        raise UsageError(f"an engine applies a Supervisor(...), not {team!r}")
    spec = team.spec()
    _check(spec, core.registry)
    definition = default_registry.find_actor(SupervisorActor)
    ref: ActorRef[SupervisorActor] = ActorRef(definition, spec.path, core)
    try:
        return await ref.ask(SupervisorActor.apply, spec)
    except ActorStopped:
        await _open_again(core, definition, spec.path)
        return await ref.ask(SupervisorActor.apply, spec)


async def _open_again(core: EngineCore, definition: ActorDefinition, path: str) -> None:
    """A team that was stopped is started anew."""
    order = encode_order(Join(Assignment("", actor_id(SUPERVISORS, path), "always", 1)))
    await core.actors.ask(Envelope(definition, path, ORDERS[JOIN], order))


def _check(spec: TeamSpec, registry: Registry) -> None:
    """Refuse a team before anything of it is started."""
    for member in spec.members:
        if member.kind == "workflow":
            registry.find_workflow(member.type)
        elif member.team is not None:
            _check(member.team, registry)
        elif member.type not in registry.actors:
            raise UnknownActor(f"there is no actor {member.type!r} in this engine's registry")


class Teams:
    """What a store has of teams."""

    def __init__(self, store: Store) -> None:
        self._store = store.lookups
        self._adapter = default_registry.find_actor(SupervisorActor).state

    async def all(self) -> AsyncIterator[TeamInfo]:
        """Iterate over teams that are in no other, newest first."""
        after: Cursor | None = None
        which = RunFilter(workflow=SUPERVISORS, kind="actor")
        while True:
            rows = await self._store.list_runs(which, after, limits.PAGE_ROWS)
            for row in rows:
                team = self._team_of(row)
                if team is not None and not team.above:
                    yield await self._info(row, team)
            if is_last(rows, limits.PAGE_ROWS):
                return
            after = Cursor(rows[-1].created_at, rows[-1].id)

    def _team_of(self, row: RunRow) -> Team | None:
        state = self._adapter.decode(row.output) if row.output is not None else None
        return state if isinstance(state, Team) and state.spec is not None else None

    async def _info(self, row: RunRow, team: Team) -> TeamInfo:
        spec = team.spec
        if spec is None:
            raise UnknownActor(f"{row.id} was never applied")
        members = [await self._member(one) for one in team.members]
        parked = any(one.status == "parked" for one in team.members)
        return TeamInfo(
            id=row.id,
            status="ended"
            if row.status in CLOSED_STATUSES
            else "parked"
            if parked
            else team.status,
            strategy=spec.strategy,
            max_restarts=spec.max_restarts,
            within_seconds=spec.within,
            on_exhausted=spec.on_exhausted if team.above else "park",
            failures=len(team.failures),
            error=team.error,
            members=tuple(members),
        )

    async def _member(self, member: Member) -> MemberInfo:
        spec = member.spec
        inner: TeamInfo | None = None
        row = await self._store.read_run(RunId(spec.target))
        if spec.kind == "supervisor" and row is not None:
            team = self._team_of(row)
            inner = await self._info(row, team) if team is not None else None
        # The engine itself may have parked it: its code has changed, or it kills the process.
        is_stuck = row is not None and row.status == "parked"
        return MemberInfo(
            id=spec.target,
            kind=spec.kind,
            status="parked" if is_stuck else member.status,
            restart=spec.restart,
            significant=spec.significant,
            restarts=member.restarts,
            error=row.waiting_for if row is not None and is_stuck else member.error,
            team=inner,
        )
