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
from dataclasses import replace

from outlast._actors.actor import Actor, actor, handler
from outlast._actors.leading import Leader, Member, Report, Team, text_of_error
from outlast._actors.strategies import group_of, pause_before, recent
from outlast._actors.supervisor import TeamSpec
from outlast._execution.run_context import current_context
from outlast._handles.actor_ref import ActorRef
from outlast._messages.actor_ids import SUPERVISORS
from outlast._registry import default_registry
from outlast._wording.plurals import counted
from outlast.errors import ActorStopped, OutlastError
from outlast.types import Applied, Restart


@actor(name=SUPERVISORS, mailbox=1_000_000)
class SupervisorActor(Leader, Actor[Team]):
    """One team."""

    # ------------------------------------------------------------------ from outside
    @handler
    async def apply(
        self, spec: TeamSpec, above: str = "", restart: Restart = "always", life: int = 0
    ) -> Applied:
        """Make the team what `spec` says: stop who is not in it, start who is new."""
        team = self.state
        begins = life > team.life  # the team above starts it anew, and does not only change it
        team.above, team.restart, team.life = above, restart, life or team.life
        if team.status == "ended":
            team.forget(list(team.members))  # it was stopped, and is wanted again
            team.be_up()
        elif begins and team.status != "up":
            team.be_up()  # it was held when an earlier start of it had failed
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
                report.failed[target] = text_of_error(error)
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
        """Pause the whole team until it is told to go on."""
        team = self.state
        team.status, team.error = ("parked" if is_parked else "down"), why
        await self._hold_all("held", why)

    @handler
    async def go_on(self, spec: TeamSpec, above: str, restart: Restart, life: int) -> Applied:
        """Begin a new life: start all members, in order, also those that had ended."""
        team = self.state
        await self._hold_all("held", "its team is started again")
        team.above, team.restart, team.life = above, restart, life
        wanted = {one.target: one for one in spec.members}
        await self._let_go(spec, Report())
        self._take_in(spec)
        team.be_up()
        for member in team.members:
            member.spec = wanted[member.spec.target]
        await self._start_again(team.members)
        return Applied()

    @handler
    async def leave(self) -> None:
        """Stop for good: the team above does not want it any more."""
        await self._stop_all()

    # ------------------------------------------------------------------- from members
    @handler
    async def failed(
        self, member: str, life: int, error: str, *, again: bool = False, kills: bool = False
    ) -> None:
        """A member has failed, and is down; `again`: at the same message as the last time.

        With `kills`, its start has killed the process as often as that is allowed, and would do so
        in a later life too.
        """
        found = self.state.find(member, None if kills else life)
        if found is not None and (found.status == "up" or (kills and found.status == "down")):
            await self._failed(found, error, counts=not again, kills=kills)

    @handler
    async def ended(self, member: str, life: int, error: str) -> None:
        """A member has stopped for good, or completed."""
        found = self.state.find(member, life)
        if found is None or found.status == "ended":
            return
        if found.spec.kind == "workflow" and found.status != "up":
            return  # it was held, and ended in its own way
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
    async def _failed(
        self, member: Member, error: str, *, counts: bool = True, kills: bool = False
    ) -> None:
        team, now = self.state, current_context().now
        spec, member.error = team.spec, error
        if spec is None or member.spec.restart == "never":
            await self._ended(member, error)
            return
        member.status = "down"
        new = [now] if counts else []
        member.failures = [*recent(member.failures, now, spec.within), *new]
        team.failures = [*recent(team.failures, now, spec.within), *new]
        names = {m.spec.target for m in group_of(spec.strategy, team.members, member)}
        names |= {m.spec.target for m in team.left_behind()}
        kept = [m for m in team.members if m.spec.target in names and m.status != "ended"]
        if kills:
            # Each start takes several deaths: their number in a time would never be too large.
            await self._give_up(kept, member, error)
            return
        if len(team.failures) > spec.max_restarts:
            count = (
                f"{counted(len(team.failures), 'failure')} within {counted(spec.within, 'second')}"
            )
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
        member.error, member.has_failed = text_of_error(error), True
        if member.spec.restart == "never":
            await self._stop(member)
        else:
            await self._hold(member, "held", member.error)
        target, life = member.spec.target, member.life
        self._tell(self.id, "failed", member=target, life=life, error=text_of_error(error))

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
        await self._give_up(group, failed, why)

    async def _give_up(self, group: Sequence[Member], failed: Member, why: str) -> None:
        """Leave those that would be started again to a person."""
        for member in reversed(group):
            if not await self._is_over(member, failed):
                await self._hold(member, "parked", why)
                member.status, member.error = "parked", why

    async def _ended(self, member: Member, error: str) -> None:
        member.status, member.error = "ended", error
        if error:
            await self._stop(member)  # it may be down only: its conditions can have changed since
            member.error = error
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

    def _ref(self) -> ActorRef[SupervisorActor]:
        return ActorRef(_definition, self.key, None)


_definition = replace(default_registry.find_actor(SupervisorActor), supervises=True)
default_registry.add_actor(_definition)
