"""Steps of our own by which workflow code speaks to other runs.

Waiting for a stranger's end, or signalling it, happens outside the run; as a step, its answer is
recorded, and a repeated signal is recognised by the step's key.
"""

from __future__ import annotations

from asyncio import Future
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TypeVar

from outlast import limits
from outlast._codec import SignatureCodec
from outlast._engine.open_engine import EngineCore, ambient_core
from outlast._engine.scheduling.signal_names import check_signal_name
from outlast._execution.bodies.context import current_step
from outlast._messages.envelopes import Envelope, read_envelope
from outlast._messages.letters import callers_in
from outlast._messages.updates import update_message
from outlast._registry import RetryPlan, StepDefinition
from outlast._store.rows import Message, MessageKind
from outlast.errors import EngineClosed, NotInRun, RunNotFound, StoreFull, StoreUnavailable
from outlast.types import RunId

T = TypeVar("T")

_COMMIT_SECONDS = 1.0

ANY_SIGNAL = "any signal"
"""The kind of message by which workflow code sends a signal under a name that nothing declares."""


def ambient() -> EngineCore:
    """Return the engine whose step is executing.

    Raises:
        NotInRun: none is.
    """
    core = ambient_core.get()
    if core is None:
        raise NotInRun("this handle is not attached to an engine: use engine.get(run_id)")
    return core


async def wait_for_run(run: str) -> tuple[str, str, bytes, str]:
    """Return the workflow, the status, the outcome and the reason of a run that has ended."""
    core = ambient()
    with core.wait_graph.during(RunId(current_step().run_id), RunId(run)):
        row = await core.closed(RunId(run))
    return row.workflow, row.status, row.output or b"", row.error or ""


async def send_to_run(run: str, kind: str, name: str, body: bytes, dedup: str) -> None:
    """Send a message, once: the step's key is the dedup key when the sender gave none."""
    core = ambient()
    if kind == "signal":
        await check_signal_name(core.scheduler, RunId(run), name)
    message = Message(
        run=RunId(run),
        kind=_kind(kind),
        name=name,
        body=body,
        dedup=dedup or current_step().key,
        at=core.world.now(),
    )
    try:
        await until_taken(core, lambda: core.send(message))
    except RunNotFound:
        # A child that the sender has just started exists when their commit is durable.
        await core.writer.flushed(_COMMIT_SECONDS)
        await until_taken(core, lambda: core.send(message))


async def until_taken(core: EngineCore, send: Callable[[], Awaitable[T]]) -> T:
    """Send, however long the store has trouble: that is no failure of the run.

    An engine that closes, or has lost the run, gives no answer at all; the next one asks again.
    """
    tries = 0
    while True:
        try:
            return await send()
        except (StoreFull, StoreUnavailable):
            pauses = limits.STORE_RETRY_SECONDS
            await core.world.sleep(pauses[min(tries, len(pauses) - 1)])
            tries += 1
        except EngineClosed:
            never: Future[T] = core.world.loop.create_future()
            return await never


def _kind(kind: str) -> MessageKind:
    match kind:
        case _ if kind == ANY_SIGNAL:
            return "signal"
        case "signal" | "cancel" | "terminate":
            return kind
        case _:
            raise ValueError(f"unknown message kind {kind!r}")


WAIT_STEP = StepDefinition(
    name="outlast.wait_for_run",
    fn=wait_for_run,
    signature=SignatureCodec(wait_for_run),
    is_async=True,
    is_wait=True,
)
SEND_STEP = StepDefinition(
    name="outlast.send_to_run",
    fn=send_to_run,
    signature=SignatureCodec(send_to_run),
    is_async=True,
    retry=RetryPlan(attempts=1),
)


async def update_run(run: str, name: str, payload: bytes, update_id: str) -> tuple[str, bytes]:
    """Have an update of another run done, once; return at which stage it ended, and how."""
    core = ambient()
    chosen = update_id or current_step().key
    message = update_message(RunId(run), name, payload, chosen, at=core.world.now())
    with core.wait_graph.during(RunId(current_step().run_id), RunId(run), update=name):
        kept = await until_taken(core, lambda: core.update(message))
    return kept.stage, kept.outcome


UPDATE_STEP = StepDefinition(
    name="outlast.update_run",
    fn=update_run,
    signature=SignatureCodec(update_run),
    is_async=True,
    is_wait=True,
)


async def ask_actor(letter: bytes) -> bytes:
    """Ask an actor, once, however often this step is tried."""
    core = ambient()
    envelope = _of_step(core, letter)
    waiter = RunId(current_step().run_id)
    # Who waits for this very message may be let in, or is refused, by the chain of callers.
    is_bounded = envelope.timeout is not None or envelope.handler.is_read
    if is_bounded or envelope.actor in callers_in(envelope.chain):
        return await until_taken(core, lambda: core.actors.ask(envelope, parked="wait"))
    with core.wait_graph.during(waiter, envelope.actor):
        return await until_taken(core, lambda: core.actors.ask(envelope, parked="wait"))


async def tell_actor(letter: bytes) -> None:
    """Write to an actor, once."""
    core = ambient()
    envelope = _of_step(core, letter)
    await until_taken(core, lambda: core.actors.tell(envelope))


def _of_step(core: EngineCore, letter: bytes) -> Envelope:
    envelope = read_envelope(letter, core.registry)
    return envelope if envelope.dedup else replace(envelope, dedup=current_step().key)


ASK_STEP = StepDefinition(
    name="outlast.ask_actor",
    fn=ask_actor,
    signature=SignatureCodec(ask_actor),
    is_async=True,
    is_wait=True,
)
TELL_STEP = StepDefinition(
    name="outlast.tell_actor", fn=tell_actor, signature=SignatureCodec(tell_actor), is_async=True
)
