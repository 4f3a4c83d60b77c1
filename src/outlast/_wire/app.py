"""The way of a request, from the outside in. On TCP a guard comes before it (`_server.guard`).

match        which route; static files of the dashboard
caller       whose token, and whether its role suffices
body         read whole, if the method has one
admission    a place among the requests in work
handler      one engine call
problem      whatever went wrong, as a client may see it
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from outlast import limits
from outlast._store.asking import asked_by
from outlast._wire.entrance import Entrance, Files, RoleMissing
from outlast._wire.formats.problems import SERVER_FAILED, Problem, problem_of
from outlast._wire.handlers.audit import Auditor
from outlast._wire.requests import Call
from outlast._wire.routes import Route
from outlast._wire.security.callers import Callers
from outlast._wire.security.hangups import ClientGone, while_connected
from outlast._wire.service import Service
from outlast.errors import OutlastError

log = logging.getLogger("outlast.server")


class Application:
    """Answers requests of callers; `files` are what a browser needs."""

    def __init__(self, service: Service, callers: Callers, files: Files | None = None) -> None:
        self._service = service
        self._entrance = Entrance(callers, service.conversions, files)
        self._auditor = Auditor(service.core)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request = Request(scope, receive)
        try:
            response = await self._answer(request)
        except Problem as refusal:
            response = refusal.response()
        except ClientGone:
            return
        except OutlastError as error:
            problem = problem_of(error, query_at="?query" if request.query_params else "$.query")
            if problem.status == 500:
                log.error("request failed: %s", error, exc_info=error)
            response = problem.response()
        except Exception:
            # One request must not end the server; the log gets the reason, the client does not.
            log.exception("request failed: %s %s", request.method, request.url.path)
            response = SERVER_FAILED.response()
        try:
            await self._service.answers.send(response, scope, receive, send)
        except ClientGone:
            return

    async def _answer(self, request: Request) -> Response:
        try:
            entered = self._entrance.enter(request)
        except RoleMissing as refusal:
            if refusal.route.method == "POST":
                await self._auditor.refused(refusal.route.verb, refusal.call, refusal)
            raise
        if isinstance(entered, Response):
            return entered
        route, call = entered.route, entered.call
        holders: Sequence[str] = call.holders
        most = limits.HTTP_BODY_BYTES_MAX
        if route.role is None:
            most = limits.HTTP_STRANGER_BYTES_MAX
        elif route.is_local:
            holders, most = (), limits.SHARED_COMMIT_BYTES_MAX
        with asked_by(*call.holders):
            if route.method == "GET":
                return await self._admitted(route, call)
            async with self._service.bodies.read(request, holders, most) as body:
                whole = replace(call, body=body)
                if route.role is None or route.is_local:
                    return await self._admitted(route, whole)
                handle = partial(self._admitted, route, whole)
                is_traffic = route.is_traffic
                return await self._auditor.watched(route.verb, call, handle, is_traffic=is_traffic)

    async def _admitted(self, route: Route, call: Call) -> Response:
        service = self._service
        if route.load == "free":
            return await self._handled(route, call)
        places = service.wait_graph if route.load == "wait" else service.admission
        async with places.place(call.holders):
            return await self._handled(route, call)

    async def _handled(self, route: Route, call: Call) -> Response:
        if route.method == "POST" and route.load != "wait":
            # Its verb is not left half done; what it does is bounded by itself.
            return await route.handler(self._service, call)
        async with while_connected(call.request.receive, self._service.core.world):
            return await route.handler(self._service, call)
