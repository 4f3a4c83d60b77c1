"""A workflow with steps and retries: kill it at any point, run it again, and it continues.

    python examples/02_retry.py 7

A second run with the same order prints the recorded result and executes no step.
"""

import asyncio
import sys

import outlast
from outlast import Retry, step, this_step, workflow


class GatewayBusy(Exception):
    """The payment gateway refused a request; the next attempt may succeed."""


@step(retry=Retry(attempts=5, first="100ms"))
async def charge(order: str, cents: int) -> str:
    """Fail twice, as an overloaded gateway would; the result is recorded once."""
    attempt = this_step().attempt
    print(f"charge {order}: attempt {attempt}")
    if attempt < 3:
        raise GatewayBusy(f"attempt {attempt}")
    return f"receipt-{order}-{cents}"


@step
def send_mail(receipt: str) -> None:
    """A plain function runs on a thread of its own."""
    print(f"mail {receipt}")


@workflow
async def checkout(order: str, cents: int) -> str:
    receipt = await charge(order, cents)
    await asyncio.sleep(0.5)  # a durable timer: it could also be three days
    await send_mail(receipt)
    return receipt


if __name__ == "__main__":
    order = sys.argv[1] if len(sys.argv) > 1 else "7"
    print(outlast.run(checkout(order, 999), db="retry.db"))
