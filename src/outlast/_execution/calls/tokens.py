"""What one run asks of the outside: tokens, each answered once, or expired.

A token's row is made in the commit that records it. Who answers it, a person or the clock, does so
in one place: the store changes the row if it is still open, and sends the run one message with
that. So the run itself only asks for the expiry, and learns like everybody else who was first.

Invariants:
  * a token's id follows from the run's salt, its id and the key (and where an actor's message
    began): the same in every life, and not to be guessed;
  * at most one message of each token reaches the run.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from outlast import limits
from outlast._codec import Adapter
from outlast._execution.calls.host import RunHost
from outlast._execution.calls.operations import decode_body, encode_body
from outlast._execution.calls.unreadable import Unreadable
from outlast._execution.journal.view import RunJournal
from outlast._execution.loop.event_loop import RunLoop
from outlast._execution.loop.timers import microseconds
from outlast._messages.payloads import read_payload
from outlast._records import Record
from outlast._store.rows import Answer, Message, TokenRow
from outlast._wording.source_lines import calling_place
from outlast.errors import DecodingError, UsageError
from outlast.types import RunId, TokenKind


class OpenedBody(msgspec.Struct, frozen=True, array_like=True):
    """Body of `token_opened`; `detail` is JSON, `approver` the only name that may approve."""

    kind: TokenKind
    title: str
    detail: str
    expires_at: int | None
    approver: str = ""


class AnswerBody(msgspec.Struct, frozen=True, array_like=True):
    """Body of `token_answered`, and of the message before it: without a value it has expired."""

    value: bytes | None
    by: str = ""
    reason: str = ""


@dataclass(slots=True, eq=False)
class TokenOperation:
    """A token that the code has asked for."""

    key: str
    id: str
    kind: TokenKind
    title: str
    adapter: Adapter
    expires_at: int | None
    approver: str = ""
    waiters: list[asyncio.Future[None]] = field(default_factory=list[asyncio.Future[None]])
    is_expiring: bool = False  # asked for in this life; whoever was first is on the way
    is_recorded: bool = False  # its answer is appended
    answer: AnswerBody | None = None  # and delivered
    value: object = None


class TokenCalls:
    """The tokens of one run."""

    __slots__ = (
        "_host",
        "_journal",
        "_loop",
        "_salt",
        "_take_key",
        "_workflow",
        "by_key",
        "opened",
        "series",
    )

    def __init__(
        self,
        host: RunHost,
        journal: RunJournal,
        loop: RunLoop,
        *,
        salt: int,
        workflow: str,
        take_key: Callable[[str, str], str],
    ) -> None:
        self._host = host
        self._journal = journal
        self._loop = loop
        self._salt = salt
        self._workflow = workflow
        self._take_key = take_key
        self.series: int = 0  # of an actor: up to where its journal was over when the message began
        self.by_key: dict[str, TokenOperation] = {}
        self.opened: dict[str, TokenOperation] = {}  # those that wait for an answer

    # ------------------------------------------------------------------ the code asks
    def open(
        self,
        kind: TokenKind,
        *,
        title: str,
        detail: str,
        adapter: Adapter,
        timeout: float | None,
        key: str | None = None,
        approver: str = "",
    ) -> TokenOperation:
        """Ask something of the outside, with the run's next commit.

        `key` is one that the code gives; the run has used it: UsageError.
        """
        if len(self.opened) >= limits.TOKENS_OPEN_MAX:
            raise UsageError(
                f"the run has {limits.TOKENS_OPEN_MAX:,} open tokens, the limit: ask one after "
                f"another, or in child workflows"
            )
        place = calling_place()
        key = self._loop.next_key(kind) if key is None else self._take_key(key, kind)
        journal = self._journal
        journal.issued(key, place)
        token = token_id(self._salt, journal.run, key, self.series)
        now = self._host.world.now()
        opened = journal.recorded("token_opened", key)
        if opened is not None:
            expires_at = decode_body(opened.body, OpenedBody).expires_at
        else:
            # People have this long from when they are asked, however old the run's own time is.
            asked_at = max(self._loop.now, now / 1e6)
            expires_at = None if timeout is None else microseconds(asked_at + timeout)
        operation = TokenOperation(key, token, kind, title, adapter, expires_at, approver)
        self.by_key[key] = self.opened[key] = operation
        if opened is None:
            body = OpenedBody(kind, title, detail, expires_at, approver)
            record = journal.append(
                "token_opened", at=now, key=key, name=title, body=encode_body(body), place=place
            )
            transaction = journal.transaction()
            row = row_of(record, body, token, run=journal.run, workflow=self._workflow)
            transaction.also.tokens += (row,)
        return operation

    def take_open(self) -> tuple[str, ...]:
        """A message of an actor is over, and its tokens with it; return those still open."""
        left = tuple(op.id for op in self.opened.values())
        self.by_key.clear()
        self.opened.clear()
        return left

    def find(self, token: str) -> TokenOperation | None:
        """Return the token of this id, if it is one of this run's."""
        return next((op for op in self.by_key.values() if op.id == token), None)

    def awaited(self) -> list[TokenOperation]:
        """Return the open tokens that code waits for."""
        return [op for op in self.opened.values() if op.waiters]

    async def wait(self, operation: TokenOperation) -> AnswerBody:
        """Return what came of a token; its `value` is decoded, and without one it has expired."""
        while operation.answer is None:
            future: asyncio.Future[None] = self._loop.create_future()
            operation.waiters.append(future)
            try:
                await future
            finally:
                operation.waiters.remove(future)
        return operation.answer

    # ------------------------------------------------------------------- answers arrive
    def answered(self, message: Message) -> None:
        """Append what came of a token, once."""
        operation = self.by_key.get(message.name)
        if operation is None or operation.is_recorded:
            return
        operation.is_recorded = True
        self._journal.append(
            "token_answered",
            at=message.at,
            key=operation.key,
            name=operation.title,
            body=message.body,
        )

    def deliver_answer(self, record: Record) -> None:
        """Hand what came of a token to the code that waits for it."""
        operation = self.opened.pop(record.key, None)
        if operation is None:
            return
        body = decode_body(record.body, AnswerBody)
        if body.value is not None:
            try:
                operation.value = read_payload(operation.adapter, body.value)
            except DecodingError as error:
                raise Unreadable(f"the answer to {operation.title!r}", error) from None
        operation.is_recorded = True
        operation.answer = body
        for future in operation.waiters:
            if not future.done():
                future.set_result(None)

    # ------------------------------------------------------------------------ the clock
    def next_expiry(self) -> int | None:
        """Return when the first open token expires."""
        if not self.opened:
            return None
        times = [op.expires_at for op in self.opened.values() if _may_expire(op)]
        return min((at for at in times if at is not None), default=None)

    def expire_due(self, now: int) -> None:
        """Ask the store to expire what was not answered in time; it knows which came first."""
        for operation in self.opened.values():
            at = operation.expires_at
            if at is None or at > now or not _may_expire(operation):
                continue
            operation.is_expiring = True
            transaction = self._journal.transaction()
            answer = expiry_of(operation.id, operation.key, run=self._journal.run, at=at)
            transaction.also.answers += (answer,)


