"""Handlers of tokens: what runs ask people, and the answers."""

from __future__ import annotations

import msgspec
from starlette.responses import Response

from outlast import limits
from outlast._engine.verbs.tokens import AnswerRequest, token_info
from outlast._store.auditing import because, doing
from outlast._wire.formats.answers import answer, fields_of, fitting
from outlast._wire.formats.problems import Problem
from outlast._wire.requests import Call, bad_query
from outlast._wire.service import Service
from outlast.errors import OutlastError
from outlast.types import TokenInfo

_APPROVAL = {"type": "boolean"}


class AnswerBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an answer takes; `digest` binds it to the question as it was shown.

    `by` is for callers on the socket beside the database; on TCP the token's name is taken.
    """

    value: object = None
    by: str = ""
    digest: str = ""
    reason: str = ""
    verdict: bool = False  # given as an approval or a rejection: nothing else takes it


async def approvals(service: Service, call: Call) -> Response:
    """List tokens and approvals, oldest first."""
    size = call.page_size()
    open_only = call.choice("all", "0", "1", "true", "false") in ("0", "false")
    reader = service.core.tokens.reader
    rows, is_end = await reader.page(_cursor(call), size, open_only=open_only)
    count, total = fitting(len(row.detail) + len(row.value or b"") for row in rows)
    shown = rows[:count]
    is_end = is_end and count == len(rows)
    following = None if is_end else f"{shown[-1].created_at}.{shown[-1].id}"

    def told() -> Response:
        infos = [_told(token_info(row), None) for row in shown]
        return answer({"approvals": infos, "next": following})

    return await call.converted(total, told)


def _cursor(call: Call) -> tuple[int, str] | None:
    text = call.text("after")
    at, _, token = text.partition(".")
    if not text:
        return None
    if not at.isascii() or not at.isdigit() or len(at) > 18:
        raise bad_query("after", "the `next` of a page", text)
    return int(at), token


async def token(service: Service, call: Call) -> Response:
    """Return one token."""
    info = await service.core.tokens.reader.info(call.name("id"))
    return answer(await _in_full(service, info))


async def answer_token(service: Service, call: Call) -> Response:
    """Answer a token or approval; only the first answer counts."""
    body = await call.read(AnswerBody)
    asked = call.name("id")
    because(body.reason)
    is_verdict = body.verdict or (await service.core.tokens.reader.info(asked)).kind == "approval"
    if is_verdict and isinstance(body.value, bool):
        doing("approve" if body.value else "reject", asked)
    if body.by and not call.caller.is_local:
        detail = (
            f"an answer is recorded under the API token's name, {call.caller.name!r}: leave out "
            "`by`"
        )
        raise Problem(403, "by-not-allowed", detail)
    request = AnswerRequest(
        token=asked,
        value=body.value,
        by=body.by or call.caller.name,
        reason=body.reason,
        digest=body.digest,
        is_verdict=body.verdict,
        is_large=len(call.body) > limits.HTTP_INLINE_BYTES,
    )
    await service.core.tokens.answer(request)
    return answer(await _in_full(service, await service.core.tokens.reader.info(asked)))


async def _in_full(service: Service, info: TokenInfo) -> dict[str, object]:
    if info.status != "open":
        return _told(info, None)
    try:
        return _told(info, await service.core.tokens.schema(info.id))
    except OutlastError:
        return _told(info, None)  # no code for it here: the value is given as JSON


def _told(info: TokenInfo, schema: object) -> dict[str, object]:
    return {**fields_of(info), "schema": _APPROVAL if info.kind == "approval" else schema}
