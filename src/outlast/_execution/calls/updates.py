"""Updates of one run: validated requests from outside, each answered by a task of the run.

The way of an update: its message waits in the mailbox · `admit` asks the validator, and consumes
the message with a record that it is accepted, or without any record when it is refused ·
`deliver_accepted` begins the handler, as a task of the run · its end is recorded, and told to who
asked when that is durable.

Invariants:
  * one is admitted at a time: a validator sees what the handlers before it did in their first turn;
  * handlers are numbered in the order of acceptance, and so are the places of their tasks;
  * what is kept of an update is written with the record that says it: accepted, or done.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextvars import Context, copy_context
from dataclasses import dataclass
from inspect import iscoroutine
from typing import Literal

import msgspec
from typing_extensions import override

from outlast import limits
from outlast._codec import Adapter
from outlast._execution.calls.clock import RunClock
from outlast._execution.calls.host import RunHost
from outlast._execution.calls.operations import decode_body, encode_body, failure_body
from outlast._execution.calls.unreadable import Culprit, Unreadable, refusal_in
from outlast._execution.journal.view import RunJournal
from outlast._execution.loop.event_loop import RunLoop
from outlast._execution.loop.executing import Woken, run_reading
from outlast._execution.loop.tasks import TaskPath
from outlast._messages.payloads import is_json_payload, read_payload
from outlast._messages.updates import KeptUpdate, dedup_of, digest_of, id_of, update_message
from outlast._records import EMPTY, VALUE, Record
from outlast._shapes import is_awaitable
from outlast._store.rows import DONE, Message
from outlast.errors import DecodingError, NotDeterministic, UsageError

REFUSED = "\x00refused/"
"""Values: what came of the last updates that validators refused, for who asks at another engine.
A refusal leaves no record, and no more than these: one for each number of a message, modulo their
count."""

OnClose = Literal["wait", "abandon"]


class UpdateBody(msgspec.Struct, frozen=True, array_like=True):
    """Body of `update_accepted`: the argument's payload, and the id that the caller gave."""

    payload: bytes
    id: str


@dataclass(frozen=True, slots=True)
class UpdateHandler:
    """What a run's code does with updates of one name; `context` is that of who registered it."""

    call: Callable[[object], object]
    request: Adapter
    response: Adapter
    context: Context
    on_close: OnClose


@dataclass(slots=True, eq=False)
class UpdateOperation:
    """An update that was accepted and has not ended."""

    key: str
    path: str
    name: str
    body: UpdateBody
    has_begun: bool = False


