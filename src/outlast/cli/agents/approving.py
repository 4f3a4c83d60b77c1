"""The requests for approval of a turn, asked at a terminal one after the other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from outlast.cli.agents.showing import Data, data_of
from outlast.cli.printing import complain, note, safe_line, shown
from outlast.cli.transport import Verbs
from outlast.errors import OutlastError
from outlast.types import TokenInfo

_YES, _NO = ("y", "yes"), ("n", "no")
_PROMPT = "    approve? [y, n, or why not] "


class Approvals:
    """What the turn under way asks people; the next line answers the first of it.

    `by` is the name under which it is answered; empty where a server records who has. `ask` prints
    a question on lines of its own, and returns False where nobody can answer.
    """

    def __init__(self, verbs: Verbs, *, by: str, ask: Callable[[str], bool]) -> None:
        self._verbs = verbs
        self._by = by
        self._ask = ask
        self._open: dict[str, TokenInfo] = {}  # the first is the one that is asked
        self._was_settled = False  # the one that was asked, elsewhere, and the turn goes on
        self._given = ""  # the one that was answered here, until the conversation tells
        self.is_asking: asyncio.Event = asyncio.Event()

    async def hear(self, entry: Data) -> None:
        """Hear from an entry of the conversation what is asked, and what was answered."""
        token = f"{data_of(entry.get('question')).get('token')}"
        match entry.get("kind"):
            case "asked":
                found = await self._verbs.token(token)
                if found.status == "open":
                    self._add(found)
            case "answered" if token in self._open:
                self._was_settled = token == self._first.id and token != self._given
                self._remove(token)
            case "ended":
                self._open.clear()
                self._was_settled, self._given = False, ""
                self.is_asking.clear()
            case _:
                pass

    async def takes(self, line: str) -> bool:
        """Answer what is asked with a line; return whether the line was meant for that."""
        if not line.strip():
            return self.is_asking.is_set() and self._ask(_PROMPT)
        if self._was_settled or (self._given and len(self._open) > 1):
            # It was typed for another question than the one that is asked now, or will be.
            self._was_settled = False
            note(f"not sent, since the approval was answered meanwhile: {safe_line(line)}")
            if self.is_asking.is_set():
                self._ask(_PROMPT)
            return True
        if self.is_asking.is_set():
            await self._answer(self._first, line.strip())
            return True
        return False

    @property
    def _first(self) -> TokenInfo:
        return next(iter(self._open.values()))

    async def _answer(self, token: TokenInfo, said: str) -> None:
        """Answer an approval, unless it is not clear what was meant."""
        first = said.lower().partition(" ")[0].rstrip(",.!")
        if first in _YES and said.lower() not in _YES:
            self._ask(_PROMPT)
            return
        # The next one is asked when the conversation tells of this one.
        self._given = token.id
        self.is_asking.clear()
        try:
            if said.lower() in _YES:
                await self._verbs.approve(token.id, by=self._by)
            else:
                reason = "" if said.lower() in _NO else said
                await self._verbs.reject(token.id, by=self._by, reason=reason)
        except OutlastError as error:
            complain(f"{error}")
            if token.id in self._open:  # unless somebody was faster, which the conversation tells
                self._given = ""
                self.is_asking.set()
                self._ask(_PROMPT)

    def _add(self, token: TokenInfo) -> None:
        if token.kind == "approval" and (self._open or self._ask(_question(token))):
            if not self._open:
                self.is_asking.set()
            self._open[token.id] = token
        else:
            note(f"the agent waits for the {token.kind} {token.id}: {_what(token)}")

    def _remove(self, token: str) -> None:
        """Forget an approval that was answered, and ask for the next one."""
        was_asked = self._first.id == token
        del self._open[token]
        if token == self._given:
            self._given = ""
        if not self._open:
            self.is_asking.clear()
        elif was_asked:
            self._ask(_question(self._first))
            self.is_asking.set()


def _question(token: TokenInfo) -> str:
    return f"  ? {_what(token)}\n{_PROMPT}"


def _what(token: TokenInfo) -> str:
    # The title has the agent and the tool: of a call only its arguments are left to tell.
    told = data_of(token.detail).get("arguments", token.detail)
    return f"{safe_line(token.title)}  {safe_line(shown(told))}"
