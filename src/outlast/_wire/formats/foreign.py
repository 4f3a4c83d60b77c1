"""What a start asks for: a workflow of this engine, or one that only its sender has code for."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from outlast._codec import Bound, SignatureCodec
from outlast._handles.call import WorkflowCall
from outlast._registry import Registry, WorkflowDefinition
from outlast.errors import UnknownWorkflow


class Encoded(msgspec.Struct, frozen=True):
    """Arguments as the sender's code encodes them, and what is known of that code."""

    data: bytes
    digest: bytes
    version: str


def work_from_json(
    registry: Registry, name: str, arguments: Mapping[str, object]
) -> WorkflowCall[object]:
    """Return a call of a workflow that is known here.

    Raises:
        UnknownWorkflow, DecodingError, EncodingError
    """
    definition = registry.workflow_asked_for(name)
    signature = definition.signature
    bound = signature.from_json(dict(arguments))
    # Here, where a thread may do it: the engine would on the loop.
    encoded, digest = signature.encode(bound), signature.digest(bound)
    return WorkflowCall(
        definition, msgspec.structs.replace(bound, encoded=encoded, digest=digest), ""
    )


def work_from_encoded(
    registry: Registry, name: str, encoded: Encoded
) -> tuple[WorkflowCall[object], bool]:
    """Return a call, and whether its code is here.

    Raises:
        UnknownWorkflow: it is not, and the sender does not say what identifies the call.
        DecodingError: the code that is here does not take these arguments.
    """
    try:
        definition = registry.find_workflow(name)
    except UnknownWorkflow:
        if not encoded.digest:
            raise
        bound = Bound((), {}, encoded.data, encoded.digest)
        return WorkflowCall(_foreign(name, encoded.version), bound, ""), False
    args, kwargs = definition.signature.decode(encoded.data)
    return WorkflowCall(definition, Bound(args, kwargs), ""), True


async def _unknown() -> None:
    """Stand for code that is not here."""


def _foreign(name: str, version: str) -> WorkflowDefinition:
    """Return what stands for a workflow that only the sender has code for."""
    return WorkflowDefinition(
        name=name, fn=_unknown, signature=SignatureCodec(_unknown), known_version=version
    )
