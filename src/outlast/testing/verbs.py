"""The verbs of an engine that tests use most, by short names; `engine` has all of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from typing import TypeVar, overload

from outlast._actors.supervisor import Supervisor
from outlast._actors.topic import Topic
from outlast._authoring.workflow import Workflow
from outlast._handles.actor_ref import ActorRef
from outlast._handles.run import Run
from outlast.engine import Engine
from outlast.types import Applied, TokenInfo

A = TypeVar("A")
R = TypeVar("R")
T = TypeVar("T")


class EngineVerbs(ABC):
    """What a test does with the engine of a simulation, in virtual time."""

    @property
    @abstractmethod
    def engine(self) -> Engine:
        """The engine, with all its verbs."""

    @overload
    def get(self, run_id: str | Run[object]) -> Run[object]: ...
    @overload
    def get(self, run_id: str | Run[object], workflow: Workflow[..., R]) -> Run[R]: ...
    def get(
        self, run_id: str | Run[object], workflow: Workflow[..., R] | None = None
    ) -> Run[R] | Run[object]:
        """Return a handle on a run: `signal`, `update`, `cancel`, `fork` and all its verbs."""
        run_id = run_id if isinstance(run_id, str) else run_id.id
        if workflow is None:
            return self.engine.get(run_id)
        typed: Run[R] = self.engine.get(run_id, workflow)
        return typed

    def actor(self, kind: type[A], key: str) -> ActorRef[A]:
        """Return a handle on an actor: `ask`, `tell`, `options`."""
        return self.engine.actor(kind, key)

    def tokens(self, open_only: bool = True) -> AsyncIterator[TokenInfo]:
        """Iterate over what runs ask of people and other programs; see `Engine.tokens`."""
        return self.engine.tokens(open_only)

    async def approve(
        self, token_id: str, *, by: str, reason: str = "", digest: str | None = None
    ) -> None:
        """Give an approval; see `Engine.approve`."""
        await self.engine.approve(token_id, by=by, reason=reason, digest=digest)

    async def reject(
        self, token_id: str, *, by: str, reason: str = "", digest: str | None = None
    ) -> None:
        """Reject an approval; see `Engine.reject`."""
        await self.engine.reject(token_id, by=by, reason=reason, digest=digest)

    async def answer(
        self, token_id: str, value: object, *, by: str = "", digest: str | None = None
    ) -> None:
        """Answer a token; see `Engine.answer`."""
        await self.engine.answer(token_id, value, by=by, digest=digest)

    async def publish(self, topic: Topic[T], value: T) -> None:
        """Publish to the actors that are subscribed; see `Engine.publish`."""
        await self.engine.publish(topic, value)

    async def apply(self, team: Supervisor) -> Applied:
        """Make a team what it is said to be; see `Engine.apply`."""
        return await self.engine.apply(team)
