"""What comes of an answer to a token, of an update of a run, and of a message to an actor."""

from __future__ import annotations

from datetime import datetime

from outlast.errors.root import OutlastError


class TokenError(OutlastError):
    """Nothing came of an answer to a token; `token_id` names it."""

    def __init__(self, token_id: str, message: str) -> None:
        super().__init__(message)
        self.token_id = token_id


class TokenNotFound(TokenError):
    """No token goes by this id (or the retention of its run is over)."""

    def __init__(self, token_id: str) -> None:
        super().__init__(token_id, f"no token has the id {token_id!r}; see `outlast inbox`")


class TokenAnswered(TokenError):
    """Somebody has answered already: `by` whom (may be empty) and when (`at`)."""

    def __init__(self, token_id: str, by: str, at: datetime | None) -> None:
        when = "" if at is None else f" at {at.isoformat(timespec='seconds')}"
        who = by or "somebody"
        super().__init__(
            token_id,
            f"{who} has already answered token {token_id!r}{when}: only the first answer counts",
        )
        self.by = by
        self.at = at


class TokenExpired(TokenError):
    """The token was not answered in time, and cannot be answered any more."""

    def __init__(self, token_id: str) -> None:
        super().__init__(token_id, f"token {token_id!r} has expired: no answer came in time")


class TokenClosed(TokenError):
    """The run that asked has ended without the answer."""

    def __init__(self, token_id: str) -> None:
        super().__init__(
            token_id, f"token {token_id!r} is closed: the run that asked for it has ended"
        )


class DigestMismatch(TokenError):
    """The answer carries the digest of another question; `title` is what is asked now."""

    def __init__(self, token_id: str, title: str) -> None:
        super().__init__(
            token_id,
            f"token {token_id!r} has changed since you saw it: it now asks {title!r}. Review it "
            "and answer again",
        )
        self.title = title


class WrongApprover(TokenError):
    """The approval counts only when `approver` gives it; anybody may reject."""

    def __init__(self, token_id: str, title: str, approver: str, by: str) -> None:
        who = f"{by!r} cannot" if by else "an approval without a name cannot"
        super().__init__(
            token_id,
            f"{who} approve {title!r} (token {token_id!r}): only {approver!r} can. It stays open, "
            f"and anybody may reject it",
        )
        self.approver = approver


class UpdateError(OutlastError):
    """An update of a run gave no result; `run_id` and `update` name them."""

    def __init__(self, run_id: str, update: str, message: str) -> None:
        super().__init__(message)
        self.run_id = run_id
        self.update = update


class UpdateRejected(UpdateError):
    """The run's validator refused the update, or its argument does not fit; nothing was changed.

    `reason` is what the validator raised.
    """

    def __init__(self, run_id: str, update: str, reason: str) -> None:
        super().__init__(run_id, update, f"run {run_id!r} rejected update {update!r}: {reason}")
        self.reason = reason


class UpdateFailed(UpdateError):
    """The update was accepted, and its handler raised; the run itself goes on."""

    def __init__(
        self, run_id: str, update: str, type_name: str, message: str, traceback: str = ""
    ) -> None:
        text = f"update {update!r} of run {run_id!r} failed: {type_name}: {message}"
        super().__init__(run_id, update, text)
        self.type_name = type_name
        self.message = message
        self.traceback = traceback


class UpdateAborted(UpdateError):
    """The update was accepted, and the run ended before its handler did; `status` says how."""

    def __init__(self, run_id: str, update: str, status: str) -> None:
        super().__init__(
            run_id,
            update,
            f"update {update!r} was accepted and then aborted: run {run_id!r} ended ({status}) "
            f"before its handler did, which may have had effects",
        )
        self.status = status


class UpdateConflict(UpdateError):
    """An update's id was used before with another name or argument; nothing was sent."""

    def __init__(self, run_id: str, update: str, update_id: str, why: str = "") -> None:
        super().__init__(
            run_id,
            update,
            f"update {update!r} of run {run_id!r}: the id {update_id!r} was used for another "
            "update. Nothing was sent; choose another id" + (f" ({why})" if why else ""),
        )
        self.update_id = update_id


class ActorError(OutlastError):
    """What came of a message to an actor, other than an answer."""


class HandlerFailed(ActorError):
    """A handler raised; the actor's state is what it was before the message."""

    def __init__(self, actor: str, type_name: str, message: str, traceback: str = "") -> None:
        super().__init__(f"{actor} failed to handle the message: {type_name}: {message}")
        self.actor = actor
        self.type_name = type_name
        self.message = message
        self.traceback = traceback


class AskTimeout(ActorError, TimeoutError):
    """No answer came in time. The message may still be handled, unless its turn comes later.

    `is_final`: its turn did come later. It was given up unhandled, and asking again under the same
    dedup key gives this again.
    """

    is_final: bool = False


class ActorParked(ActorError):
    """The actor cannot handle messages until a person, or other code, lets it go on.

    The message is in its mailbox, and is handled then. Raised for an ask without a timeout by a
    program; a workflow goes on waiting.
    """

    def __init__(self, actor: str, why: str) -> None:
        super().__init__(
            f"{actor} is parked: {why}. The message stays in its mailbox and is handled when the "
            "actor resumes; use options(timeout=) to wait for that"
        )
        self.actor = actor
        self.why = why


class ActorBusy(ActorError):
    """The actor is in the midst of another message, and this one was not to wait: nothing was done.

    It was sent with `while_busy="reject"`, by `options()` or as its handler declares.
    """

    def __init__(self, actor: str) -> None:
        super().__init__(
            f"{actor} is in the midst of another message. Send it again later, or with "
            'options(while_busy="queue") to wait its turn'
        )
        self.actor = actor


class TurnInterrupted(ActorError):
    """A turn of an agent was ended by another message; what was said so far stays.

    It is what `HandlerFailed` names when a question to an agent was interrupted.
    """

    def __init__(self) -> None:
        super().__init__("another message has interrupted the turn; what was said so far stays")


class CallCycle(ActorError):
    """The actor or run that is asked waits, directly or not, for the one that asks."""

    def __init__(self, chain: tuple[str, ...], target: str) -> None:
        path = " -> ".join((*chain, target))
        why = (
            f"this ask would deadlock: {target} is itself waiting for this answer. Use tell(), "
            "or ask from elsewhere"
        )
        if chain == (target,):
            why = (
                "this ask would deadlock: the answer can come only after the code that asks for "
                "it has ended"
            )
        super().__init__(f"{path}: {why}")
        self.chain = chain
        self.target = target


class ActorStopped(ActorError):
    """The actor has stopped and takes no more messages."""


class UnknownActor(ActorError):
    """No class of actors goes by this name here, or it has no such handler."""
