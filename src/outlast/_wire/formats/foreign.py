"""What a start asks for: a workflow of this engine, or one that only its sender has code for."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from typing_extensions import override

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
        return WorkflowCall(_foreign(name, encoded), Bound((), {}), ""), False
    args, kwargs = definition.signature.decode(encoded.data)
    return WorkflowCall(definition, Bound(args, kwargs), ""), True


class _SentSignature(SignatureCodec):
    """The arguments of a workflow that only the sender has code for, encoded by it."""

    def __init__(self, encoded: Encoded) -> None:
        super().__init__(_unknown)
        self._encoded = encoded

    @override
    def encode(self, bound: Bound) -> bytes:
        return self._encoded.data

    @override
    def digest(self, bound: Bound) -> bytes:
        return self._encoded.digest


async def _unknown() -> None:
    """Stand for code that is not here."""


def _foreign(name: str, encoded: Encoded) -> WorkflowDefinition:
    return WorkflowDefinition(
        name=name,
        fn=_unknown,
        signature=_SentSignature(encoded),
        known_version=encoded.version,
    )
