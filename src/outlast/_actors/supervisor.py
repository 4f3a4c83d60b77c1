"""`Supervisor` and `Child`: who is started with whom, and what happens when one fails.

team = Supervisor("newsroom", [
    Child(Notebook, key="shared"),
    Supervisor("writers", [Child(Writer, key="w1"), Child(Writer, key="w2")]),
])
await engine.apply(team)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias, TypeVar

from outlast import limits
from outlast._actors.actor import Actor
from outlast._handles.call import Call, WorkflowCall
from outlast._messages.actor_ids import SUPERVISORS, actor_id
from outlast._messages.system_messages import STARTED
from outlast._registry import default_registry
from outlast._wording.durations import seconds_of
from outlast._wording.names import check_name
from outlast.errors import NotSupported, UsageError
from outlast.types import Duration, OnExhausted, Restart, Strategy

S = TypeVar("S")
Kind: TypeAlias = Literal["actor", "workflow", "supervisor"]


@dataclass
class MemberSpec:
    """What a supervisor starts, named by an actor's or a run's id, and how it treats it."""

    kind: Kind
    type: str
    target: str
    restart: Restart
    significant: bool = False
    reset: bool = False
    args: bytes = b""
    team: TeamSpec | None = None


@dataclass
class TeamSpec:
    """A supervisor as it is stored; `within` is seconds."""

    path: str
    strategy: Strategy
    max_restarts: int
    within: float
    on_exhausted: OnExhausted
    members: list[MemberSpec] = field(default_factory=list[MemberSpec])


class Child:
    """One member of a team: an actor by its class and key, or a workflow by its call.

    Args:
        target: the class of the actor, or the call of the workflow, such as `poll("feed")`.
        key: which actor; of a workflow the last part of its run id, `team/key`.
        restart: "always" starts it again whenever it fails or stops (actors, by default),
            "on_failure" only when it fails (workflows, by default), "never" not at all.
        significant: when it ends and is not started again, the whole team stops.
        reset: an actor begins each new life with its first state, not with its last good one.

    Raises:
        UsageError: there is no such policy, or the key cannot be one.
        UnknownActor: the class is not declared with `@actor`.
    """

    def __init__(
        self,
        target: type[Actor[S]] | Call[object],
        *,
        key: str,
        restart: Restart | None = None,
        significant: bool = False,
        reset: bool = False,
    ) -> None:
        _check_policy("restart", restart, (None, "always", "on_failure", "never"))
        check_name("a child's key", key, limits.NAME_CHARS_MAX)
        if type(significant) is not bool or type(reset) is not bool:
            raise UsageError("significant and reset are True or False")
        if isinstance(target, WorkflowCall):
            target.use()
        elif not isinstance(target, type):
            raise UsageError(f"a child is a class of actors or a call of a workflow: {target!r}")
        self.key = key
        self.target = target
        self.restart: Restart | None = restart
        self.significant = significant
        self.reset = reset

    def member(self, path: str) -> MemberSpec:
        """Return it as the supervisor at a path keeps it."""
        target = self.target
        if isinstance(target, WorkflowCall):
            definition = target.definition
            return MemberSpec(
                "workflow",
                definition.name,
                check_name("a run id", f"{path}/{self.key}", limits.ID_CHARS_MAX),
                self.restart or "on_failure",
                self.significant,
                args=definition.signature.encode(target.bound),
            )
        if not isinstance(target, type):
            raise UsageError(f"workflows are called, as in Child(poll('feed'), ...): {target!r}")
        found = default_registry.find_actor(target)
        if not found.is_durable:
            raise NotSupported(f"{found.name} has durable=False: a supervisor for such actors")
        started = found.handlers.get(STARTED)
        if started is not None and (started.parameter or started.is_read):
            raise UsageError(
                f"{found.name}.{STARTED} is called at each start in a team: it takes no arguments "
                f"and does not only read"
            )
        return MemberSpec(
            "actor",
            found.name,
            check_name("an actor's id", actor_id(found.name, self.key), limits.ID_CHARS_MAX),
            self.restart or "always",
            self.significant,
            self.reset,
        )

    def __repr__(self) -> str:
        return f"Child({self.target!r}, key={self.key!r})"


class Supervisor:
    """A team: its members are started in order, stopped in reverse, and started again by policy.

    Args:
        name: of the team; inside another team the last part of its path.
        children: members, in the order in which they are started.
        strategy: who is started again with a member that failed: itself ("one_for_one"), all
            ("one_for_all"), or itself and those after it ("rest_for_one").
        max_restarts: how many failures `within` a time are answered by a restart.
        on_exhausted: what one more means: "escalate" holds the team and makes it a failure of the
            team above; "park" keeps those who failed down until a person resumes them. A team
            without another above it parks.
        restart, significant: what the team above does when this one fails or ends.

    Raises:
        UsageError: there is no such policy, a name is taken twice or cannot be one.
    """

    def __init__(
        self,
        name: str,
        children: Sequence[Child | Supervisor],
        *,
        strategy: Strategy = "one_for_one",
        max_restarts: int = limits.SUPERVISOR_RESTARTS_MAX,
        within: Duration = limits.SUPERVISOR_WITHIN,
        on_exhausted: OnExhausted = "escalate",
        restart: Restart = "always",
        significant: bool = False,
    ) -> None:
        _check_policy("strategy", strategy, ("one_for_one", "one_for_all", "rest_for_one"))
        _check_policy("on_exhausted", on_exhausted, ("escalate", "park"))
        _check_policy("restart", restart, ("always", "on_failure", "never"))
        if type(max_restarts) is not int or max_restarts < 0:
            raise UsageError(f"max_restarts is a whole number from 0, not {max_restarts!r}")
        self.name: str = check_name("a supervisor's name", name)
        if "/" in name:
            raise UsageError(f"a supervisor's name cannot have a slash: {name!r}")
        if not isinstance(children, Sequence):
            raise UsageError(f"the children of a team are a list, not {children!r}")
        self.children: tuple[Child | Supervisor, ...] = tuple(children)
        self.strategy: Strategy = strategy
        self.max_restarts = max_restarts
        self.within: float = seconds_of(within)
        if self.within <= 0:
            raise UsageError("within must be positive")
        self.on_exhausted: OnExhausted = on_exhausted
        self.restart: Restart = restart
        self.significant = significant
        if len(self.children) > limits.SUPERVISOR_MEMBERS_MAX:
            raise UsageError(f"a team has at most {limits.SUPERVISOR_MEMBERS_MAX:,} members")

    def spec(self, above: str = "") -> TeamSpec:
        """Return the team as it is stored.

        Raises:
            UsageError: a name or a member is there twice.
        """
        path = f"{above}/{self.name}" if above else self.name
        members: list[MemberSpec] = []
        for child in self.children:
            if isinstance(child, Child):
                members.append(child.member(path))
            elif isinstance(child, Supervisor):
                members.append(child.as_member(path))
            else:
                raise UsageError(f"a member of a team is a Child or a Supervisor, not {child!r}")
        names = [m.target for m in members]
        double = next((name for name in names if names.count(name) > 1), None)
        if double is not None:
            raise UsageError(f"{double} is in the team {path!r} twice")
        return TeamSpec(
            path, self.strategy, self.max_restarts, self.within, self.on_exhausted, members
        )

    def as_member(self, above: str) -> MemberSpec:
        """Return the team as a member of another."""
        spec = self.spec(above)
        target = check_name("a team's path", actor_id(SUPERVISORS, spec.path), limits.ID_CHARS_MAX)
        return MemberSpec(
            "supervisor",
            SUPERVISORS,
            target,
            self.restart,
            self.significant,
            team=spec,
        )

    def __repr__(self) -> str:
        return f"Supervisor({self.name!r}, {len(self.children)} children)"


def _check_policy(what: str, given: object, known: tuple[object, ...]) -> None:
    if given not in known:
        names = ", ".join(repr(one) for one in known if one is not None)
        raise UsageError(f"{what} is one of {names}, not {given!r}")
