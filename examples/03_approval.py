"""A person's approval: the run waits for hours or days, across restarts, until someone decides.

    python examples/03_approval.py
    outlast inbox --db approval.db            # in another terminal: lists the open requests
    outlast approve ID --db approval.db       # or: outlast reject ID --reason "too late"

Kill the program while it waits and start it again: it still waits for the same request.
"""

import asyncio

from outlast import Engine, step, wf, workflow


@step
async def pay_back(order: str, cents: int) -> str:
    return f"refunded {cents} cents for order {order}"


@workflow
async def refund(order: str, cents: int) -> str:
    if cents > 1_000:
        detail = {"order": order, "cents": cents}
        decision = await wf.approve(f"Refund order {order}?", detail=detail, timeout="3d")
        if not decision.approved:
            return f"not refunded: {decision.reason or 'no answer in three days'}"
    return await pay_back(order, cents)


async def main() -> None:
    async with Engine.open("approval.db") as engine:
        run = await engine.start(refund("7", 4_000), id="refund-7")
        print(await run.why(), flush=True)
        print(await run.result())


if __name__ == "__main__":
    asyncio.run(main())
