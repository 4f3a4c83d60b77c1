"""What runs ask people, answered over HTTP.

Who answers is the name of the client's token; on the socket beside a database, `by`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator

import msgspec

from outlast.client.asking import Asking, quoted
from outlast.errors import UsageError
from outlast.types import TokenInfo


class InboxVerbs(Asking):
    """The inbox's verbs of an engine."""

    async def tokens(self, *, open_only: bool = True) -> AsyncGenerator[TokenInfo, None]:
        """Iterate over tokens and approvals, oldest first."""
        query = {} if open_only else {"all": "1"}
        async for info in self.items("/v1/approvals", "approvals", TokenInfo, **query):
            yield info

    async def token(self, token_id: str) -> TokenInfo:
        """Return what is known of one token."""
        return msgspec.convert(await self.ask("GET", f"/v1/tokens/{quoted(token_id)}"), TokenInfo)

    async def answer(
        self, token_id: str, value: object, *, by: str = "", reason: str = "", digest: str = ""
    ) -> None:
        """Answer a token; `by` is for a Unix socket alone: a server takes the token's name."""
        await self._answer(token_id, value, by=by, reason=reason, digest=digest, verdict=False)

    async def _answer(
        self, token_id: str, value: object, *, by: str, reason: str, digest: str, verdict: bool
    ) -> None:
        body = {"value": value, "digest": digest, "reason": reason, "verdict": verdict}
        if by and not self.is_local:
            raise UsageError(
                "by= needs a local database: a server records the name of the API token"
            )
        if by:
            body["by"] = by
        await self.ask("POST", f"/v1/tokens/{quoted(token_id)}", body)

    async def approve(
        self, token_id: str, *, by: str = "", reason: str = "", digest: str = ""
    ) -> None:
        """Give an approval; see `Engine.approve`."""
        await self._answer(token_id, True, by=by, reason=reason, digest=digest, verdict=True)

    async def reject(
        self, token_id: str, *, by: str = "", reason: str = "", digest: str = ""
    ) -> None:
        """Reject an approval; see `Engine.reject`."""
        await self._answer(token_id, False, by=by, reason=reason, digest=digest, verdict=True)