class UpdateCalls:
    """The updates of one run."""

    __slots__ = (
        "_admitting",
        "_clock",
        "_count",
        "_done",
        "_handlers",
        "_host",
        "_journal",
        "_loop",
        "_refused",
        "_unfinished",
        "_validators",
        "waiting",
    )

    def __init__(
        self,
        host: RunHost,
        journal: RunJournal,
        loop: RunLoop,
        clock: RunClock,
    ) -> None:
        self._host = host
        self._journal = journal
        self._loop = loop
        self._clock = clock
        self._handlers: dict[str, UpdateHandler] = {}
        self._validators: dict[str, Callable[[object], object]] = {}
        self.waiting: list[Message] = []  # in the mailbox, oldest first
        self._admitting = ""  # the key of the one that is on its way to the disk
        self._refused: dict[int, tuple[Message, KeptUpdate]] = {}  # until that is durable
        self._done: dict[str, tuple[Message, KeptUpdate]] = {}  # until that is durable
        self._count = 0
        self._unfinished: dict[str, UpdateOperation] = {}

    def expect(self, records: Iterable[Record]) -> None:
        """Take note of those that were accepted in earlier lives."""
        for record in records:
            if record.kind == "update_accepted":
                self._accepted(record.name, decode_body(record.body, UpdateBody))

    def _accepted(self, name: str, body: UpdateBody) -> UpdateOperation:
        self._count += 1
        path = f"u{self._count}"
        operation = UpdateOperation(f"{path}#0:{name}", path, name, body)
        self._unfinished[operation.key] = operation
        return operation

    # ------------------------------------------------------------------ the code asks
    def register(
        self,
        name: str,
        call: Callable[[object], object],
        *,
        request: Adapter,
        response: Adapter,
        on_close: OnClose,
    ) -> None:
        """Let updates of this name be handled from now on, in the context that registers it."""
        handler = UpdateHandler(call, request, response, copy_context(), on_close)
        if name in self._handlers:
            raise UsageError(f"this run already has a handler of update {name!r}")
        self._handlers[name] = handler
        for operation in self._unfinished.values():
            if operation.name == name and operation.has_begun:
                # Another life of this run, taken up before the point where this one was accepted.
                self._loop.call_soon(self._begin, operation, handler)

    def handles(self, name: str) -> bool:
        """Whether updates of this name have a handler."""
        return name in self._handlers

    def validate(self, name: str, validator: Callable[[object], object]) -> None:
        """Have updates of this name looked at before they are accepted."""
        self._validators[name] = validator

    def unfinished(self) -> list[UpdateOperation]:
        """Return those whose handlers are at work, in the order of their acceptance."""
        return [op for op in self._unfinished.values() if op.has_begun]

    def must_wait(self) -> bool:
        """Whether the run stays open for a handler that has not ended."""
        for operation in self._unfinished.values():
            handler = self._handlers.get(operation.name)
            if handler is not None and handler.on_close == "wait":
                return True
        return False

    # ----------------------------------------------------------------- messages arrive
    def take(self, message: Message) -> None:
        """Keep a message, which stays in the mailbox, until it is its turn."""
        self.waiting.append(message)

    def admit(self) -> None:
        """Accept the oldest update that has a handler; refuse what validators do not want."""
        while not self._admitting and len(self._unfinished) < limits.UPDATES_RUNNING_MAX:
            message = next((m for m in self.waiting if m.name in self._handlers), None)
            if message is None:
                return
            last = self._journal.last_seq
            self._clock.append_due_timers(message.at - 1)
            if self._journal.last_seq != last:
                return  # what was due before it was sent comes first, as though we had been there
            try:
                refusal = self._refusal_of(message)
            except Woken:
                self._take_out(message)
                why = f"its validator of update {message.name!r} changed what the run waits for"
                self._refuse(message, UsageError(f"{why}; a validator may only read"))
                # What the code holds now is not what replay gives; replayed, it is right again.
                self._host.run_parked(self._journal.run, f"{why}: fix it, then resume the run")
                return
            self._take_out(message)
            if refusal is None:
                self._accept(message)
            else:
                self._refuse(message, refusal)

    def _argument_of(self, message: Message) -> object:
        """Return an update's argument.

        Raises:
            Unreadable: it was sent by its type, which is another one here.
            DecodingError: it was sent as JSON that does not fit: the caller is told.
        """
        try:
            return read_payload(self._handlers[message.name].request, message.body)
        except DecodingError as error:
            if is_json_payload(message.body):
                raise
            what = f"update {message.name!r} (message {message.number})"
            raise Unreadable(what, error, Culprit(number=message.number)) from None

    def _refusal_of(self, message: Message) -> BaseException | None:
        validator = self._validators.get(message.name)
        try:
            argument = self._argument_of(message)
            if validator is not None:
                place = _NoPath(message.name)
                answer = run_reading(self._loop, lambda: validator(argument), place)
                _only_looked(answer, message.name)
        except (KeyboardInterrupt, Woken, Unreadable, NotDeterministic):
            raise  # the run is parked, and the message stays in its mailbox
        except BaseException as error:  # noqa: BLE001  # whatever it is, the caller gets it
            return error
        return None

    def _accept(self, message: Message) -> None:
        body = UpdateBody(message.body, id_of(message))
        operation = self._accepted(message.name, body)
        self._admitting = operation.key
        self._journal.append(
            "update_accepted",
            at=message.at,
            key=operation.key,
            name=operation.name,
            body=encode_body(body),
        )
        self._keep(message.dedup, KeptUpdate(digest_of(message.name, message.body), "accepted"))

    def _refuse(self, message: Message, error: BaseException) -> None:
        digest = digest_of(message.name, message.body)
        kept = KeptUpdate(digest, "refused", failure_body(error))
        self._refused[message.number] = message, kept
        slot = message.number % limits.UPDATES_REFUSED_KEPT
        known = encode_body(_Refusal(message.dedup, kept))
        transaction = self._journal.transaction()
        transaction.also.values += ((f"{REFUSED}{slot}", known),)

    def _take_out(self, message: Message) -> None:
        """Let a message leave the mailbox with the next commit."""
        self.waiting.remove(message)
        transaction = self._journal.transaction()
        transaction.also.consumed += (message.number,)

    def consumed(self, numbers: Iterable[int]) -> None:
        """Messages are durably gone: tell those who asked for what was refused."""
        for number in numbers:
            refused = self._refused.pop(number, None)
            if refused is not None:
                self._host.answered(refused[0], encode_body(refused[1]))

    # ------------------------------------------------------------------ records arrive
    def deliver_accepted(self, record: Record) -> None:
        """Begin the handler of an update, as soon as the code has one."""
        if self._admitting == record.key:
            self._admitting = ""
        operation = self._unfinished[record.key]
        operation.has_begun = True
        handler = self._handlers.get(operation.name)
        if handler is not None:
            self._begin(operation, handler)

    def _begin(self, operation: UpdateOperation, handler: UpdateHandler) -> None:
        try:
            argument = read_payload(handler.request, operation.body.payload)
        except DecodingError as error:
            self._loop.halt(Unreadable(f"the accepted update {operation.name!r}", error))
            return
        own = self._loop.own
        task = handler.context.run(own, _handled(handler, argument), operation.path)

        task.add_done_callback(lambda task: self._ended(operation, handler, task))

    def _ended(
        self, operation: UpdateOperation, handler: UpdateHandler, task: asyncio.Future[object]
    ) -> None:
        """Record how a handler has ended, unless the run was faster, or leaves memory."""
        if self._loop.is_leaving:
            return
        journal = self._journal
        refusal = None if task.cancelled() else refusal_in(task.exception())
        if refusal is not None:
            self._loop.halt(refusal)
            return
        outcome = self._outcome_of(task, handler)
        if journal.has_closed:
            return
        del self._unfinished[operation.key]
        journal.issued(operation.key, "")
        if journal.recorded("update_done", operation.key) is not None:
            return
        now = self._host.world.now()
        journal.append("update_done", at=now, key=operation.key, name=operation.name, body=outcome)
        message = update_message(
            journal.run, operation.name, operation.body.payload, operation.body.id, at=now
        )
        kept = KeptUpdate(digest_of(message.name, message.body), "done", outcome)
        self._done[operation.key] = message, kept
        self._keep(message.dedup, kept)

    def _outcome_of(self, task: asyncio.Future[object], handler: UpdateHandler) -> bytes:
        if task.cancelled():
            if self._loop.root.is_cancelled:
                return EMPTY
            return failure_body(asyncio.CancelledError("raised by the handler itself"))
        error = task.exception()
        if error is not None:
            return failure_body(error)
        try:
            data, _ = handler.response.roundtrip(task.result())
        except KeyboardInterrupt:
            raise
        except BaseException as unfit:  # noqa: BLE001  # a user's class may raise anything
            return failure_body(unfit)
        return VALUE + data

    def _keep(self, dedup: str, kept: KeptUpdate) -> None:
        transaction = self._journal.transaction()
        transaction.also.values += ((DONE + dedup, encode_body(kept)),)

    def deliver_done(self, record: Record) -> None:
        """Tell who asked, now that it is durable; callers of an earlier life are gone."""
        done = self._done.pop(record.key, None)
        if done is not None:
            self._host.answered(done[0], encode_body(done[1]))


