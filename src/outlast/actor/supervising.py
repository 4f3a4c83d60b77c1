"""The actor that a supervisor is: it starts its members, and answers for their failures.

Its state says what its members are and how they stand; what it has them do are steps. So it goes on
after a crash where it was, and its counts of restarts are durable.

Invariants:
  * a member's life is counted up with each start, also when it has left and comes back; what is
    heard of an earlier life is ignored;
  * members are started in their order and stopped in reverse, each before the next.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

from outlast import limits
from outlast._execution.bonds import SUPERVISORS, notice
from outlast._execution.letters import actor_id
from outlast._registry import default_registry
from outlast.actor.actor import Actor, actor, handler, running_actor
from outlast.actor.members import Members
from outlast.actor.strategies import group_of, pause_before, recent
from outlast.actor.supervisor import MemberSpec, TeamSpec
from outlast.errors import ActorStopped, OutlastError
from outlast.ref import ActorRef
from outlast.types import Applied, Restart

MemberStatus: TypeAlias = Literal["up", "down", "parked", "ended"]


@dataclass
class Member:
    """One member of a team, and how it stands; `failures` are seconds since 1970.

    One that is down and not pausing before its start is started with another one. One that
    could not be started has failed, and is up until the supervisor's own word of that.
    """

    spec: MemberSpec
    status: MemberStatus = "up"
    life: int = 1
    restarts: int = 0
    error: str = ""
    failures: list[float] = field(default_factory=list[float])
    is_pausing: bool = False
    has_failed: bool = False

    def begin_life(self) -> None:
        """Count a start."""
        self.life += 1
        self.restarts += 1
        self.status, self.is_pausing, self.has_failed = "up", False, False


@dataclass
class Team:
    """A supervisor's state; `above` is the supervisor above it.

    `past` is the last life of those who have left: who comes is in a later one.
    """

    spec: TeamSpec | None = None
    above: str = ""
    restart: Restart = "always"
    life: int = 1
    status: MemberStatus = "up"
    error: str = ""
    members: list[Member] = field(default_factory=list[Member])
    failures: list[float] = field(default_factory=list[float])
    past: int = 0

    def find(self, target: str, life: int) -> Member | None:
        """Return a member, if it is in this life."""
        found = next((m for m in self.members if m.spec.target == target), None)
        return found if found is not None and found.life == life else None

    def left_behind(self) -> list[Member]:
        """Return those who are down, and nobody has said when they are started."""
        return [m for m in self.members if m.status == "down" and not m.is_pausing]

    def forget(self, members: Sequence[Member]) -> None:
        """Let members have left."""
        for member in members:
            self.past = max(self.past, member.life)
            self.members.remove(member)


@dataclass
class Report:
    """What applying a team has changed so far."""

    started: list[str] = field(default_factory=list[str])
    stopped: list[str] = field(default_factory=list[str])
    changed: list[str] = field(default_factory=list[str])
    unchanged: list[str] = field(default_factory=list[str])
    failed: dict[str, str] = field(default_factory=dict[str, str])

    def add(self, inner: Applied) -> None:
        """Add what has changed in a team within."""
        self.started += inner.started
        self.stopped += inner.stopped
        self.changed += inner.changed
        self.unchanged += inner.unchanged
        self.failed.update(inner.failed)

    def applied(self) -> Applied:
        """Return it as the one who applied the team is told."""
        return Applied(
            tuple(self.started),
            tuple(self.stopped),
            tuple(self.changed),
            tuple(self.unchanged),
            self.failed,
        )


@actor(name=SUPERVISORS, mailbox=1_000_000)
class SupervisorActor(Actor[Team]):
    """One team."""

    # ------------------------------------------------------------------ from outside
    @handler
    async def apply(
        self, spec: TeamSpec, above: str = "", restart: Restart = "always", life: int = 0
    ) -> Applied:
        """Make the team what `spec` says: stop who is not in it, start who is new."""
        team = self.state
        team.above, team.restart, team.life = above, restart, life or team.life
        if team.status == "ended":
            team.forget(list(team.members))
            team.status, team.error = "up", ""  # it was stopped, and is wanted again
            team.failures.clear()
        report = Report()
        await self._let_go(spec, report)
        await self._have_let_go(spec, report)
        known = self._take_in(spec)
        wanted = {one.target: one for one in spec.members}
        for member in team.members:
            new, target = wanted[member.spec.target], member.spec.target
            is_changed = member.spec != new
            member.spec = new
            if target in known and not is_changed:
                report.unchanged.append(target)
                continue
            is_late = member.status == "ended" or (member.status == "up" and member.has_failed)
            is_start = target not in known or is_late
            if is_start and team.status != "up":
                member.status = "down"  # it is started with its team
                report.started.append(target)
                continue
            if target in known and is_start:
                member.begin_life()
            try:
                inner = await self._bring_about(member, is_start=is_start)
            except (OutlastError, TimeoutError) as error:
                report.failed[target] = _text(error)
                await self._could_not_start(member, error)
                continue
            (report.started if is_start else report.changed).append(target)
            report.add(inner)
        if team.status == "up":
            await self._start_again(team.left_behind())  # the one before them may have left
        return report.applied()

    @handler
    async def let_go(self, spec: TeamSpec) -> Applied:
        """Stop who is not in the team any more, before anybody is started: he may be elsewhere."""
        report = Report()
        await self._let_go(spec, report)
        await self._have_let_go(spec, report)
        return report.applied()

    @handler
    async def resume(self, member: str) -> None:
        """Start those again that were given up; all of them, for they were given up together."""
        team = self.state
        if team.status != "up":
            if team.above:
                self._tell(team.above, "resume", member=self.id)
            return
        parked = [one for one in team.members if one.status == "parked"]
        if member and all(one.spec.target != member for one in parked):
            return
        for one in parked:
            one.status = "down"
            one.failures.clear()
        team.failures.clear()
        await self._start_again(parked)

    @handler
    async def stop_all(self) -> None:
        """Stop the team for good, its members in reverse order; or have it started again."""
        team = self.state
        if team.above and team.restart == "always":
            if team.status == "up":
                await self._hold_all("held", "its team was stopped")
                self._fall("it was stopped")
            return
        await self._stop_all()
        if team.above:
            self._tell(team.above, "ended", member=self.id, life=team.life, error="")

    # ------------------------------------------------------------- from the team above
    @handler
    async def hold(self, why: str, *, is_parked: bool) -> None:
        """Let nobody in the team do anything until told to go on."""
        team = self.state
        team.status, team.error = ("parked" if is_parked else "down"), why
        await self._hold_all("held", why)

    @handler
    async def go_on(self, spec: TeamSpec, above: str, restart: Restart, life: int) -> Applied:
        """Begin a new life: start all members, in order, also those that had ended."""
        team = self.state
        await self._hold_all("held", "its team is started again")
        team.above, team.restart, team.life = above, restart, life
        team.status, team.error = "up", ""
        team.failures.clear()
        wanted = {one.target: one for one in spec.members}
        await self._let_go(spec, Report())
        self._take_in(spec)
        for member in team.members:
            member.spec, member.status = wanted[member.spec.target], "down"
            member.failures.clear()
        await self._start_again(team.members)
        return Applied()

    @handler
    async def leave(self) -> None:
        """Stop for good: the team above does not want it any more."""
        await self._stop_all()

    # ------------------------------------------------------------------- from members
    @handler
    async def failed(self, member: str, life: int, error: str) -> None:
        """A member has failed, and is down."""
        found = self.state.find(member, life)
        if found is not None and found.status == "up":
            await self._failed(found, error)

    @handler
    async def ended(self, member: str, life: int, error: str) -> None:
        """A member has stopped for good, or completed."""
        found = self.state.find(member, life)
        if found is None or found.status == "ended":
            return
        if found.spec.restart != "always":
            await self._ended(found, error)
        elif found.status == "up":
            await self._failed(found, error or "it ended")

    @handler
    async def start_again(self, members: list[str], lives: list[int]) -> None:
        """The pause before a restart is over."""
        lives_of = dict(zip(members, lives, strict=True))
        group = [
            one
            for one in self.state.members
            if one.status == "down" and lives_of.get(one.spec.target) == one.life
        ]
        for one in group:
            one.is_pausing = False
        if self.state.status == "up":
            await self._start_again(group)

    # ----------------------------------------------------------------------- failures
    async def _failed(self, member: Member, error: str) -> None:
        team, now = self.state, running_actor().loop.now
        spec, member.error = team.spec, error
        if spec is None or member.spec.restart == "never":
            await self._ended(member, error)
            return
        member.status = "down"
        member.failures = [*recent(member.failures, now, spec.within), now]
        team.failures = [*recent(team.failures, now, spec.within), now]
        names = {m.spec.target for m in group_of(spec.strategy, team.members, member)}
        names |= {m.spec.target for m in team.left_behind()}
        kept = [m for m in team.members if m.spec.target in names and m.status != "ended"]
        if len(team.failures) > spec.max_restarts:
            count = f"{len(team.failures)} failures within {spec.within:g} seconds"
            await self._exhausted(kept, member, f"{count}, the last: {member.spec.target}: {error}")
            return
        for other in reversed(kept):
            if other.status == "up" and not await self._is_over(other, member):
                await self._hold(other, "held", f"{member.spec.target} has failed")
                other.status = "down"
        pause = pause_before(len(member.failures))
        if pause == 0.0:
            await self._start_again(kept)
            return
        for one in kept:
            one.is_pausing = True
        targets, lives = [m.spec.target for m in kept], [m.life for m in kept]
        later = self._ref().options(delay=pause)
        await later.tell(SupervisorActor.start_again, targets, lives)

    async def _start_again(self, group: Sequence[Member]) -> None:
        """Give each a new life, in order.

        One that cannot be started has failed, and is started again with those that come after it.
        """
        spec = self.state.spec
        for member in group:
            if member.status != "down":
                continue
            member.begin_life()
            try:
                await self._members.start_again(member.spec, member.life)
            except (OutlastError, TimeoutError) as error:
                await self._could_not_start(member, error)
                is_alone = spec is None or spec.strategy == "one_for_one"
                if not is_alone and member.spec.restart != "never":
                    return

    async def _bring_about(self, member: Member, *, is_start: bool) -> Applied:
        if not is_start:
            try:
                return await self._members.change(member.spec, member.life)
            except ActorStopped:
                member.begin_life()  # the word of its end is on the way, and counts no more
        return await self._members.start(member.spec, member.life)

    async def _could_not_start(self, member: Member, error: BaseException) -> None:
        """It may have started in part, or do so yet: undo that, and count it as a failure."""
        member.error, member.has_failed = _text(error), True
        if member.spec.restart == "never":
            await self._stop(member)
        else:
            await self._hold(member, "held", member.error)
        target, life = member.spec.target, member.life
        self._tell(self.id, "failed", member=target, life=life, error=_text(error))

    async def _is_over(self, member: Member, failed: Member) -> bool:
        """Stop a member that would be started again with another one, but never is."""
        if member is failed or member.spec.restart != "never":
            return False
        await self._stop(member)
        member.status, member.error = "ended", f"{failed.spec.target} has failed"
        return True

    async def _exhausted(self, group: Sequence[Member], failed: Member, why: str) -> None:
        team = self.state
        if team.spec is not None and team.spec.on_exhausted == "escalate" and team.above:
            await self._hold_all("held", why)
            self._fall(why)
            return
        for member in reversed(group):
            if not await self._is_over(member, failed):
                await self._hold(member, "parked", why)
                member.status, member.error = "parked", why

    async def _ended(self, member: Member, error: str) -> None:
        member.status, member.error = "ended", error
        if member.spec.kind == "supervisor" and error:
            await self._stop(member)
        team = self.state
        if not member.spec.significant:
            return
        await self._stop_all()
        if team.above:
            self._tell(team.above, "ended", member=self.id, life=team.life, error=error)

    def _fall(self, why: str) -> None:
        """The team has failed: the one above decides."""
        team = self.state
        team.status, team.error = "down", why
        self._tell(team.above, "failed", member=self.id, life=team.life, error=why)

    # ------------------------------------------------------------------------ members
    async def _have_let_go(self, spec: TeamSpec, report: Report) -> None:
        """Have the teams within let go of those who are not in them any more."""
        wanted = {one.target: one for one in spec.members if one.team is not None}
        for member in reversed(self.state.members):
            new = wanted.get(member.spec.target)
            if new is None or new == member.spec or member.status != "up":
                continue
            try:
                report.add(await self._members.let_go(new))
            except (OutlastError, TimeoutError) as error:
                member.error = _text(error)  # its own apply will tell

    async def _let_go(self, spec: TeamSpec, report: Report) -> None:
        """Stop who is not wanted any more."""
        team = self.state
        wanted = {one.target: one for one in spec.members}
        for member in reversed(list(team.members)):
            new = wanted.get(member.spec.target)
            if new is None or not _is_same_thing(member.spec, new):
                await self._stop(member)
                team.forget([member])
                report.stopped.append(member.spec.target)

    def _take_in(self, spec: TeamSpec) -> set[str]:
        """Let who is wanted be a member; return those who were before."""
        team = self.state
        known = {member.spec.target: member for member in team.members}
        life = team.past + 1
        team.members = [known.get(one.target) or Member(one, life=life) for one in spec.members]
        team.spec = spec
        return set(known)

    async def _hold_all(self, down: Literal["held", "parked"], why: str) -> None:
        for member in reversed(self.state.members):
            if member.status == "up":
                await self._hold(member, down, why)
                member.status = "down"

    async def _hold(self, member: Member, down: Literal["held", "parked"], why: str) -> None:
        try:
            await self._members.hold(member.spec, member.life, down, why)
        except (OutlastError, TimeoutError) as error:
            member.error = _text(error)  # it is gone, or nobody here has its class

    async def _stop_all(self) -> None:
        for member in reversed(self.state.members):
            if member.status != "ended":
                await self._stop(member)
                member.status = "ended"
        self.state.status = "ended"
        self.stop()

    async def _stop(self, member: Member) -> None:
        try:
            await self._members.stop(member.spec)
        except (OutlastError, TimeoutError) as error:
            member.error = _text(error)

    # -------------------------------------------------------------------------- sending
    @property
    def id(self) -> str:
        """The supervisor's id."""
        return actor_id(SUPERVISORS, self.key)

    @property
    def _members(self) -> Members:
        return Members(self.id)

    def _ref(self) -> ActorRef[SupervisorActor]:
        return ActorRef(_definition, self.key, None)

    def _tell(self, target: str, name: str, **arguments: object) -> None:
        run = running_actor()
        told = notice(target, name, arguments, sender=self.id, at=int(run.loop.now * 1e6))
        run.wishes.send(told)


_definition = replace(default_registry.find_actor(SupervisorActor), supervises=True)
default_registry.add_actor(_definition)


def _is_same_thing(old: MemberSpec, new: MemberSpec) -> bool:
    """Say whether a member can go on as another; a workflow with other arguments cannot."""
    return (old.kind, old.type, old.args) == (new.kind, new.type, new.args)


def _text(error: BaseException) -> str:
    if isinstance(error, TimeoutError) and not isinstance(error, OutlastError):
        return f"no answer within {limits.SUPERVISOR_ORDER_SECONDS:g} seconds"
    return f"{type(error).__name__}: {error}"[: limits.ERROR_CHARS_MAX]
