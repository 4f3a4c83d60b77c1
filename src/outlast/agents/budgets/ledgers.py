"""How the body of a step asks the ledgers of the budgets around it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from outlast._engine.remote import ambient, until_taken
from outlast._execution.bodies.context import waiting_for_engine
from outlast._handles.actor_ref import ActorRef
from outlast._registry import default_registry
from outlast.agents.budgets import limits
from outlast.agents.budgets.amounts import NOTHING, Amount, Offer, dollars
from outlast.agents.budgets.ledger import Grant, Ledger, Totals, Wish
from outlast.agents.budgets.scopes import Scope
from outlast.errors import ActorStopped, OverBudget


@dataclass(frozen=True, slots=True)
class Request:
    """What is reserved for: one attempt at a request to a model."""

    model: str
    step: str
    attempt: str
    full: Offer
    last: Offer
    wanted: int


@dataclass(frozen=True, slots=True)
class Reserved:
    """What was reserved, under `id` in all ledgers: so many output tokens.

    `stopped_by` are the ledgers that do not pay for a turn with tools; `totals` what each had
    counted, without this request.
    """

    id: str
    output: int
    stopped_by: tuple[str, ...]
    totals: dict[str, Totals]


async def reserve(scopes: Sequence[Scope], request: Request) -> Reserved:
    """Reserve what a request costs at most, in all ledgers; wait for others that are under way.

    Raises:
        OverBudget: a ledger has no room for it. Nothing is reserved then.
    """
    with waiting_for_engine():
        return await _reserved(scopes, request)


async def _reserved(scopes: Sequence[Scope], request: Request) -> Reserved:
    world = ambient().world
    pause, longest = limits.POLL_SECONDS
    until = world.monotonic() + limits.WAIT_SECONDS
    while True:
        waits = world.monotonic() < until
        reservation = world.new_id()
        granted: list[tuple[Scope, Grant]] = []
        output = request.wanted
        for scope in scopes:
            grant = await _asked(scope, request, id=reservation, wanted=output, waits=waits)
            granted.append((scope, grant))
            output = min(output, grant.output)
            if not output:
                break
        if output:
            stopping = tuple(scope.ledger for scope, grant in granted if grant.is_last)
            totals = {scope.ledger: grant.totals for scope, grant in granted}
            return Reserved(reservation, output, stopping, totals)
        scope, grant = granted.pop()
        await settle([scope for scope, _ in granted], reservation, NOTHING)
        if not grant.is_busy:
            raise _over(scope, grant.totals, request)
        await world.sleep(pause)
        pause = min(2 * pause, longest)


async def settle(scopes: Sequence[Scope], id: str, cost: Amount) -> None:
    """Count what a request has cost instead of what was reserved.

    It is told and not asked: an engine that closes lets steps finish, but its actors rest.
    """
    for scope in scopes:
        ledger = _ledger(scope, dedup=f"settle {id}")
        await until_taken(ambient(), _told(ledger, id, cost))


@dataclass(frozen=True, slots=True)
class Counted:
    """What came of counting a call of a tool: the budget that refused it, empty for none."""

    refused_by: str
    totals: dict[str, Totals]


async def count_call(scopes: Sequence[Scope], *, key: str) -> Counted:
    """Count a call of a tool in all ledgers that limit calls, once for each `key`.

    Raises:
        OverBudget: a ledger is closed.
    """
    with waiting_for_engine():
        return await _counted(scopes, key=key)


async def _counted(scopes: Sequence[Scope], *, key: str) -> Counted:
    found: dict[str, Totals] = {}
    for place, scope in enumerate(scopes):
        is_counted, totals = await _count(scope, 1, dedup=f"count {key}")
        found[scope.ledger] = totals
        if not is_counted:
            for other in scopes[:place]:
                _, found[other.ledger] = await _count(other, -1, dedup=f"return {key}")
            return Counted(scope.ledger, found)
    return Counted("", found)


async def read(scope: Scope) -> Totals:
    """Return what a ledger has counted."""
    ledger = _ledger(scope, dedup="")
    with waiting_for_engine():
        return await until_taken(ambient(), lambda: ledger.ask(Ledger.read))


async def _asked(scope: Scope, request: Request, *, id: str, wanted: int, waits: bool) -> Grant:
    wish = Wish(
        id=id,
        step=request.step,
        attempt=request.attempt,
        limits=scope.limits,
        full=request.full,
        last=request.last,
        wanted=wanted,
        waits=waits,
        is_named=scope.is_named,
    )
    # The step's own dedup keys are those of all its attempts: each attempt would be given the
    # reservation of the first.
    ledger = _ledger(scope, dedup=f"reserve {id}")
    try:
        return await until_taken(ambient(), lambda: ledger.ask(Ledger.reserve, wish))
    except ActorStopped as error:
        raise _closed(scope) from error


async def _count(scope: Scope, calls: int, *, dedup: str) -> tuple[bool, Totals]:
    ledger = _ledger(scope, dedup=dedup)
    try:
        return await until_taken(
            ambient(), lambda: ledger.ask(Ledger.count, calls, scope.limits, scope.is_named)
        )
    except ActorStopped as error:
        raise _closed(scope) from error


def _told(ledger: ActorRef[Ledger], id: str, cost: Amount) -> Callable[[], Awaitable[None]]:
    return lambda: ledger.tell(Ledger.settle, id, cost)


def _ledger(scope: Scope, *, dedup: str) -> ActorRef[Ledger]:
    definition = default_registry.find_actor(Ledger)
    found: ActorRef[Ledger] = ActorRef(definition, scope.ledger, ambient())
    return found.options(dedup=dedup) if dedup else found


def _closed(scope: Scope) -> OverBudget:
    return OverBudget(
        f"budget {scope.ledger!r} is closed: its actor was stopped, because it was not used for "
        f"{limits.UNUSED_SECONDS / 86_400:.0f} days or by an operator. Start a new run",
        scope=scope.ledger,
    )


def _over(scope: Scope, totals: Totals, request: Request) -> OverBudget:
    used = Amount(totals.usd, totals.tokens) + totals.reserved
    room = scope.limits.room(used)
    cost = request.last.cost(request.last.least)
    left = [
        f"${dollars(max(0, room.usd)):f}" if scope.limits.usd is not None else "",
        f"{max(0, room.tokens):,} tokens" if scope.limits.tokens is not None else "",
    ]
    needs = f"{cost.tokens:,} tokens" + (f" or ${dollars(cost.usd):f}" if cost.usd else "")
    return OverBudget(
        f"budget {scope.ledger!r} has {' and '.join(filter(None, left))} left, and even a short "
        f"answer of {request.model!r} may cost {needs}, so the request was not sent. Raise the "
        "limit in the code, then retry the run or send the message again",
        scope=scope.ledger,
    )
