"""Steps of our own by which workflow code speaks to other runs.

Waiting for a stranger's end, or signalling it, happens outside the run; as a step, its answer is
recorded, and a repeated signal is recognised by the step's key.
"""

from __future__ import annotations

from outlast._codec import SignatureCodec
from outlast._engine.open_engine import EngineCore, ambient_core
from outlast._execution.context import current_step
from outlast._registry import RetryPlan, StepDefinition
from outlast._store.contract import Message, MessageKind
from outlast.errors import NotInRun
from outlast.types import RunId


def ambient() -> EngineCore:
    """Return the engine whose step is executing.

    Raises:
        NotInRun: none is.
    """
    core = ambient_core.get()
    if core is None:
        raise NotInRun("this handle belongs to no engine here: use engine.get(run_id)")
    return core


async def wait_for_run(run: str) -> tuple[str, str, bytes, str]:
    """Return the workflow, the status, the outcome and the reason of a run that has ended."""
    row = await ambient().closed(RunId(run))
    return row.workflow, row.status, row.output or b"", row.error or ""


async def send_to_run(run: str, kind: str, name: str, body: bytes, dedup: str) -> None:
    """Send a message, once: the step's key is the dedup key when the sender gave none."""
    core = ambient()
    message = Message(
        run=RunId(run),
        kind=_kind(kind),
        name=name,
        body=body,
        dedup=dedup or current_step().key,
        at=core.world.now(),
    )
    await core.send(message)


def _kind(kind: str) -> MessageKind:
    match kind:
        case "signal" | "cancel" | "terminate":
            return kind
        case _:
            raise ValueError(f"unknown message kind {kind!r}")


WAIT_STEP = StepDefinition(
    name="outlast.wait_for_run",
    fn=wait_for_run,
    signature=SignatureCodec(wait_for_run),
    is_async=True,
)
SEND_STEP = StepDefinition(
    name="outlast.send_to_run",
    fn=send_to_run,
    signature=SignatureCodec(send_to_run),
    is_async=True,
    retry=RetryPlan(attempts=1),
)
