"""The first part of a request's way: which route it means, and whether its caller may have it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import compile_path

from outlast._wire.formats.conversions import Conversions
from outlast._wire.formats.problems import Problem
from outlast._wire.requests import Call, check_head
from outlast._wire.routes import ROUTES, Route
from outlast._wire.security.callers import Caller, Callers

_NOBODY = Caller("", "viewer")


class Files(Protocol):
    """Files that are served beside the routes."""

    def find(self, path: str) -> Response | None:
        """Return the file at a path, None when there is none."""
        ...


class RoleMissing(Problem):
    """The caller is known, and its role does not suffice."""

    def __init__(self, route: Route, call: Call) -> None:
        caller = call.caller
        detail = (
            f"this needs the role {route.role}; the API token {caller.name!r} has the role "
            f"{caller.role}"
        )
        super().__init__(403, "role-missing", detail)
        self.route = route
        self.call = call


@dataclass(frozen=True, slots=True)
class Entered:
    """A request that may go on."""

    route: Route
    call: Call
    path: str  # with its query, as it came, without what the application is mounted under


class Entrance:
    """Where every request comes in; `files` are what a browser needs."""

    def __init__(
        self,
        callers: Callers,
        conversions: Conversions,
        files: Files | None = None,
        *,
        checks_roles: bool = True,
    ) -> None:
        self._callers = callers
        self._conversions = conversions
        self._checks_roles = checks_roles  # else whoever answers does, and writes down who asked
        self._files = files
        by_path: dict[str, dict[str, Route]] = {}
        for route in ROUTES:
            by_path.setdefault(route.path, {})[route.method] = route
        self._fixed = {path: methods for path, methods in by_path.items() if "{" not in path}
        self._patterns = [
            (compile_path(path)[0], methods) for path, methods in by_path.items() if "{" in path
        ]

    def enter(self, request: Request) -> Entered | Response:
        """Return which route a request may have; or a file.

        Raises:
            Problem: there is no such route, or it is not for this caller.
        """
        check_head(request)
        path = _path_of(request)
        if self._files is not None and request.method in ("GET", "HEAD"):
            file = self._files.find(path)
            if file is not None:
                return file
        methods, parts = self._match(path)
        route = methods.get("GET" if request.method == "HEAD" else request.method)
        query: bytes = request.scope["query_string"]
        whole = f"{path}?{query.decode('ascii', 'replace')}" if query else path
        if route is not None and route.role is None:
            return Entered(route, self._call(request, _NOBODY, parts), whole)
        address = request.client.host if request.client else ""
        caller = self._callers.caller(request.headers.get("authorization"), address)
        if not methods or (route is not None and route.is_local and not caller.is_local):
            raise Problem(404, "not-found", f"there is no route {path[:200]!r}")
        if route is None or route.role is None:
            allowed = ", ".join(sorted(methods))
            detail = f"{path[:200]!r} accepts only {allowed}"
            raise Problem(405, "method-not-allowed", detail, headers={"Allow": allowed})
        call = self._call(request, caller, parts)
        if self._checks_roles and not caller.may(route.role):
            raise RoleMissing(route, call)
        call.check_query(route.query)
        return Entered(route, call, whole)

    def _call(self, request: Request, caller: Caller, parts: Mapping[str, str]) -> Call:
        return Call(request, caller, self._callers, parts, self._conversions)

    def _match(self, path: str) -> tuple[Mapping[str, Route], Mapping[str, str]]:
        fixed = self._fixed.get(path)
        if fixed is not None:
            return fixed, {}
        for pattern, methods in self._patterns:
            found = pattern.match(path)
            if found is not None:
                return methods, found.groupdict()
        return {}, {}


def _path_of(request: Request) -> str:
    """Return the path as it came: a slash that belongs to an id is still %2F."""
    raw: bytes = request.scope["raw_path"]
    root: str = request.scope.get("root_path", "")
    return raw.decode("ascii", "replace").removeprefix(quote(root)) or "/"
