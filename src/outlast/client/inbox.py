"""What runs ask people, answered over HTTP. Who answers is the name of the client's token."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import msgspec

from outlast.client.asking import Asking, quoted
from outlast.types import TokenInfo


class InboxVerbs(Asking):
    """The inbox's verbs of an engine."""

    async def tokens(self, *, open_only: bool = True) -> AsyncGenerator[TokenInfo, None]:
        """Iterate over what runs ask, oldest first."""
        query = {} if open_only else {"all": "1"}
        async for info in self.items("/v1/approvals", "approvals", TokenInfo, **query):
            yield info

    async def token(self, token_id: str) -> TokenInfo:
        """Return what is known of one token."""
        return msgspec.convert(await self.ask("GET", f"/v1/tokens/{quoted(token_id)}"), TokenInfo)

    async def answer(
        self, token_id: str, value: object, *, by: str = "", reason: str = "", digest: str = ""
    ) -> None:
        """Answer a token; `by` is not sent, for the server knows whose token asks."""
        del by
        body = {"value": value, "digest": digest, "reason": reason}
        await self.ask("POST", f"/v1/tokens/{quoted(token_id)}", body)

    async def approve(
        self, token_id: str, *, by: str = "", reason: str = "", digest: str = ""
    ) -> None:
        """Approve what a run asks; see `Engine.approve`."""
        await self.answer(token_id, True, by=by, reason=reason, digest=digest)

    async def reject(
        self, token_id: str, *, by: str = "", reason: str = "", digest: str = ""
    ) -> None:
        """Refuse what a run asks; see `Engine.reject`."""
        await self.answer(token_id, False, by=by, reason=reason, digest=digest)
