"""Every route of the server, in one table.

The application, the OpenAPI description and the tests of who may do what all go by it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from operator import is_
from typing import Literal, TypeAlias

import msgspec
from starlette.responses import Response

from outlast._wire.description import describe
from outlast._wire.formats.answers import answer
from outlast._wire.handlers import actors, approvals, audit, records, runs, sharing, status
from outlast._wire.requests import Call
from outlast._wire.security.callers import Role
from outlast._wire.service import Service

Handler: TypeAlias = Callable[[Service, Call], Awaitable[Response]]
Load: TypeAlias = Literal["work", "wait", "free"]


@dataclass(frozen=True, slots=True)
class Route:
    """One method of one path.

    `role` is None for what needs no token. `load` says whether it takes a place among the requests
    in work, among those that wait, or none. `query` names its query parameters, `statuses` what it
    may answer beside errors that every route has. One that `is_local` is there on the Unix socket
    alone, for processes that share the database.
    """

    method: Literal["GET", "POST"]
    path: str
    handler: Handler
    role: Role | None = "viewer"
    load: Load = "work"
    body: type[msgspec.Struct] | None = None
    query: tuple[str, ...] = ()
    statuses: tuple[int, ...] = (200,)
    is_stream: bool = False
    is_local: bool = False
    is_traffic: bool = False
    """Whether applications do it all the time: the audit keeps that for a shorter time."""

    @property
    def verb(self) -> str:
        """What the audit calls it."""
        return _VERBS.get(self.handler, self.handler.__name__)

    @property
    def summary(self) -> str:
        """What it does, in one line: the handler's own."""
        return (self.handler.__doc__ or "").partition("\n")[0].rstrip(".")


_VERBS: dict[Handler, str] = {approvals.answer_token: "answer", actors.write: "send"}
_TRAFFIC = (runs.start, runs.signal, runs.update, actors.write, actors.publish)


async def _openapi(service: Service, _: Call) -> Response:
    """Describe every route, and the workflows' types."""
    registry = service.core.registry
    now = tuple(registry.workflows.values())
    before, made = service.described
    # Made once for the same workflows: it takes milliseconds, and many may ask for it.
    if not made or len(before) != len(now) or not all(map(is_, before, now)):
        routes = [route for route in ROUTES if not route.is_local]
        made = bytes(answer(describe(routes, registry, service.version)).body)
        service.described = now, made
    return Response(made, media_type="application/json")


def _get(path: str, handler: Handler, *query: str) -> Route:
    return Route("GET", path, handler, query=query)


def _post(
    path: str,
    handler: Handler,
    body: type[msgspec.Struct] | None = None,
    *query: str,
    statuses: tuple[int, ...] = (202,),
) -> Route:
    return Route(
        "POST",
        path,
        handler,
        "operator",
        body=body,
        query=query,
        statuses=statuses,
        is_traffic=handler in _TRAFFIC,
    )


_RUN = "/v1/runs/{id}"
_ACTOR = "/v1/actors/{type}/{key}"

ROUTES: tuple[Route, ...] = (
    Route("GET", "/healthz", status.healthz, role=None, load="free"),
    Route("GET", "/readyz", status.readyz, load="free", statuses=(200, 503)),
    Route("GET", "/metrics", status.metrics, load="free"),
    Route("GET", "/openapi.json", _openapi),
    Route("GET", "/v1/session", status.session, load="free"),
    Route("POST", "/v1/session", status.sign_in, role=None, load="free", body=status.SignInBody),
    _get("/v1/overview", status.overview),
    _get("/v1/providers", status.providers),
    _get("/v1/history", status.history),
    _get("/v1/logs", status.logs, "run", "after", "tail", "since", "until", "limit"),
    Route("GET", "/v1/events", status.events, load="free", query=("kinds",), is_stream=True),
    _get("/v1/workflows", status.workflows),
    _post("/v1/workflows/{name}/runs", runs.start, runs.StartBody, statuses=(201, 200)),
    _get("/v1/signals", status.signals),
    _get("/v1/runs", runs.runs, "query", "after", "limit"),
    _get(_RUN, runs.show),
    Route(
        "GET",
        _RUN + "/result",
        runs.result,
        load="wait",
        query=("timeout", "parked"),
        statuses=(200, 202),
    ),
    _get(_RUN + "/journal", records.journal, "after", "before", "limit"),
    _get(_RUN + "/journal/{seq}", records.record),
    _get(_RUN + "/why", runs.why),
    _get(_RUN + "/values/{name}", records.value),
    Route(
        "GET",
        _RUN + "/streams/{name}",
        runs.stream,
        load="free",
        query=("offset", "protocol"),
        statuses=(200, 204),
        is_stream=True,
    ),
    _post(_RUN + "/signals/{name}", runs.signal, runs.SignalBody),
    Route(
        "POST",
        _RUN + "/updates/{name}",
        runs.update,
        "operator",
        is_traffic=True,
        load="wait",
        body=runs.UpdateBody,
        query=("timeout",),
        statuses=(200, 202),
    ),
    _post(_RUN + "/cancel", runs.cancel, runs.CancelBody),
    _post(_RUN + "/terminate", runs.terminate, runs.TerminateBody),
    _post(_RUN + "/pause", runs.pause, runs.ReasonBody),
    _post(_RUN + "/resume", runs.resume, runs.ReasonBody),
    _post(_RUN + "/discard", runs.discard, runs.ReasonBody),
    _post(_RUN + "/retry", runs.retry, runs.RetryBody, statuses=(202, 200)),
    _post(_RUN + "/fork", runs.fork, runs.ForkBody, statuses=(201, 200)),
    _get("/v1/count", runs.count, "query"),
    _get("/v1/statistics", runs.statistics, "query", "points"),
    _post("/v1/bulk", runs.bulk, runs.BulkBody, statuses=(200,)),
    _get("/v1/diff", records.diff, "a", "b"),
    _get("/v1/approvals", approvals.approvals, "all", "after", "limit"),
    _get("/v1/tokens/{id}", approvals.token),
    _post("/v1/tokens/{id}", approvals.answer_token, approvals.AnswerBody, statuses=(200,)),
    _get("/v1/actors", actors.actors, "query", "type", "after", "limit"),
    _get(_ACTOR, actors.show),
    _post(_ACTOR + "/stop", actors.stop, runs.Nothing),
    Route(
        "POST",
        _ACTOR + "/{handler}",
        actors.write,
        "operator",
        is_traffic=True,
        load="wait",
        query=("mode", "timeout", "dedup", "while_busy"),
        statuses=(200, 202),
    ),
    _post("/v1/topics/{name}", actors.publish, actors.PublishBody),
    _get("/v1/teams", actors.teams),
    _get("/v1/dead-letters", actors.dead_letters, "actor", "after", "limit"),
    _post("/v1/dead-letters/{number}/redrive", actors.redrive, runs.ReasonBody),
    _post("/v1/dead-letters/{number}/discard", actors.discard, runs.ReasonBody),
    _get("/v1/audit", audit.audit, "run", "caller", "after", "limit"),
    Route("POST", "/v1/share/commit", sharing.commit, "admin", load="free", is_local=True),
    Route("POST", "/v1/share/outcome", sharing.outcome, "admin", load="free", is_local=True),
    Route(
        "GET",
        "/v1/share/changes",
        sharing.changes,
        "admin",
        load="free",
        is_stream=True,
        is_local=True,
    ),
)
