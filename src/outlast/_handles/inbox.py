"""The engine's verbs for what runs ask of people: looking, answering, approving."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator

from outlast._engine.open_engine import EngineCore
from outlast._engine.opening import Opened
from outlast._engine.verbs.tokens import AnswerRequest, TokenReader
from outlast.types import TokenInfo


class InboxVerbs(ABC):
    """What an open engine does with tokens and approvals."""

    @abstractmethod
    def _require_open(self) -> Opened:
        """Return the open store, and the engine on it if it is not for reading only."""

    @property
    @abstractmethod
    def _core(self) -> EngineCore:
        """The engine; StoreReadOnly when the store is open for reading only."""

    async def tokens(self, open_only: bool = True) -> AsyncIterator[TokenInfo]:
        """Iterate over open tokens and approvals, oldest first; or over all of them."""
        async for info in TokenReader(self._require_open().store).all(open_only=open_only):
            yield info

    async def token(self, token_id: str) -> TokenInfo:
        """Return what is known of one token.

        Raises:
            TokenNotFound
        """
        return await TokenReader(self._require_open().store).info(token_id)

    async def answer(
        self, token_id: str, value: object, *, by: str = "", digest: str | None = None
    ) -> None:
        """Answer a token; returns when the answer is safe. The first one counts.

        `value` is one of the type that is asked for, or its JSON data; for an approval it is true
        or false. With the `digest` of a `TokenInfo` it counts only for exactly that question.

        Raises:
            TokenNotFound, TokenAnswered, TokenExpired, TokenClosed, DigestMismatch: nothing was
                stored.
            DecodingError, EncodingError: `value` does not fit; nothing was stored.
            UnknownWorkflow: the code that says what fits is not loaded here.
        """
        await self._give(AnswerRequest(token_id, value, by=by, digest=digest or ""))

    async def approve(
        self, token_id: str, *, by: str, reason: str = "", digest: str | None = None
    ) -> None:
        """Give an approval that `wf.approve` requested.

        Raises:
            WrongApprover: it asks for another name; nothing was stored.
            TokenNotFound, TokenAnswered, TokenExpired, TokenClosed, DigestMismatch: as `answer`.
        """
        await self._give(AnswerRequest(token_id, True, by, reason, digest or "", is_verdict=True))

    async def reject(
        self, token_id: str, *, by: str, reason: str = "", digest: str | None = None
    ) -> None:
        """Reject an approval; raises what `answer` does."""
        await self._give(AnswerRequest(token_id, False, by, reason, digest or "", is_verdict=True))

    async def _give(self, request: AnswerRequest) -> None:
        core = self._core
        core.check()
        await core.tokens.answer(request)
