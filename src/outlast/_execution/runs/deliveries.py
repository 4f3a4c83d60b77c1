"""Which part of a run a record is for."""

from __future__ import annotations

from outlast._execution.calls.cancellation import Cancellation
from outlast._execution.calls.children import ChildCalls
from outlast._execution.calls.inbox import Inbox
from outlast._execution.calls.signals import deliver_signal
from outlast._execution.calls.steps import StepCalls
from outlast._execution.calls.tokens import TokenCalls
from outlast._execution.loop.event_loop import RunLoop
from outlast._records import Record


class Deliveries:
    """Hands each record to what waits for it."""

    __slots__ = ("_cancellation", "_children", "_inbox", "_loop", "_steps", "_tokens")

    def __init__(
        self,
        loop: RunLoop,
        *,
        inbox: Inbox,
        steps: StepCalls,
        children: ChildCalls,
        tokens: TokenCalls,
        cancelling: Cancellation,
    ) -> None:
        self._loop = loop
        self._inbox = inbox
        self._steps = steps
        self._children = children
        self._tokens = tokens
        self._cancellation = cancelling

    def deliver(self, record: Record) -> None:
        """Hand over one record; those that only tell of what was asked for are for nobody."""
        match record.kind:
            case "step_done":
                self._steps.deliver_done(record)
            case "attempt_failed":
                self._steps.deliver_attempt(record)
            case "step_intent":
                self._steps.deliver_intent(record)
            case "timer_fired":
                self._loop.fire_timer(record.key)
            case "signal":
                deliver_signal(self._inbox, record)
            case "child_started" | "child_done":
                self._children.deliver(record)
            case "token_answered":
                self._tokens.deliver_answer(record)
            case "cancel_requested":
                self._children.cancel_attached(self._cancellation.deliver_request(record))
            case "stream_written" | "stream_retracted":
                self._steps.deliver_written(record)
            case "chance_renewed":
                self._loop.chance_seed = seed = record.body[1:]
                self._loop.chance_renewed = seed.hex()
            case "resumed":
                self._steps.unpark()
            case _:
                pass
