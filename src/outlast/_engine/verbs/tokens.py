"""Answers to what runs ask of the outside: looked up, checked, and taken once.

The store decides who was first, in the transaction that also posts the message to the run; see
decision 12.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass

from outlast import limits
from outlast._codec import Adapter, adapter_for, stored_json
from outlast._codec.schemas import Schema
from outlast._engine.reading.dry_replay import rehearse, rehearse_actor
from outlast._engine.reading.records import moment
from outlast._engine.scheduling.observers import TokensChanged
from outlast._engine.scheduling.scheduler import Scheduler
from outlast._execution.calls.operations import decode_body
from outlast._execution.calls.tokens import AnswerBody, OpenedBody, message_of
from outlast._messages.payloads import fitting_payload
from outlast._store.contract import Store
from outlast._store.pages import is_last
from outlast._store.rows import Answer, AnswerResult, TokenRow
from outlast._store.transactions import Effects, Receipt, Transaction
from outlast._wording.names import check_name, check_text
from outlast.errors import (
    DigestMismatch,
    RunNotFound,
    TokenAnswered,
    TokenClosed,
    TokenExpired,
    TokenNotFound,
    UsageError,
    WrongApprover,
)
from outlast.types import TokenInfo

VERDICT = adapter_for(bool)


@dataclass(frozen=True, slots=True)
class AnswerRequest:
    """An answer as it is given: `digest` binds it to the exact question, unless it is empty."""

    token: str
    value: object
    by: str = ""
    reason: str = ""
    digest: str = ""
    is_verdict: bool = False  # given as approve or reject: only approvals take it
    is_large: bool = False  # encoded beside the loop


class TokenReader:
    """Looks tokens up, also in a store that another process runs."""

    def __init__(self, store: Store) -> None:
        self._store = store.lookups

    async def row(self, token: str) -> TokenRow:
        """Return a token's row.

        Raises:
            TokenNotFound: there is none.
        """
        row = await self._store.read_token(token)
        if row is None:
            raise TokenNotFound(token)
        return row

    async def info(self, token: str) -> TokenInfo:
        """Return what is known of a token."""
        return token_info(await self.row(check_text("a token's id", token)))

    async def all(
        self, *, open_only: bool, page: int = limits.PAGE_ROWS
    ) -> AsyncIterator[TokenInfo]:
        """Iterate over tokens, oldest first."""
        after: tuple[int, str] | None = None
        while True:
            rows = await self._store.list_tokens(after, page, open_only=open_only)
            for row in rows:
                yield token_info(row)
            if is_last(rows, page):
                return
            after = rows[-1].created_at, rows[-1].id

    async def page(
        self, after: tuple[int, str] | None, size: int, *, open_only: bool
    ) -> tuple[list[TokenRow], bool]:
        """Return up to `size` tokens from behind `after` on, oldest first, and whether it ends."""
        rows = await self._store.list_tokens(after, size, open_only=open_only)
        return rows, is_last(rows, size)

    async def count(self, limit: int) -> int:
        """Return how many tokens wait for an answer, `limit` at most."""
        return await self._store.count_open_tokens(limit)


class Tokens:
    """Takes answers."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self.reader: TokenReader = TokenReader(scheduler.store)

    async def answer(self, request: AnswerRequest) -> None:
        """Make an answer safe, if it is the first; its run goes on with it.

        Raises:
            TokenNotFound, TokenAnswered, TokenExpired, TokenClosed, DigestMismatch, WrongApprover:
                nothing was stored.
            DecodingError, EncodingError: the value does not fit what the run asks for.
            UnknownWorkflow, UnknownActor: the code that knows what fits is not here.
        """
        check_text("a token's id", request.token)
        check_text("the name of who answers", request.by)
        check_text("the reason", request.reason)
        if request.digest:
            check_name("a digest", request.digest)
        row = await self._find(request.token)
        now = self._scheduler.world.now()
        if row.status != "open":
            _refuse(row.status, row)
        if request.is_verdict and row.kind != "approval":
            raise UsageError(
                f"token {row.id!r} ({row.title}) is not an approval: answer it with a value"
            )
        body = AnswerBody(await self._payload(row, request), request.by, request.reason)
        if row.kind == "approval" and request.value is True:
            approver = await self._approver(row)
            if approver and request.by != approver:
                raise WrongApprover(row.id, row.title, approver, request.by)
        answer = Answer(
            token=row.id,
            status="answered",
            message=message_of(row.key, body, run=row.run, at=now),
            value=body.value,
            by=body.by,
            reason=body.reason,
            digest=request.digest,
            at=now,
        )
        await self._commit(answer)

    async def _approver(self, row: TokenRow) -> str:
        """Return the only name that may approve; "" when any may."""
        live = self._scheduler.residents.get(row.run)
        tokens = None if live is None else live.calls.made_tokens
        operation = None if tokens is None else tokens.by_key.get(row.key)
        if operation is not None:
            return operation.approver
        records = await self._scheduler.store.lookups.read_journal(row.run)
        opened = [r for r in records if r.kind == "token_opened" and r.key == row.key]
        return decode_body(opened[-1].body, OpenedBody).approver if opened else ""

    async def _find(self, token: str) -> TokenRow:
        row = await self._scheduler.store.read_token(token)
        if row is None and self._scheduler.writer.trouble is None:
            # A step may have passed it on before the commit that asks for it was through.
            await self._scheduler.writer.flushed()
            row = await self._scheduler.store.read_token(token)
        if row is None:
            raise TokenNotFound(token)
        return row

    async def _commit(self, answer: Answer) -> None:
        def made(receipt: Receipt) -> None:
            if receipt.answers[0].result == "accepted":
                if self._scheduler.observers.are_any:
                    self._scheduler.observers.tell(TokensChanged())
                self._scheduler.deliver(answer.message, receipt.answers[0].number)

        transaction = Transaction(None, answer.message.run, [], Effects(answers=(answer,)))
        receipt = await self._scheduler.writer.commit(transaction, made)
        answered = receipt.answers[0]
        if answered.row is None:
            raise TokenNotFound(answer.token)
        if answered.result != "accepted":
            _refuse(answered.result, answered.row)

    async def _payload(self, row: TokenRow, request: AnswerRequest) -> bytes:
        adapter = VERDICT
        if row.kind != "approval":
            adapter = self._known_adapter(row) or await self._adapter(row)
        if not request.is_large:
            return fitting_payload(adapter, request.value)
        return await self._scheduler.world.run_blocking(
            lambda: fitting_payload(adapter, request.value)
        )

    def _known_adapter(self, row: TokenRow) -> Adapter | None:
        live = self._scheduler.residents.get(row.run)
        tokens = None if live is None else live.calls.made_tokens
        operation = None if tokens is None else tokens.by_key.get(row.key)
        return None if operation is None else operation.adapter

    async def schema(self, token: str) -> Schema:
        """Return the JSON Schema of what a token takes.

        Raises:
            TokenNotFound: there is none; UnknownWorkflow: the code that knows it is not here.
        """
        row = await self._find(token)
        return (self._known_adapter(row) or await self._adapter(row)).schema()

    async def _adapter(self, token: TokenRow) -> Adapter:
        """Ask the code of a run that is not in memory what it waits for."""
        scheduler = self._scheduler
        row = await scheduler.store.read_run(token.run)
        if row is None:
            raise RunNotFound(token.run)
        records = await scheduler.store.lookups.read_journal(row.id, row.folded_seq)
        replayed = rehearse_actor if row.kind == "actor" else rehearse
        known = scheduler.known_errors
        run = await replayed(scheduler.world, scheduler.registry, known, row=row, records=records)
        try:
            operation = run.calls.tokens.by_key.get(token.key)
        finally:
            run.leave()
        if operation is None:
            raise UsageError(f"the code of run {token.run!r} no longer asks for this token")
        return operation.adapter


def _refuse(result: AnswerResult, row: TokenRow) -> None:
    match result:
        case "answered":
            raise TokenAnswered(row.id, row.by, moment(row.answered_at))
        case "changed":
            raise DigestMismatch(row.id, row.title)
        case "expired":
            raise TokenExpired(row.id)
        case _:
            raise TokenClosed(row.id)


def token_info(row: TokenRow) -> TokenInfo:
    """Return a row as users see it."""
    value: object = None
    if row.value is not None:
        is_json = row.value[:1] == b"j"
        value = json.loads(row.value[1:]) if is_json else stored_json(row.value[1:])
    created = moment(row.created_at)
    return TokenInfo(
        id=row.id,
        run=row.run,
        workflow=row.workflow,
        kind=row.kind,
        title=row.title,
        detail=json.loads(row.detail),
        created_at=created,
        expires_at=moment(row.expires_at),
        status=row.status,
        by=row.by if row.status == "answered" else None,
        reason=row.reason,
        answered_at=moment(row.answered_at),
        digest=row.digest,
        value=value,
    )