def _may_expire(operation: TokenOperation) -> bool:
    return not (operation.is_expiring or operation.is_recorded)


def token_id(salt: int, run: RunId, key: str, series: int = 0) -> str:
    """Return the id of a token: 128 bits, as hard to guess as the 60 of the salt.

    `series` tells one attempt at an actor's message from the next, whose keys are the same.
    """
    return hashlib.sha256(f"{salt}/{run}/{key}/{series}".encode()).hexdigest()[:32]


def digest_of(title: str, detail: str) -> str:
    """Return what stands for a question; `detail` is JSON with its keys sorted."""
    return hashlib.sha256(json.dumps([title, detail]).encode()).hexdigest()[:32]


def row_of(record: Record, body: OpenedBody, token: str, *, run: RunId, workflow: str) -> TokenRow:
    """Return the row of a token that is asked."""
    return TokenRow(
        id=token,
        run=run,
        workflow=workflow,
        key=record.key,
        kind=body.kind,
        title=body.title,
        detail=body.detail,
        digest=digest_of(body.title, body.detail),
        created_at=record.at,
        expires_at=body.expires_at,
    )


def expiry_of(token: str, key: str, *, run: RunId, at: int) -> Answer:
    """Return the clock's answer to a token, at its deadline."""
    message = message_of(key, AnswerBody(None), run=run, at=at)
    return Answer(token=token, status="expired", message=message, at=at)


def message_of(key: str, body: AnswerBody, *, run: RunId, at: int) -> Message:
    """Return how a run hears what came of its token."""
    return Message(run=run, kind="token", name=key, body=encode_body(body), at=at)
