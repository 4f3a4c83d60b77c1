"""Stored data that the code which is loaded cannot read: the run is parked until other code opens.

That is no failure of the run: older code after a rollback, or newer code without a conversion,
meets data of the other. What was acknowledged stays where it is, no attempt is counted, and the run
goes on by itself when code that reads it opens the store. Only an operator gives a message up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias, TypeVar

import msgspec

from outlast._execution.loop.event_loop import RunLoop
from outlast._execution.loop.executing import run_outside
from outlast._messages.letters import Letter
from outlast._registry import ActorDefinition, HandlerDefinition
from outlast._store.rows import Message, ParkedAs
from outlast.errors import DecodingError, NotDeterministic, OutlastError, StoreDamaged
from outlast.types import RunId

T = TypeVar("T")
Arguments: TypeAlias = tuple[tuple[object, ...], Mapping[str, object]]

UNREADABLE = "\x00unreadable"
"""Value of a run that is parked as unreadable: a `Culprit`."""


VALUE_WAYS = "Open the store with code that reads it, or declare a conversion with @evolve"
ERROR_WAYS = (
    "Open the store with code that declares the class, in raises= of the step or with @error; a "
    "class that was moved or renamed is found if the old module keeps its old name as an alias: "
    "OldName = NewName"
)


class Culprit(msgspec.Struct, frozen=True, array_like=True):
    """Which message a run cannot read: its number in the mailbox, or the seq of its record.

    `is_used`: in an earlier life other code has received it, and gone on from there. Without it
    what that code has recorded would fit no code any more.
    """

    number: int = 0
    seq: int = 0
    is_used: bool = False


class Unreadable(DecodingError):
    """Something stored for a run does not fit the types that its code declares."""

    def __init__(
        self,
        what: str,
        cause: DecodingError,
        culprit: Culprit | None = None,
        *,
        ways: str = VALUE_WAYS,
    ) -> None:
        super().__init__(cause.path, cause.reason)
        self._ways = ways
        self.what = what
        self.culprit = culprit

    def was_used(self) -> None:
        """Note that earlier code has read it, and that the run's journal follows from that.

        Of what is still in the mailbox nothing can follow; an actor's message is undone as a whole.
        """
        if self.culprit is not None and self.culprit.seq:
            self.culprit = msgspec.structs.replace(self.culprit, is_used=True)

    def __str__(self) -> str:
        ways = self._ways
        if self.culprit is not None and not self.culprit.is_used:
            ways += ", or make the message a dead letter with `outlast discard`"
        fault = f"{self.what} does not match its declared type: {self.path}: {self.reason}"
        return f"unreadable: {fault}. {ways}"


async def read_in_run(
    loop: RunLoop, what: str, read: Callable[[], T], culprit: Culprit | None = None
) -> T:
    """Return what `read` returns, called outside of the run's code; park the run if it cannot."""
    try:
        return run_outside(loop, read)
    except DecodingError as error:
        unreadable = Unreadable(what, error, culprit)
        loop.halt(unreadable)
        # Its code stays suspended here, and cannot handle this.
        await loop.create_future()
        raise unreadable from None


def state_of(actor: RunId, definition: ActorDefinition, data: bytes) -> object:
    """Return an actor's stored state.

    Raises:
        Unreadable: it does not fit its type here.
    """
    try:
        return definition.state.decode(data)
    except DecodingError as error:
        raise Unreadable(f"the state of actor {actor!r}", error) from None


def arguments_of(message: Message, letter: Letter, handler: HandlerDefinition) -> Arguments:
    """Return the arguments of a message to an actor.

    Raises:
        Unreadable: they do not fit the handler here.
    """
    try:
        return handler.signature.decode(letter.args)
    except DecodingError as error:
        what = f"message {message.number} ({message.name!r})"
        raise Unreadable(what, error, Culprit(number=message.number)) from None


def parked_as(error: OutlastError | None) -> ParkedAs:
    """Return the kind of trouble that a run is parked for."""
    if isinstance(error, Unreadable):
        return "unreadable"
    if isinstance(error, StoreDamaged):
        return "damaged"
    return "attempts" if error is None else "code"


def raise_refusal(error: BaseException | None) -> None:
    """Raise the refused call that has ended code, alone or in a group: that parks its run.

    The code fails the same way whenever it is replayed, and other code goes on from where it is.
    """
    if error is not None and (refusal := refusal_in(error)) is not None:
        raise refusal


def refusal_in(error: BaseException | None) -> NotDeterministic | None:
    """Return the refused call that ended code, alone or in a group with other errors.

    Such code is parked, as one that has changed: it fails the same way whenever it is replayed,
    and other code goes on from where it is.
    """
    if isinstance(error, NotDeterministic):
        return error
    parts: tuple[BaseException, ...] = getattr(error, "exceptions", ())  # those of a group
    found = (refusal_in(part) for part in parts if isinstance(error, BaseExceptionGroup))
    return next((refusal for refusal in found if refusal is not None), None)
