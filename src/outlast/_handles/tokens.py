"""`Token`: a question of a run to the outside, and the verbs of `wf` that ask.

decision = await wf.token(Decision, timeout="3d").wait()
if (await wf.approve("Refund 40 EUR?", detail={"order": "7"})).approved: ...
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Generic, TypeVar

from typing_extensions import override

from outlast import limits
from outlast._codec import adapter_for, register_reference
from outlast._execution.run_context import TokenOperation, current_context
from outlast._wording.durations import seconds_of
from outlast._wording.names import check_text
from outlast.errors import (
    DecodingError,
    EncodingError,
    PayloadTooLarge,
    UsageError,
    WaitTimeout,
)
from outlast.types import Approval, Duration

T = TypeVar("T")

_JSON_LIKE = adapter_for(object)
_VERDICT = adapter_for(bool)


class Token(Generic[T]):
    """A question that somebody outside answers, once; steps and messages may carry it there."""

    __slots__ = ("_id",)

    def __init__(self, token_id: str) -> None:
        self._id = token_id

    @property
    def id(self) -> str:
        """What the answer is given under: `engine.answer(id, value)`. It cannot be guessed."""
        return self._id

    @property
    def url(self) -> str:
        """The path under which the server takes the answer."""
        return f"/v1/tokens/{self._id}"

    async def wait(self) -> T:
        """Return the answer, in the code of the run that asked.

        Raises:
            WaitTimeout: no answer came in time; the token has expired.
        """
        run = current_context()
        operation = run.tokens.find(self._id)
        if operation is None:
            raise UsageError(
                f"only the run that asked for token {self._id!r} can wait for it, and run "
                f"{run.id!r} did not"
            )
        answer = await run.tokens.wait(operation)
        if answer.value is None:
            raise WaitTimeout(f"token {self._id!r} ({operation.title}) was not answered in time")
        return operation.value  # type: ignore[return-value]  # decoded by the token's declared type

    @override
    def __repr__(self) -> str:
        return f"Token({self._id!r})"

    @override
    def __eq__(self, other: object) -> bool:
        return isinstance(other, Token) and other._id == self._id

    @override
    def __hash__(self) -> int:
        return hash(self._id)


class AskingVerbs:
    """What workflow code asks of people and other programs."""

    def token(
        self,
        kind: type[T] | Callable[..., T],
        *,
        timeout: Duration | None = None,
        key: str | None = None,
        title: str | None = None,
        detail: object = None,
    ) -> Token[T]:
        """Ask for a value of a type from outside; `await token.wait()` gives it.

        An answer is checked against the type before anything is stored, and the first one counts.
        `title` and `detail`, JSON-like data, are what people see of it in the inbox; without a
        title that is the type. `key` stands for the token in place of where the code asks: unique
        in the run, or in the message of an actor.

        Raises:
            UsageError: the run has used the key before, or the title is too long.
        """
        adapter = adapter_for(kind)
        operation = current_context().tokens.open(
            "token",
            title=adapter.node.name if title is None else _checked_title(title),
            detail=_detail_of(detail),
            adapter=adapter,
            timeout=_seconds(timeout),
            key=key,
        )
        return Token(operation.id)

    async def approve(
        self,
        title: str,
        *,
        detail: object = None,
        timeout: Duration | None = None,
        key: str | None = None,
        by: str | None = None,
    ) -> Approval:
        """Ask people whether something may be done; it shows in the inbox until one of them says.

        `detail` is JSON-like data that says what exactly is asked. Without an answer within
        `timeout`, it is not approved, by None. `key` is as for `token`. `by` is the only name under
        which it can be approved (others get `WrongApprover`); anybody can reject it.
        """
        asked = open_approval(title, detail=detail, timeout=timeout, key=key, by=by)
        return await asked.decided()


class AskedApproval:
    """An approval that the code of a run has asked for."""

    __slots__ = ("_operation",)

    def __init__(self, operation: TokenOperation) -> None:
        self._operation = operation

    @property
    def id(self) -> str:
        """What the answer is given under."""
        return self._operation.id

    async def decided(self) -> Approval:
        """Return what people have said; not approved by None when it has expired."""
        answer = await current_context().tokens.wait(self._operation)
        if answer.value is None:
            return Approval(approved=False)
        return Approval(self._operation.value is True, answer.by, answer.reason)


def open_approval(
    title: str,
    *,
    detail: object = None,
    timeout: Duration | None = None,
    key: str | None = None,
    by: str | None = None,
) -> AskedApproval:
    """Ask people as `wf.approve` does, without waiting for them yet."""
    operation = current_context().tokens.open(
        "approval",
        title=_checked_title(title),
        detail=_detail_of(detail),
        adapter=_VERDICT,
        timeout=_seconds(timeout),
        key=key,
        approver=check_text("the name of who approves", by or ""),
    )
    return AskedApproval(operation)


def _checked_title(title: str) -> str:
    if not title or not isinstance(title, str) or len(title) > limits.TOKEN_TITLE_CHARS_MAX:
        raise UsageError(f"a title has 1 to {limits.TOKEN_TITLE_CHARS_MAX} characters")
    return check_text("a title", title)


def _seconds(timeout: Duration | None) -> float | None:
    return None if timeout is None else max(0.0, seconds_of(timeout))


def _detail_of(detail: object) -> str:
    """Return the detail as JSON, in the form that its digest is taken of."""
    if detail is None:
        return "null"
    try:
        data = _JSON_LIKE.to_json(_JSON_LIKE.decode(_JSON_LIKE.encode(detail)))
        text = json.dumps(data, sort_keys=True, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise EncodingError("$", f"the detail of an approval is JSON-like data: {error}") from None
    if len(text.encode()) > limits.TOKEN_DETAIL_BYTES_MAX:
        raise PayloadTooLarge("the detail", len(text.encode()), limits.TOKEN_DETAIL_BYTES_MAX)
    return text


def _to_data(value: object) -> object:
    if not isinstance(value, Token):
        raise EncodingError("$", f"expected a Token, got {type(value).__name__}")
    return value.id


def _from_data(data: object) -> object:
    if not isinstance(data, str):
        raise DecodingError("$", "expected the id of a token")
    handle: Token[object] = Token(data)
    return handle


register_reference(Token, _to_data, _from_data)
