"""What the ledgers of an engine have counted."""

from __future__ import annotations

from outlast import Engine
from outlast.agents import BudgetInfo, budget_info, budget_infos


async def ledgers(engine: Engine) -> list[BudgetInfo]:
    """Return all budgets, newest first, with all that they were told of."""
    names = [info.name async for info in budget_infos(engine)]
    found = [await budget_info(engine, name) for name in names]
    return [info for info in found if info is not None]
