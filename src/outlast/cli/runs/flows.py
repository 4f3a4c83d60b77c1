"""What `outlast run` starts: a workflow whose code is here, or one that a server has.

Invariant: the same flow with the same input has the same id each time, when it is started here, or
each time at a server; the two ids differ, since only the code knows which inputs are equal.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from outlast._codec import Bound
from outlast._engine.open_engine import CoreOptions
from outlast._engine.opening import Target
from outlast._handles.call import WorkflowCall
from outlast._registry import WorkflowDefinition, cached_version_of
from outlast._shapes import is_dict
from outlast.cli.inputs import arguments_of, input_by_schema, json_of
from outlast.cli.loading import find_workflow, options_of, parts_of
from outlast.cli.places import Server
from outlast.cli.transport import client_of
from outlast.client import Client
from outlast.client.asking import quoted
from outlast.errors import DecodingError, UnknownWorkflow, UsageError

_DIGEST_BYTES = 16


class Started(msgspec.Struct):
    """Which run a start gave; `has_code` says whether what has started it can execute it."""

    id: str
    created: bool
    has_code: bool


@dataclass(frozen=True, slots=True)
class Here:
    """A workflow with its code, and a database to run it on."""

    target: Target
    options: CoreOptions
    definition: WorkflowDefinition
    bound: Bound

    @property
    def name(self) -> str:
        """The workflow's."""
        return self.definition.name

    def default_id(self) -> str:
        """Return the default id of the run."""
        return f"{self.name}-{self.definition.signature.digest_given(self.bound).hex()}"

    def call(self) -> WorkflowCall[object]:
        """Return a call to give to an engine; each can be used once."""
        call: WorkflowCall[object] = WorkflowCall(self.definition, self.bound, "")
        return call

    async def start_at(self, owner: Client, run_id: str) -> Started:
        """Start it with the engine that owns the store, whether that has its code or not."""
        signature = self.definition.signature
        body = {
            "id": run_id,
            "encoded": signature.encode(self.bound),
            "digest": signature.digest(self.bound),
            "version": cached_version_of(self.definition),
            "timeout": self.definition.timeout_seconds,
        }
        path = f"/v1/workflows/{quoted(self.definition.name)}/runs"
        return msgspec.convert(await owner.ask("POST", path, body), Started)

    def json_of(self, value: object) -> object:
        """Return a result as JSON data."""
        return self.definition.signature.returns.to_json(value)


@dataclass(frozen=True, slots=True)
class There:
    """A workflow that a server has, and its input as JSON data."""

    server: Server
    name: str
    input: Mapping[str, object]

    def default_id(self) -> str:
        """Return the default id of the run."""
        data = msgspec.json.encode(self.input, order="sorted")
        return f"{self.name}-{hashlib.blake2b(data, digest_size=_DIGEST_BYTES).hexdigest()}"

    def json_of(self, value: object) -> object:
        """Return a result as JSON data: the server has made it that."""
        return value


Flow = Here | There


class _Workflow(msgspec.Struct):
    name: str
    input: dict[str, object]


class _Workflows(msgspec.Struct):
    workflows: list[_Workflow]


def flow_here(target: Target, app: str, pairs: Sequence[str], given: str | None) -> Here:
    """Return what `APP:FLOW` names, with its arguments.

    Raises:
        UsageError, UnknownWorkflow: see `find_workflow` and `arguments_of`.
    """
    definition = find_workflow(app)
    options = options_of(parts_of(app)[0])
    return Here(target, options, definition, arguments_of(definition, pairs, given))


async def flow_there(server: Server, app: str, pairs: Sequence[str], given: str | None) -> There:
    """Return the same of a server, which publishes what its workflows take; no code is loaded.

    Raises:
        UnknownWorkflow: the server has none of this name; UsageError: the input is no object.
    """
    async with client_of(server) as client:
        found = msgspec.convert(await client.ask("GET", "/v1/workflows"), _Workflows)
    known = _named(app, {workflow.name: workflow for workflow in found.workflows})
    if given is None:
        return There(server, known.name, input_by_schema(known.input, pairs))
    if pairs:
        raise UsageError("give the input as key=value or as --input, not both")
    data = json_of(given, "--input")
    if not is_dict(data):
        raise UsageError("--input must be a JSON object with the workflow's arguments by name")
    return There(server, known.name, {f"{name}": item for name, item in data.items()})


def _named(app_and_flow: str, known: Mapping[str, _Workflow]) -> _Workflow:
    """Return the workflow of a full name, of `APP:FLOW`, or of a last part where it is unique."""
    app, _, flow = app_and_flow.rpartition(":")
    module = app.rpartition("/")[2].removesuffix(".py") if "/" in app or ".py" in app else app
    for name in (flow, f"{module}.{flow}"):
        if name in known:
            return known[name]
    ending = [name for name in known if name.endswith(f".{flow}")]
    if len(ending) == 1:
        return known[ending[0]]
    problem = "several workflows are known" if ending else "no workflow is known"
    names = ", ".join(sorted(ending or known)) or "none"
    raise UnknownWorkflow(f"{problem} as {flow!r} on the server; its workflows: {names}")


def unfit(flow: There, error: DecodingError) -> UsageError:
    """Return what is said of input that the server refuses."""
    return UsageError(f"the input does not fit {flow.name}\n  {error}")
