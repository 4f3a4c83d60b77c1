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
from collections.abc import Mapping
from dataclasses import replace
from typing import Protocol

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import compile_path
from starlette.types import Receive, Scope, Send

from outlast._store.asking import asked_by
from outlast._wire.callers import Caller, Callers
from outlast._wire.hangups import ClientGone, while_connected
from outlast._wire.problems import SERVER_FAILED, Problem, problem_of
from outlast._wire.requests import Call, check_head
from outlast._wire.routes import ROUTES, Route
from outlast._wire.service import Service
from outlast.errors import OutlastError

log = logging.getLogger("outlast.server")

_NOBODY = Caller("", "viewer")


class Files(Protocol):
    """Files that are served beside the routes."""

    def find(self, path: str) -> Response | None:
        """Return the file at a path, None when there is none."""
        ...


class Application:
    """Answers requests of callers; `files` are what a browser needs."""

    def __init__(self, service: Service, callers: Callers, files: Files | None = None) -> None:
        self._service = service
        self._callers = callers
        self._files = files
        by_path: dict[str, dict[str, Route]] = {}
        for route in ROUTES:
            by_path.setdefault(route.path, {})[route.method] = route
        self._fixed = {path: methods for path, methods in by_path.items() if "{" not in path}
        self._patterns = [
            (compile_path(path)[0], methods) for path, methods in by_path.items() if "{" in path
        ]

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
                log.error("a request failed: %s", error, exc_info=error)
            response = problem.response()
        except Exception:
            # One request must not end the server; the log gets the reason, the client does not.
            log.exception("a request failed: %s %s", request.method, request.url.path)
            response = SERVER_FAILED.response()
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        check_head(request)
        # As it came: a slash that belongs to an id is still %2F when routes are compared.
        raw: bytes = request.scope["raw_path"]
        path = raw.decode("ascii", "replace")
        if self._files is not None and request.method in ("GET", "HEAD"):
            file = self._files.find(path)
            if file is not None:
                return file
        methods, parts = self._match(path)
        route = methods.get("GET" if request.method == "HEAD" else request.method)
        if route is not None and route.role is None:
            return await route.handler(
                self._service,
                Call(request, _NOBODY, self._callers, parts, self._service.conversions),
            )
        address = request.client.host if request.client else ""
        caller = self._callers.caller(request.headers.get("authorization"), address)
        if not methods:
            raise Problem(404, "not-found", f"there is nothing at {path[:200]!r}")
        if route is None or route.role is None:
            allowed = ", ".join(sorted(methods))
            detail = f"{path[:200]!r} takes {allowed}"
            raise Problem(405, "method-not-allowed", detail, headers={"Allow": allowed})
        if not caller.may(route.role):
            detail = f"this takes the role {route.role}; the token {caller.name!r} is {caller.role}"
            raise Problem(403, "role-missing", detail)
        call = self._call(request, caller, parts)
        call.check_query(route.query)
        with asked_by(*call.holders):
            if route.method == "GET":
                return await self._admitted(route, call)
            async with self._service.bodies.read(request, call.holders) as body:
                return await self._admitted(route, replace(call, body=body))

    def _call(self, request: Request, caller: Caller, parts: Mapping[str, str]) -> Call:
        return Call(request, caller, self._callers, parts, self._service.conversions)

    async def _admitted(self, route: Route, call: Call) -> Response:
        service = self._service
        if route.load == "free":
            return await self._handled(route, call)
        places = service.waits if route.load == "wait" else service.admission
        async with places.place(call.holders):
            return await self._handled(route, call)

    async def _handled(self, route: Route, call: Call) -> Response:
        if route.method == "POST" and route.load != "wait":
            # Its verb is not left half done; what it does is bounded by itself.
            return await route.handler(self._service, call)
        async with while_connected(call.request.receive, self._service.core.world):
            return await route.handler(self._service, call)

    def _match(self, path: str) -> tuple[Mapping[str, Route], Mapping[str, str]]:
        fixed = self._fixed.get(path)
        if fixed is not None:
            return fixed, {}
        for pattern, methods in self._patterns:
            found = pattern.match(path)
            if found is not None:
                return methods, found.groupdict()
        return {}, {}
