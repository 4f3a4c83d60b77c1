"""A small shop: the program that the pictures of the dashboard in the documentation show."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from outlast import Actor, Retry, Value, actor, handler, step, this_step, wf, workflow

progress = Value("progress", str)


class CardDeclined(Exception):
    pass


class GatewayBusy(Exception):
    pass


@step
async def reserve_stock(order: str, items: int) -> list[str]:
    await asyncio.sleep(0.2 + 0.1 * items)
    return [f"shelf-{n}" for n in range(items)]


@step(retry=Retry(attempts=4, first="200ms", jitter="none", never_on=(CardDeclined,)))
async def charge_card(order: str, cents: int) -> str:
    await asyncio.sleep(0.25)
    if cents > 90_000:
        raise CardDeclined(f"order {order}: the limit is 900.00, not {cents / 100:.2f}")
    if this_step().attempt < 3:
        raise GatewayBusy("503 from the payment gateway")
    return f"receipt-{order}"


@step
def print_label(parcel: str) -> str:
    return f"label-{parcel}"


@step
async def collect(parcel: str, seconds: float) -> str:
    await asyncio.sleep(seconds)
    return parcel


@step
async def send_mail(customer: str, receipt: str) -> None:
    await asyncio.sleep(0.15)


@workflow
async def ship(parcel: str, seconds: float = 0.4) -> str:
    await collect(parcel, seconds)
    await asyncio.sleep(0.2)
    return await print_label(parcel)


@workflow
async def checkout(order: str, cents: int, items: int = 3) -> dict[str, object]:
    progress.set("reserving")
    shelves = await reserve_stock(order, items)
    progress.set("charging")
    receipt = await charge_card(order, cents)
    progress.set("shipping")
    parcels = [ship(f"{order}-{n}", 0.3 + 0.2 * n) for n in range(items)]
    labels = await asyncio.gather(*parcels)
    await send_mail("ada@example.com", receipt)
    if cents > 50_000:
        said = await wf.approve(
            f"Release order {order}?",
            detail={"order": order, "amount": f"{cents / 100:.2f} EUR", "parcels": labels},
            timeout="2d",
        )
        progress.set("released" if said.approved else "held")
    return {"receipt": receipt, "shelves": shelves, "labels": labels}


@workflow
async def refund(order: str, cents: int, reason: str) -> str:
    said = await wf.approve(
        f"Refund {cents / 100:.2f} EUR for order {order}?",
        detail={"order": order, "reason": reason},
        timeout="3d",
    )
    return "refunded" if said.approved else "rejected"


@dataclass
class Balance:
    cents: int = 0
    entries: list[str] = field(default_factory=list[str])


@actor
class Account(Actor[Balance]):
    @handler
    async def deposit(self, cents: int) -> int:
        self.state.cents += cents
        self.state.entries.append(f"+{cents}")
        return self.state.cents