class _Refusal(msgspec.Struct, frozen=True, array_like=True):
    dedup: str
    kept: KeptUpdate


class _NoPath(TaskPath):
    """Where a validator stands: nothing that would be recorded can be asked for from here."""

    def __init__(self, name: str) -> None:
        super().__init__("")
        self._update = name

    @override
    def next_key(self, name: str) -> str:
        raise UsageError(
            f"the validator of update {self._update!r} may only read, but it called {name}: move "
            f"the call into the handler"
        )

    @override
    def next_path(self) -> str:
        return self.next_key("a task")


def _only_looked(answer: object, name: str) -> None:
    if answer is None:
        return
    if iscoroutine(answer):
        answer.close()
    raise UsageError(
        f"the validator of update {name!r} returned {type(answer).__name__}: a validator is a "
        f"plain function that returns nothing, and raises an error to reject the update"
    )


async def _handled(handler: UpdateHandler, argument: object) -> object:
    result = handler.call(argument)
    if not is_awaitable(result):
        return result
    return await result


def refused_in(values: Iterable[bytes], message: Message) -> KeptUpdate:
    """Return how an update was refused, unless too many were refused since."""
    for data in values:
        refusal = decode_body(data, _Refusal)
        if refusal.dedup == message.dedup:
            return refusal.kept
    error = UsageError("its validator rejected it, and the reason is no longer stored")
    return KeptUpdate(digest_of(message.name, message.body), "refused", failure_body(error))


def kept_updates(records: Iterable[Record]) -> list[tuple[str, bytes]]:
    """Return what is kept of the updates in a run's records, as values."""
    accepted: dict[str, tuple[str, bytes]] = {}
    kept: dict[str, bytes] = {}
    for record in records:
        if record.kind == "update_accepted":
            body = decode_body(record.body, UpdateBody)
            digest = digest_of(record.name, body.payload)
            accepted[record.key] = DONE + dedup_of(body.id), digest
            kept[accepted[record.key][0]] = encode_body(KeptUpdate(digest, "accepted"))
        elif record.kind == "update_done" and record.key in accepted:
            name, digest = accepted[record.key]
            kept[name] = encode_body(KeptUpdate(digest, "done", record.body))
    return list(kept.items())
