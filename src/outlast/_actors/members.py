"""What a supervisor has its members do, whatever they are: start, hold, start again, stop.

Each verb returns when it is done. Those of actors are orders, those of workflows starts and
cancellations, those of teams messages to their supervisors.
"""

from __future__ import annotations

import asyncio
from typing import Literal

from outlast import limits
from outlast._actors.actor import running_actor
from outlast._actors.supervisor import MemberSpec
from outlast._engine.remote import ASK_STEP, SEND_STEP, WAIT_STEP
from outlast._execution.run_context import current_context
from outlast._messages.actor_ids import key_in
from outlast._messages.envelopes import Envelope, write_envelope
from outlast._messages.system_messages import (
    ORDER,
    ORDERS,
    Assignment,
    Hold,
    Join,
    Leave,
    Order,
    encode_order,
)
from outlast._registry import ActorDefinition, HandlerDefinition
from outlast._store.rows import JOIN, MessageKind
from outlast.errors import RunNotFound, UnknownActor
from outlast.types import Applied, RunId


class Members:
    """The members of one team, as its supervisor speaks to them."""

    def __init__(self, supervisor: str) -> None:
        self._supervisor = supervisor

    async def start(self, spec: MemberSpec, life: int) -> Applied:
        """Take a member in.

        Raises:
            HandlerFailed, TimeoutError, UnknownActor: it could not be started.
        """
        if spec.kind == "actor":
            await self._join(spec, life)
        elif spec.kind == "workflow":
            self._start_workflow(spec, life)
        else:
            return await self._tell_team(spec, "apply", life)
        return Applied()

    async def change(self, spec: MemberSpec, life: int) -> Applied:
        """Tell a member that its conditions have changed.

        Raises:
            ActorStopped: it has stopped meanwhile.
            HandlerFailed, TimeoutError, UnknownActor: it could not be told.
        """
        if spec.kind == "actor":
            place = Assignment(self._supervisor, spec.target, spec.restart, life)
            await _asked(spec, ORDERS[ORDER], encode_order(Join(place)))
        elif spec.kind == "supervisor":
            return await self._ask_team(spec, "apply", life)
        return Applied()  # a workflow knows of none

    async def let_go(self, spec: MemberSpec) -> Applied:
        """Have a team stop those who are not in it any more.

        Raises:
            HandlerFailed, ActorStopped, TimeoutError, UnknownActor: it could not be told.
        """
        answer = await self._ask(spec, "let_go", spec.team)
        return answer if isinstance(answer, Applied) else Applied()

    async def start_again(self, spec: MemberSpec, life: int) -> None:
        """Begin a new life of a member that is down, or has stopped.

        Raises:
            HandlerFailed, TimeoutError, UnknownActor: it could not be started.
        """
        if spec.kind == "actor":
            await self._join(spec, life, reset=spec.reset)
        elif spec.kind == "workflow":
            await self._end_workflow(spec, "it is started again")
            self._start_workflow(spec, life)
        else:
            await self._tell_team(spec, "go_on", life)

    async def hold(
        self, spec: MemberSpec, life: int, down: Literal["held", "parked"], why: str
    ) -> None:
        """Let a member do nothing until it is started again; what it was doing is undone.

        Raises:
            ActorStopped, TimeoutError, UnknownActor: there was no actor to hold.
        """
        if spec.kind == "actor":
            await self._order(spec, Hold(life, down, why))
        elif spec.kind == "workflow":
            await self._end_workflow(spec, why)
        else:
            await self._ask(spec, "hold", why, is_parked=down == "parked")

    async def stop(self, spec: MemberSpec) -> None:
        """Stop a member for good.

        Raises:
            ActorStopped, TimeoutError, UnknownActor: there was no actor to stop.
        """
        if spec.kind == "actor":
            await self._order(spec, Leave("its team does not want it any more"))
        elif spec.kind == "workflow":
            await self._end_workflow(spec, "its team does not want it any more")
        else:
            await self._ask(spec, "leave")

    # ------------------------------------------------------------------------- actors
    async def _order(self, spec: MemberSpec, order: Order) -> None:
        """Give an actor an order, and wait until it has obeyed."""
        name = ORDER if isinstance(order, Hold) else JOIN
        await _asked(spec, ORDERS[name], encode_order(order))

    async def _join(self, spec: MemberSpec, life: int, *, reset: bool = False) -> None:
        place = Assignment(self._supervisor, spec.target, spec.restart, life)
        await self._order(spec, Join(place, reset))

    # -------------------------------------------------------------------------- teams
    async def _tell_team(self, spec: MemberSpec, name: str, life: int) -> Applied:
        """Have a team, also one that had stopped, be what it should, in this life or a new one."""
        await self._order(spec, Join(Assignment("", spec.target, spec.restart, life)))
        return await self._ask_team(spec, name, life)

    async def _ask_team(self, spec: MemberSpec, name: str, life: int) -> Applied:
        above = self._supervisor
        answer = await self._ask(
            spec, name, spec.team, above=above, restart=spec.restart, life=life
        )
        return answer if isinstance(answer, Applied) else Applied()

    async def _ask(self, spec: MemberSpec, name: str, *args: object, **kwargs: object) -> object:
        found = _definition_of(spec).handlers[name]
        data = found.signature.encode(found.signature.bind(args, kwargs))
        return found.signature.returns.decode(await _asked(spec, found, data))

    # ---------------------------------------------------------------------- workflows
    def _start_workflow(self, spec: MemberSpec, life: int) -> None:
        """Start a run with the commit that ends the supervisor's message."""
        definition = current_context().registry.find_workflow(spec.type)
        run = RunId(spec.target)
        running_actor().start_member(definition, spec.args, run=run, life=life)

    async def _end_workflow(self, spec: MemberSpec, why: str) -> None:
        """Cancel a run and wait for its end; terminate it if that takes too long.

        One that shields itself, is parked, or has no engine with its code does not end by itself.
        """
        try:
            try:
                await _ended(spec.target, "cancel", why)
            except TimeoutError:
                await _ended(spec.target, "terminate", why)
        except RunNotFound:
            return


async def _ended(run: str, kind: MessageKind, why: str) -> None:
    """Have a run end as steps."""
    supervisor = current_context()
    await supervisor.step(SEND_STEP, (run, kind, why, b"", ""), place="")
    async with asyncio.timeout(limits.SUPERVISOR_ORDER_SECONDS):
        await supervisor.step(WAIT_STEP, (run,), place="")


async def _asked(spec: MemberSpec, handler: HandlerDefinition, args: bytes) -> bytes:
    """Ask a member as a step, and return the encoded answer."""
    supervisor = current_context()
    envelope = Envelope(
        _definition_of(spec),
        key_in(RunId(spec.target), spec.type),
        handler,
        args,
        sender=supervisor.id,
        chain=running_actor().chain,
    )
    async with asyncio.timeout(limits.SUPERVISOR_ORDER_SECONDS * _orders_in(spec)):
        answer = await supervisor.step(ASK_STEP, (write_envelope(envelope),), place="")
    return answer if isinstance(answer, bytes) else b""


def _definition_of(spec: MemberSpec) -> ActorDefinition:
    definition = current_context().registry.actors.get(spec.type)
    if definition is None:
        raise UnknownActor(f"there is no actor {spec.type!r} here")
    return definition


def _orders_in(spec: MemberSpec) -> int:
    """Return how many orders, one after another, it takes to do one thing with a member.

    A team may hold each of its members, and then start each; and it ends what it is at before.
    """
    if spec.team is None:
        return 1
    return 1 + 4 * sum(_orders_in(member) for member in spec.team.members)
