"""Errors as `application/problem+json` (RFC 9457), with a stable `type` for each class of ours.

Invariants:
  * what a client may see of an error of ours is its message and its facts; of any other error it
    sees nothing but that it happened;
  * every 422 says where: it has `faults`, each with a path and a message.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from starlette.responses import Response

from outlast import errors
from outlast._wire.formats.kinds import kind_of

_STATUSES: tuple[tuple[type[errors.OutlastError], int], ...] = (
    (errors.UnknownWorkflow, 404),
    (errors.UnknownTopic, 404),
    (errors.RunNotFound, 404),
    (errors.UnknownActor, 404),
    (errors.TokenNotFound, 404),
    (errors.TokenError, 409),
    (errors.PayloadTooLarge, 413),
    (errors.DecodingError, 422),
    (errors.EncodingError, 422),
    (errors.NotSupported, 501),
    (errors.UsageError, 422),
    (errors.RunExists, 409),
    (errors.IdempotencyMismatch, 409),
    (errors.RunClosed, 409),
    (errors.SignalConflict, 409),
    (errors.UpdateConflict, 409),
    (errors.UpdateAborted, 409),
    (errors.UpdateError, 422),
    (errors.ActorStopped, 409),
    (errors.ActorParked, 409),
    (errors.ActorBusy, 409),
    (errors.CallCycle, 409),
    (errors.HandlerFailed, 422),
    (errors.MailboxFull, 429),
    (errors.AskTimeout, 504),
    (errors.WaitTimeout, 504),
    (errors.StoreFull, 507),
    (errors.EngineClosed, 503),
    (errors.StoreReadOnly, 503),
    (errors.StoreError, 503),
)
_RETRY_AFTER_SECONDS = {429: 1, 503: 2, 507: 30}

TITLES: dict[int, str] = {
    400: "Malformed request",
    401: "Authentication required",
    403: "Forbidden",
    404: "Not found",
    405: "Method not allowed",
    408: "Request timeout",
    409: "Conflict",
    413: "Request body too large",
    414: "URL too long",
    415: "Unsupported media type",
    421: "Misdirected request: unknown host",
    422: "Invalid request",
    429: "Too many requests",
    431: "Request headers too large",
    500: "Internal server error",
    501: "Not implemented",
    503: "Service unavailable",
    504: "Timed out",
    507: "Insufficient storage",
}


# Where the status says too little.
_TITLES_OF: dict[str, str] = {
    "handler-failed": "Handler failed",
    "update-failed": "Handler failed",
    "update-rejected": "Update rejected",
}


class Problem(Exception):
    """A request that ends with an error; its status, type and words."""

    def __init__(
        self,
        status: int,
        kind: str,
        detail: str,
        *,
        facts: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.kind = kind
        self.detail = detail
        self.facts: dict[str, object] = dict(facts or {})
        if status == 422:
            self.facts.setdefault("faults", [fault_at("$", detail)])
        self.headers: dict[str, str] = dict(headers or {})
        seconds = _RETRY_AFTER_SECONDS.get(status)
        if seconds is not None:
            self.headers.setdefault("Retry-After", f"{seconds}")

    def response(self) -> Response:
        """Return what the client gets."""
        body = {
            "type": f"/problems/{self.kind}",
            "title": _TITLES_OF.get(self.kind) or TITLES.get(self.status, "Error"),
            "status": self.status,
            "detail": self.detail,
            **self.facts,
        }
        return Response(
            msgspec.json.encode(body),
            self.status,
            headers=self.headers,
            media_type="application/problem+json",
        )


def fault_at(path: str, message: str) -> dict[str, str]:
    """Return one of the `faults` of a problem: where in what was sent, and what is wrong there."""
    return {"path": path, "message": message}


def status_of(error: type[errors.OutlastError]) -> int:
    """Return the status that an error means; 500 for one that no client can cause."""
    return next((status for kind, status in _STATUSES if issubclass(error, kind)), 500)


def problem_of(error: errors.OutlastError, *, query_at: str = "$") -> Problem:
    """Return an error of ours as a problem; `query_at` is where a query of runs was sent."""
    # What the error knows, for programs; a client of ours makes the same error of it.
    known = {n: v for n, v in vars(error).items() if isinstance(v, str | int | float | None)}
    facts: dict[str, object] = {"facts": known}
    if isinstance(error, errors.DecodingError | errors.EncodingError):
        lines = error.faults or ((error.path, error.reason),)
        facts["faults"] = [fault_at(path, reason) for path, reason in lines]
    if isinstance(error, errors.QueryError):
        facts["faults"] = [fault_at(query_at, f"{error}")]
    if isinstance(error, errors.TokenAnswered):
        facts |= {"by": error.by, "at": error.at}
    if isinstance(error, errors.HandlerFailed | errors.UpdateFailed):
        facts["error"] = {"type": error.type_name, "message": error.message}
    return Problem(status_of(type(error)), kind_of(type(error)), f"{error}", facts=facts)


SERVER_FAILED = Problem(500, "internal-error", "internal error; the server's log has the cause")
