"""An actor with state: one account per key, changed by one message at a time.

    python examples/04_account.py

Run it again and the balance is still there: the state is in the database, not in the process.
"""

import asyncio
from dataclasses import dataclass, field

from outlast import Actor, Engine, HandlerFailed, actor, handler


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

    @handler
    async def withdraw(self, cents: int) -> int:
        self.state.entries.append(f"-{cents}")
        if cents > self.state.cents:
            raise ValueError("insufficient funds")  # the state stays as it was before the message
        self.state.cents -= cents
        return self.state.cents

    @handler(read=True)
    async def statement(self) -> list[str]:
        return self.state.entries


async def main() -> None:
    async with Engine.open("accounts.db") as engine:
        ada = engine.actor(Account, "ada")
        await ada.tell(Account.deposit, 500)  # returns when the message is stored
        print("balance:", await ada.ask(Account.withdraw, 200))
        try:
            await ada.ask(Account.withdraw, 1_000_000)
        except HandlerFailed as failed:
            print("rejected:", failed.message)
        print("entries:", await ada.ask(Account.statement))


if __name__ == "__main__":
    asyncio.run(main())
