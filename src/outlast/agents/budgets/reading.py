"""What is known of budgets from outside of runs: for programs, commands and pages."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

from outlast._codec import adapter_for
from outlast._messages.actor_ids import BUDGETS
from outlast.agents.budgets.amounts import dollars
from outlast.agents.budgets.ledger import Ledger, LedgerState
from outlast.agents.budgets.scopes import OF_RUNS
from outlast.engine import Engine
from outlast.errors import ActorNotFound, ActorParked, ActorStopped, StoreReadOnly
from outlast.types import ActorInfo


@dataclass(frozen=True, slots=True)
class BudgetInfo:
    """What the ledger of a budget has counted.

    Attributes:
        name: of a named budget, or the key of the ledger of a run's own.
        is_named: whether runs share it by its name.
        usd, tokens, tool_calls: what is spent.
        usd_reserved, tokens_reserved: for requests that are under way, at their worst case.
        usd_lost, tokens_lost: the part of what is spent that attempts have reserved whose cost is
            not known, because they were lost.
        usd_limit, tokens_limit, tool_calls_limit: those of the code that used it last.
        used_at: when something was last reserved or counted.
    """

    name: str
    is_named: bool
    usd: Decimal
    tokens: int
    tool_calls: int
    usd_reserved: Decimal
    tokens_reserved: int
    usd_lost: Decimal
    tokens_lost: int
    usd_limit: Decimal | None
    tokens_limit: int | None
    tool_calls_limit: int | None
    used_at: datetime


async def budget_info(engine: Engine, name: str) -> BudgetInfo | None:
    """Return what a budget has counted, by its name; None if no run has used it yet.

    The engine may be open for reading only.
    """
    try:
        found = await engine.actor_info(BUDGETS, name)
    except ActorNotFound:
        return None
    settled = await _settled(engine, found)
    return None if settled.state is None else _info(settled)


async def budget_infos(engine: Engine) -> AsyncIterator[BudgetInfo]:
    """Iterate over all budgets that have been used, those of runs included, newest first.

    What a ledger was told in the last moment may be missing; `budget_info` waits for that.
    """
    async for found in engine.actors(BUDGETS):
        if found.state is not None:  # else it has not ended its first message yet
            yield _info(found)


async def _settled(engine: Engine, found: ActorInfo) -> ActorInfo:
    """Return a ledger that has counted what it was told of by now, if somebody executes it."""
    if not found.waiting:
        return found
    try:
        await engine.actor(Ledger, found.key).ask(Ledger.read)
    except (ActorStopped, ActorParked, StoreReadOnly):
        return found
    return await engine.actor_info(BUDGETS, found.key)


def _info(found: ActorInfo) -> BudgetInfo:
    state: object = adapter_for(LedgerState).from_json(found.state)
    if not isinstance(state, LedgerState):
        raise TypeError(f"the state of {found.id} is no ledger")
    limits, reserved = state.limits, state.reserved_sum()
    return BudgetInfo(
        name=found.key,
        is_named=not found.key.startswith(OF_RUNS),
        usd=dollars(state.spent.usd),
        tokens=state.spent.tokens,
        tool_calls=state.tool_calls,
        usd_reserved=dollars(reserved.usd),
        tokens_reserved=reserved.tokens,
        usd_lost=dollars(state.lost.usd),
        tokens_lost=state.lost.tokens,
        usd_limit=None if limits.usd is None else dollars(limits.usd),
        tokens_limit=limits.tokens,
        tool_calls_limit=limits.tool_calls,
        used_at=datetime.fromtimestamp(state.used_at, UTC),
    )
