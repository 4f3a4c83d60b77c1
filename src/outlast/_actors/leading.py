"""What a team is made of, and what its supervisor does with its members, one after another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from outlast import limits
from outlast._actors.actor import Actor, running_actor
from outlast._actors.members import Members
from outlast._actors.supervisor import MemberSpec, TeamSpec
from outlast._execution.run_context import current_context
from outlast._messages.actor_ids import SUPERVISORS, actor_id
from outlast.errors import OutlastError
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

    def find(self, target: str, life: int | None) -> Member | None:
        """Return a member, if it is in this life; None means any."""
        found = next((m for m in self.members if m.spec.target == target), None)
        return found if found is not None and life in (None, found.life) else None

    def left_behind(self) -> list[Member]:
        """Return the members that are down and have no restart scheduled."""
        return [m for m in self.members if m.status == "down" and not m.is_pausing]

    def be_up(self) -> None:
        """Begin anew: all members are to be started again."""
        self.status, self.error = "up", ""
        self.failures.clear()
        for member in self.members:
            member.status, member.is_pausing = "down", False
            member.failures.clear()

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


class Leader(Actor[Team]):
    """A supervisor as its members meet it."""

    async def _have_let_go(self, spec: TeamSpec, report: Report) -> None:
        """Have the teams within let go of those who are not in them any more."""
        wanted = {one.target: one for one in spec.members if one.team is not None}
        for member in reversed(self.state.members):
            new = wanted.get(member.spec.target)
            if new is None or new == member.spec or member.status == "ended":
                continue
            try:
                report.add(await self._members.let_go(new))
            except (OutlastError, TimeoutError) as error:
                member.error = text_of_error(error)  # its own apply will tell

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
            member.error = text_of_error(error)  # it is gone, or its class is not registered here

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
            member.error = text_of_error(error)

    # -------------------------------------------------------------------------- sending
    @property
    def id(self) -> str:
        """The supervisor's id."""
        return actor_id(SUPERVISORS, self.key)

    @property
    def _members(self) -> Members:
        return Members(self.id)

    def _tell(self, target: str, name: str, **arguments: object) -> None:
        running_actor().notify(target, name, arguments)


def _is_same_thing(old: MemberSpec, new: MemberSpec) -> bool:
    """Say whether a member can go on as another; a workflow with other arguments cannot."""
    if (old.kind, old.type) != (new.kind, new.type):
        return False
    if old.args == new.args or old.kind != "workflow":
        return old.args == new.args
    definition = current_context().registry.find_workflow(new.type)
    return definition.signature.is_same_call(old.args, new.args)


def text_of_error(error: BaseException) -> str:
    """Return an error as it is kept with a member."""
    if isinstance(error, TimeoutError) and not isinstance(error, OutlastError):
        return f"no answer within {limits.SUPERVISOR_ORDER_SECONDS:g} seconds"
    return f"{type(error).__name__}: {error}"[: limits.ERROR_CHARS_MAX]
