"""`/openapi.json`: the routes and the workflows' own types, as OpenAPI 3.1.

Each workflow has a path of its own beside the general one, with the schemas of its input and of its
result.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence
from typing import Protocol

import msgspec

from outlast._codec.schemas import Schema, Schemas
from outlast._registry import Registry, WorkflowDefinition
from outlast._wire.formats.problems import TITLES
from outlast._wire.live.protocols import PROTOCOLS
from outlast._wire.security.callers import Role
from outlast.types import ActorInfo, DeadLetterInfo, RunInfo, TeamInfo

_PREFIX = "#/components/schemas/"
_PART = re.compile(r"\{(\w+)\}")
_PROBLEM: Schema = {
    "type": "object",
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "faults": {
            "type": "array",
            "description": "For a 422: each fault and its place in the request.",
            "items": {
                "type": "object",
                "properties": {"path": {"type": "string"}, "message": {"type": "string"}},
                "required": ["path", "message"],
            },
        },
    },
    "required": ["type", "title", "status", "detail"],
}
_INTEGERS = {
    "limit": (1, 1_000),
    "offset": (0, 1 << 50),
    "before": (1, 10_000_000),
    "points": (1, 200),
}
_ERRORS = (400, 401, 403, 404, 409, 422, 429, 503)


class Described(Protocol):
    """What is read of a route."""

    @property
    def method(self) -> str: ...
    @property
    def path(self) -> str: ...
    @property
    def role(self) -> Role | None: ...
    @property
    def body(self) -> type[msgspec.Struct] | None: ...
    @property
    def query(self) -> tuple[str, ...]: ...
    @property
    def statuses(self) -> tuple[int, ...]: ...
    @property
    def is_stream(self) -> bool: ...
    @property
    def summary(self) -> str: ...


def describe(routes: Sequence[Described], registry: Registry, version: str) -> Schema:
    """Return the description of a server."""
    made = Schemas(_PREFIX)
    paths: dict[str, dict[str, object]] = {}
    for name in sorted(registry.workflows):
        definition = registry.workflows[name]
        paths[f"/v1/workflows/{name}/runs"] = {"post": _start_of(definition, made)}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    bodies = [route.body for route in routes if route.body is not None]
    infos = (RunInfo, ActorInfo, TeamInfo, DeadLetterInfo)
    _, ours = msgspec.json.schema_components(
        [*bodies, *infos], schema_hook=_anything, ref_template=_PREFIX + "{name}"
    )
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "outlast",
            "version": version,
            "description": "Durable workflows and actors. Lists are paged with `after`; errors are "
            "application/problem+json.",
        },
        "paths": paths,
        "components": {
            "schemas": {**ours, **made.named, "Problem": _PROBLEM},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}],
    }


def _anything(_: type) -> Schema:
    """Stand for data without a declared type."""
    return {"description": "JSON data"}


def _operation(route: Described) -> Schema:
    operation: Schema = {
        "summary": route.summary,
        "operationId": _operation_id(route.method, route.path),
        "parameters": [
            *(_path_parameter(name) for name in _PART.findall(route.path)),
            *(_query_parameter(name) for name in route.query),
        ],
        "responses": _responses(route.statuses, is_stream=route.is_stream),
    }
    if route.is_stream:
        last_id: Schema = {"name": "Last-Event-ID", "in": "header", "schema": {"type": "string"}}
        operation["parameters"] = [*_as_list(operation["parameters"]), last_id]
    if route.body is not None:
        operation["requestBody"] = _body({"$ref": f"{_PREFIX}{route.body.__name__}"})
    elif route.method == "POST":
        operation["requestBody"] = _body({"type": "object"})
    if route.role is None:
        operation["security"] = []
    else:
        operation["description"] = f"Requires the role {route.role}."
    return operation


def _as_list(value: object) -> list[object]:
    return [*value] if isinstance(value, list) else []


def _start_of(definition: WorkflowDefinition, made: Schemas) -> Schema:
    arguments = definition.signature.schema(made)
    result = definition.signature.returns.node.schema(made)
    body: Schema = {
        "type": "object",
        "properties": {"input": arguments, "id": {"type": "string", "maxLength": 200}},
        "additionalProperties": True,
    }
    if arguments.get("required"):
        body["required"] = ["input"]
    return {
        "summary": f"Start a run of {definition.name}",
        "description": inspect.getdoc(definition.fn) or "",
        "operationId": _operation_id("post", f"/v1/workflows/{definition.name}/runs"),
        "requestBody": {**_body(body), "required": True},
        "responses": _responses((201, 200), is_stream=False),
        "x-result": result,
    }


def _operation_id(method: str, path: str) -> str:
    return "_".join([method.lower(), *re.findall(r"\w+", path)])


def _path_parameter(name: str) -> Schema:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}


def _query_parameter(name: str) -> Schema:
    bounds = _INTEGERS.get(name)
    schema: Schema = {"type": "string"}
    if bounds is not None:
        schema = {"type": "integer", "minimum": bounds[0], "maximum": bounds[1]}
    elif name == "mode":
        schema = {"enum": ["ask", "tell"]}
    elif name == "protocol":
        schema = {"enum": [*PROTOCOLS]}
    return {"name": name, "in": "query", "required": False, "schema": schema}


def _body(schema: Schema) -> Schema:
    return {"required": False, "content": {"application/json": {"schema": schema}}}


def _responses(statuses: Sequence[int], *, is_stream: bool) -> Schema:
    kind = "text/event-stream" if is_stream else "application/json"
    good: Schema = {"type": "string"} if is_stream else {}
    problem = {"application/problem+json": {"schema": {"$ref": f"{_PREFIX}Problem"}}}
    found: Schema = {
        f"{status}": {"description": "Done", "content": {kind: {"schema": good}}}
        for status in statuses
        if status != 204
    }
    if 204 in statuses:
        found["204"] = {"description": "The end was seen before"}
    for status in _ERRORS:
        found.setdefault(f"{status}", {"description": TITLES[status], "content": problem})
    found["default"] = {"description": "Another error", "content": problem}
    return found
