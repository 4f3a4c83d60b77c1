"""What the handler of an actor may ask of its actor while it handles a message."""

from __future__ import annotations

from collections.abc import Mapping

from outlast._execution.actors.actor_run import LiveActor
from outlast._execution.actors.history import History
from outlast._execution.actors.membership import member_key, notice
from outlast._execution.actors.outbox import Outbox
from outlast._execution.calls.starting import new_run
from outlast._messages.envelopes import Envelope, message_of
from outlast._messages.letters import Letter, encode_letter
from outlast._registry import ActorDefinition, WorkflowDefinition
from outlast._store.rows import Message
from outlast.types import RunId, WhileBusy


class ActorContext:
    """The actor whose handler is executing. What it sends and starts, the message's commit does."""

    __slots__ = ("_actor",)

    def __init__(self, actor: LiveActor) -> None:
        self._actor = actor

    @property
    def definition(self) -> ActorDefinition:
        """What is declared of it."""
        return self._actor.definition

    @property
    def chain(self) -> tuple[str, ...]:
        """Who waits for the message that is handled, this actor last."""
        return self._actor.handling.chain

    @property
    def trace(self) -> str:
        """The trace of the message that is handled: what its handler tells belongs to it too."""
        handled = self._actor.handling.current
        return "" if handled is None else handled.letter.trace

    @property
    def while_busy(self) -> WhileBusy | None:
        """How the message came in whose handler begins within another; None: it had its turn."""
        return self._actor.reentrancy.while_busy

    def history(self, stream: str) -> History:
        """Return the part of a stream of the actor that its own code reads."""
        return self._actor.ends.streams.history(stream)

    def stream_end(self, stream: str) -> int:
        """Return the next offset of a stream, as far as is known here: replay may know more."""
        return self._actor.ends.streams.offsets.get(stream, 0)

    @property
    def outbox(self) -> Outbox:
        """What is done with the commit that ends the message.

        Raises:
            NotInRun: the message has ended.
        """
        return self._actor.handling.outbox

    def tell(self, envelope: Envelope) -> None:
        """Send a message to a durable actor."""
        self.outbox.send(message_of(envelope, "tell", self._now))

    def notify(self, target: str, handler: str, arguments: Mapping[str, object]) -> None:
        """Tell another actor something of which it need not have a handler."""
        told = notice(target, handler, arguments, sender=self._actor.id, at=self._now)
        self.outbox.send(told)

    def forward(self, target: str, handler: str, args: bytes, *, sender: str) -> None:
        """Send a message on behalf of another sender, its arguments encoded."""
        at = self._actor.journal.last_at
        body = encode_letter(Letter(args=args, sender=sender))
        message = Message(run=RunId(target), kind="tell", name=handler, body=body, at=at)
        self.outbox.send(message)

    def start_member(
        self, definition: WorkflowDefinition, args: bytes, *, run: RunId, life: int
    ) -> None:
        """Start a workflow, with encoded arguments, as a member of the team that this one leads."""
        host = self._actor.host
        positional, named = definition.signature.decode(args)
        start, blobs = new_run(
            host.world,
            definition,
            definition.signature.bind(positional, named),
            run=run,
            shard=host.shard_of(run),
            reuse="always",
            parent=self._actor.id,
            parent_key=member_key(run, life),
            on_parent_close="abandon",
            request=host.world.new_id(),
        )
        self.outbox.start(start, blobs)

    @property
    def _now(self) -> int:
        """The handler's own time: the same when it is replayed."""
        return int(self._actor.loop.now * 1e6)
